//! What the parts of the edge core ask of each other: traits and their data, nothing else.
//!
//! Each trait is one duty: the IPC door and the deployer hold `Arc<dyn ...>` of these and never each other's crates;
//! `apps/marram-core` is the only place that ties them. Times are milliseconds since the Unix epoch unless said otherwise.

mod checks;
mod cloud;
mod component;
mod deployment;
mod error;
mod field;
mod files;
mod local;
mod nucleus;
mod outage;
mod room;

pub use checks::{Checks, Finding, Sandboxes, Severity};
pub use cloud::{
    ArtifactPlace, AwsCredentials, Candidate, CloudMessage, CloudMessages, CloudPublish, CloudShadows,
    CloudSubscription, Credentials, CredentialsError, DataPlane, DataPlaneError, Resolved,
};
pub use component::{
    Caller, CallerKind, ChangedPath, ComponentDetails, ComponentState, Components, Configuration, Identities,
    LeafOrigin, Peer, ReportedState,
};
pub use deployment::{
    ComponentUpdate, DeploymentRecord, DeploymentReport, DeploymentReports, DeploymentSource, DeploymentStatus,
    Deployments, KnownDeployment, LocalConfigurationUpdate, LocalDeploymentRequest, RunWith, SystemResourceLimits,
    ValidationRequest,
};
pub use error::PortError;
pub use field::{CoreEndpoint, DeviceCloud};
pub use files::{Files, FilesError};
pub use local::{
    CertificateUpdate, ClientDevices, ComponentMetric, DebugPassword, DebugPasswords, LocalShadows, Metrics,
    MqttCredential, SecretAnswer, SecretPayload, SecretQuery, Secrets, ShadowOperation, ShadowPage, ShadowRequest,
};
pub use nucleus::{ApplyMode, BootstrapOutcome, Nucleus, Provenance, StateChange};
pub use outage::{Denied, Hurdle, Outage, Trouble};
pub use room::{Endless, Room};

/// A future that a port answers with.
pub type Later<'a, T, E = PortError> = std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;
