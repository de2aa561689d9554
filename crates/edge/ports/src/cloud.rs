//! The line to the control plane: messages, the Greengrass data plane, credentials (CR 5, 7.6, 8).

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};

use crate::{Denied, Later, Outage};

/// A message for the control plane's broker.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CloudPublish {
    /// Topic without wildcards.
    pub topic: String,
    /// 0 or 1.
    pub qos: u8,
    /// At most the negotiated size.
    pub payload: Bytes,
    /// Keep as the topic's last message.
    pub retain: bool,
    /// MQTT 5 user properties.
    pub user_properties: Vec<(String, String)>,
    /// Seconds after which it is worthless.
    pub message_expiry_seconds: Option<u32>,
    /// MQTT 5.
    pub correlation_data: Option<Bytes>,
    /// MQTT 5.
    pub response_topic: Option<String>,
    /// MQTT 5: the payload is UTF-8 text.
    pub payload_is_text: Option<bool>,
    /// MQTT 5.
    pub content_type: Option<String>,
}

/// A message from the control plane's broker; the same members.
pub type CloudMessage = CloudPublish;

/// A live subscription; dropping it unsubscribes.
pub struct CloudSubscription {
    /// Messages in order. A reader that lags loses the oldest, counted in the log, and holds nobody up.
    pub messages: mpsc::Receiver<CloudMessage>,
    /// Dropped with the subscription.
    pub guard: Box<dyn Send>,
}

/// Publish and subscribe through the uplink. `owner` is the component in whose name it happens: quotas and circuit
/// breakers are per owner (CR 7.6).
pub trait CloudMessages: Send + Sync {
    /// Resolves when the message is spooled durably (QoS 1) or accepted for sending (QoS 0).
    fn publish<'a>(&'a self, owner: &'a str, message: CloudPublish) -> Later<'a, ()>;
    /// Subscribes; kept over reconnects.
    fn subscribe<'a>(&'a self, owner: &'a str, filter: &'a str, qos: u8) -> Later<'a, CloudSubscription>;
    /// Whether the line is up.
    fn connection(&self) -> watch::Receiver<bool>;
    /// Whether there is a control plane at all: without settings for one the core runs by itself.
    fn is_configured(&self) -> bool {
        true
    }
    /// Since when and why it is down: shown to operators. None while it is up, and when none is configured.
    fn outage(&self) -> Option<Outage> {
        None
    }
    /// Messages over which the control plane hung up, an hour ago at most: shown to operators.
    fn denied(&self) -> Option<Denied> {
        None
    }
}

/// A component to resolve (CR 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Component.
    pub name: SmolStr,
    /// Version already on the core, if one fits.
    pub version: Option<String>,
    /// Requirement text by its origin (dependent component or group key).
    pub requirements: Vec<(String, String)>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Component version ARN.
    pub arn: String,
    /// Component.
    pub name: SmolStr,
    /// Version.
    pub version: String,
    /// The recipe, JSON text.
    pub recipe: Bytes,
    /// `ACTIVE`, `DISCONTINUED`, `DELETED`.
    pub vendor_guidance: Option<String>,
    /// The recipe's DSSE envelope, when the control plane signs (SEC-154).
    pub signature: Option<Value>,
}

/// Where an artifact can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactPlace {
    /// A presigned URL.
    Url(String),
    /// `s3://bucket/key`, fetched with token-exchange credentials.
    S3 {
        /// Bucket.
        bucket: String,
        /// Key.
        key: String,
    },
}

/// Why a data plane call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataPlaneError {
    /// No line, no answer in time, TLS refused: worth another try.
    #[error("the control plane cannot be reached: {0}")]
    Unreachable(String),
    /// It answered an error.
    #[error("the control plane answered {status} {code}: {message}")]
    Answered {
        /// HTTP status.
        status: u16,
        /// Error name.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// It answered something that cannot be read.
    #[error("the control plane's answer cannot be read: {0}")]
    Malformed(String),
    /// Nothing is configured: the core runs offline.
    #[error("no control plane is configured")]
    NotConfigured,
    /// The disk refused.
    #[error("cannot write {path}: {reason}", path = .path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl DataPlaneError {
    /// Network trouble, 429 and 5xx are tried again (CR 4.8). So are redirections and 408: neither a control plane nor an object store
    /// answers so, but a portal or a proxy in between does.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Answered { status, .. } => matches!(status, 300..=399 | 408 | 429 | 500..),
            _ => false,
        }
    }
}

/// The Greengrass data plane over mTLS.
pub trait DataPlane: Send + Sync {
    /// Whether a control plane is configured at all.
    fn is_configured(&self) -> bool;
    /// `ResolveComponentCandidates` with one candidate.
    fn resolve(&self, platform: Vec<(String, String)>, candidate: Candidate) -> Later<'_, Resolved, DataPlaneError>;
    /// `GetComponentVersionArtifact`: a presigned URL.
    fn artifact_url<'a>(&'a self, arn: &'a str, name: &'a str) -> Later<'a, String, DataPlaneError>;
    /// `ListThingGroupsForCoreDevice`: names of direct groups and their ancestors.
    fn thing_groups(&self) -> Later<'_, Vec<String>, DataPlaneError>;
    /// `GetDeploymentConfiguration` for a large document: its text.
    fn large_document<'a>(&'a self, deployment_id: &'a str) -> Later<'a, Value, DataPlaneError>;
    /// Size in bytes of what a place offers.
    fn size<'a>(&'a self, place: &'a ArtifactPlace) -> Later<'a, u64, DataPlaneError>;
    /// Appends to `to` from its current length on (resume by `Range`) until the whole object is there; never more than `limit` bytes.
    fn download<'a>(
        &'a self,
        place: &'a ArtifactPlace,
        to: &'a std::path::Path,
        limit: u64,
    ) -> Later<'a, u64, DataPlaneError>;
}

/// Shadows in the control plane, over HTTPS with the device's certificate (CC 3.5). `shadow` empty means the classic one.
pub trait CloudShadows: Send + Sync {
    /// `GetThingShadow`: the document; none when there is no such shadow.
    fn get<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Option<Value>, DataPlaneError>;
    /// `UpdateThingShadow`: the accepted document.
    fn update<'a>(&'a self, thing: &'a str, shadow: &'a str, body: Value) -> Later<'a, Value, DataPlaneError>;
    /// `DeleteThingShadow`; one that is gone already is no error.
    fn delete<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, (), DataPlaneError>;
    /// `ListNamedShadowsForThing`: all of them, or as many as `limit`.
    fn names<'a>(&'a self, thing: &'a str, limit: usize) -> Later<'a, Vec<String>, DataPlaneError>;
}

/// Credentials of the core's role (CR 8).
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret.
    pub secret_access_key: String,
    /// Session token.
    pub session_token: String,
    /// RFC 3339, seconds, `Z`.
    pub expiration: String,
}

impl std::fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The control plane said no.
    #[error("TES responded with status code: {status}. {body}")]
    Answered {
        /// HTTP status.
        status: u16,
        /// Its text.
        body: String,
    },
    /// Not reachable, or the answer cannot be read.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing in time.
    #[error("no credentials in time")]
    Deadline,
    /// No role alias configured.
    #[error("no role alias is configured")]
    NotConfigured,
}

/// Where credentials come from: cached, one request at a time upstream.
pub trait Credentials: Send + Sync {
    /// Credentials for a component, or for the core itself (`None`).
    fn credentials<'a>(&'a self, component: Option<&'a str>) -> Later<'a, AwsCredentials, CredentialsError>;
}
