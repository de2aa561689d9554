//! Deployments as the IPC door sees them (CR 4.5, 4.8, 6.8).

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use marram_deploy::DeploymentStatus;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::{Later, PortError};

/// `systemResourceLimits`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SystemResourceLimits {
    /// Kilobytes.
    pub memory: Option<u64>,
    /// Whole and parts of a core.
    pub cpus: Option<f64>,
}

/// `runWith` of one component.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunWith {
    /// `user[:group]`; `Some(None)` goes back to the default.
    pub posix_user: Option<Option<String>>,
    /// `Some(None)` removes the limits.
    pub system_resource_limits: Option<Option<SystemResourceLimits>>,
}

/// `{MERGE, RESET}` of one component.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LocalConfigurationUpdate {
    /// An object.
    pub merge: Option<Value>,
    /// JSON pointers.
    pub reset: Vec<String>,
}

/// A `CreateLocalDeployment`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LocalDeploymentRequest {
    /// Group whose roots are edited; none means `LOCAL_DEPLOYMENT`.
    pub group_name: Option<String>,
    /// Root components to add, with their versions.
    pub add: BTreeMap<SmolStr, String>,
    /// Root components to remove.
    pub remove: Vec<SmolStr>,
    /// Configuration updates.
    pub configuration: BTreeMap<SmolStr, LocalConfigurationUpdate>,
    /// Run-with updates.
    pub run_with: BTreeMap<SmolStr, RunWith>,
    /// Folder of recipes to take in.
    pub recipe_directory: Option<PathBuf>,
    /// Folder of artifacts to take in.
    pub artifact_directory: Option<PathBuf>,
    /// `ROLLBACK` instead of the default `DO_NOTHING`.
    pub rollback_on_failure: bool,
}

/// One deployment and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentRecord {
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: DeploymentStatus,
    /// When it was asked for.
    pub created_on: i64,
    /// `SUCCESSFUL`, `FAILED_ROLLBACK_COMPLETE`, ... (CR 4.9); empty while it runs.
    pub detailed_status: String,
    /// Codes from general to specific (CR 4.11).
    pub error_stack: Vec<String>,
    /// Types of the codes.
    pub error_types: Vec<String>,
    /// A sentence.
    pub failure_cause: Option<String>,
    /// What it waits for right now, for `marram-core why`.
    pub waiting_for: Option<String>,
    /// What its success leaves as it was, a sentence each, for `marram-core why`.
    pub notes: Vec<String>,
}

/// News for a component that subscribed to component updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentUpdate {
    /// A deployment is about to change things; the component may defer.
    Pre {
        /// Which.
        deployment_id: String,
        /// The runtime restarts as part of it.
        restarting: bool,
    },
    /// It is done.
    Post {
        /// Which.
        deployment_id: String,
    },
}

/// A configuration that a component is asked to judge (CR 3.6).
#[derive(Debug, Clone, PartialEq)]
pub struct ValidationRequest {
    /// The configuration as it would be.
    pub configuration: Value,
    /// Which deployment asks.
    pub deployment_id: String,
}

/// A deployment that is remembered, wherever it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownDeployment {
    /// Where it came from.
    pub source: DeploymentSource,
    /// `configurationArn` of its document; none for local ones.
    pub configuration_arn: Option<String>,
    /// The job that brought it, if one did.
    pub job_id: Option<String>,
    /// How it stands.
    pub record: DeploymentRecord,
}

impl KnownDeployment {
    /// Whether an id means this one: the deployment's own, its job's, or the ARN of its configuration.
    pub fn answers_to(&self, id: &str) -> bool {
        self.record.id == id || self.job_id.as_deref() == Some(id) || self.configuration_arn.as_deref() == Some(id)
    }

    /// Whether it waits or is being worked on.
    pub fn is_under_way(&self) -> bool {
        matches!(self.record.status, DeploymentStatus::Queued | DeploymentStatus::InProgress)
    }
}

/// Local deployments, and the components' say in all deployments.
pub trait Deployments: Send + Sync {
    /// Queues a local deployment; answers its id.
    fn create_local(&self, request: LocalDeploymentRequest) -> Later<'_, String>;
    /// Takes one back.
    fn cancel_local<'a>(&'a self, id: &'a str) -> Later<'a, String>;
    /// One local deployment.
    ///
    /// # Errors
    /// Unknown id; not a UUID.
    fn local_status(&self, id: &str) -> Result<DeploymentRecord, PortError>;
    /// All local deployments that are remembered.
    fn local_list(&self) -> Vec<DeploymentRecord>;
    /// Every deployment that is remembered, of the control plane as well as local ones, in the order they came.
    fn all(&self) -> Vec<KnownDeployment> {
        let local =
            |record| KnownDeployment { source: DeploymentSource::Local, configuration_arn: None, job_id: None, record };
        self.local_list().into_iter().map(local).collect()
    }
    /// Whether documents of the control plane must be signed; none for a core without one.
    fn demands_signatures(&self) -> Option<bool> {
        None
    }
    /// Subscribes a component to updates; ends when the receiver is dropped.
    fn component_updates(&self, component: &str) -> mpsc::Receiver<ComponentUpdate>;
    /// A component's answer to [`ComponentUpdate::Pre`]; 0 milliseconds means go.
    ///
    /// # Errors
    /// It was not asked, or too late.
    fn defer(
        &self,
        component: &str,
        deployment_id: &str,
        recheck_after_ms: i64,
        message: Option<String>,
    ) -> Result<(), PortError>;
    /// Subscribes a component to validations of its configuration.
    fn validations(&self, component: &str) -> mpsc::Receiver<ValidationRequest>;
    /// A component's verdict; `Err(message)` rejects.
    ///
    /// # Errors
    /// Nothing was pending.
    fn report_validity(
        &self,
        component: &str,
        deployment_id: &str,
        verdict: Result<(), Option<String>>,
    ) -> Result<(), PortError>;
}

/// Where a deployment came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentSource {
    /// `CreateLocalDeployment`.
    Local,
    /// The thing's shadow.
    Thing,
    /// A job for one of its groups.
    ThingGroup,
}

impl DeploymentSource {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "this machine",
            Self::Thing => "the control plane",
            Self::ThingGroup => "the control plane, for a thing group",
        }
    }
}

/// How a deployment ended, for the fleet status.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentReport {
    /// Where it came from.
    pub source: DeploymentSource,
    /// Id, status, details.
    pub record: DeploymentRecord,
    /// `configurationArn` of its document; none for local ones.
    pub configuration_arn: Option<String>,
    /// Root components it left as they were.
    pub unchanged_roots: Vec<SmolStr>,
    /// Components it removed.
    pub removed: Vec<SmolStr>,
}

/// Told about deployments by the deployer (CR 4.13).
pub trait DeploymentReports: Send + Sync {
    /// One begins: component states are withheld from now on.
    fn deployment_started(&self);
    /// It reached its end.
    fn deployment_ended(&self, report: DeploymentReport);
    /// The control plane knows less of this core than it was told: everything is told again.
    fn control_plane_went_back(&self);
}
