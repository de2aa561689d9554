//! What a host deploys, and why a deployment is refused.

use marram_flow::Snapshot;
use marram_flow::program::{Operation, Service};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::port::FlowPrincipal;

/// A deployment as the runtime keeps it. It goes into the journal, so a restarted runtime needs nothing from its host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Flows, triggers, things: everything frozen (TG 7.6).
    pub snapshot: Snapshot,
    /// With whose authority its flows act.
    pub principal: FlowPrincipal,
    /// Hosts that HTTP steps may reach although they are loopback, private or link-local: `host` or `host:port` (TG 10.4).
    #[serde(default)]
    pub http_allow: Vec<SmolStr>,
    /// `metricsConfiguration.cloudMetricEnabled` (TG 11.7).
    #[serde(default)]
    pub metrics_enabled: bool,
}

impl Deployment {
    /// Its id: the URN of the deployment.
    pub fn id(&self) -> &SmolStr {
        &self.snapshot.site.deployment
    }

    /// What this runtime cannot carry out (TG 7.1): function operations, and Modbus things without an endpoint.
    ///
    /// # Errors
    /// `TDM5006` with the first offending entity.
    pub fn check(&self) -> Result<(), DeployError> {
        let site = &self.snapshot.site;
        let function = |operation: &Operation| matches!(operation, Operation::Function { .. });
        let calls_function =
            |Service { actions, .. }: &&Service| actions.iter().any(|action| function(&action.operation));
        if let Some(service) = site.services.iter().find(calls_function) {
            return Err(DeployError::NotAvailable { entity: service.id.clone(), what: "function" });
        }
        for (name, thing) in &site.things {
            let Some(device) = site.devices.get(usize::from(thing.device)) else {
                return Err(DeployError::Inconsistent(format!("thing `{name}` has no device")));
            };
            let modbus = device.actions.iter().any(|action| matches!(action.operation, Operation::Modbus { .. }));
            if modbus && thing.modbus_endpoint.is_none() {
                return Err(DeployError::NotAvailable { entity: device.id.clone(), what: "Modbus" });
            }
        }
        for trigger in &self.snapshot.triggers {
            for action in &trigger.actions {
                if self.snapshot.flow(&action.role).is_none() {
                    let message = format!("trigger `{}` starts unknown flow role `{}`", trigger.name, action.role);
                    return Err(DeployError::Inconsistent(message));
                }
            }
        }
        Ok(())
    }
}

/// Why a deployment was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// An entity needs a protocol this target does not have.
    #[error("TDM5006: `{entity}` needs {what}, which is not available on this target")]
    NotAvailable {
        /// URN of the device or service.
        entity: SmolStr,
        /// The protocol.
        what: &'static str,
    },
    /// The snapshot contradicts itself.
    #[error("inconsistent snapshot: {0}")]
    Inconsistent(String),
    /// The broker refused a trigger's subscription.
    #[error("cannot subscribe `{filter}`: {cause}")]
    Subscribe {
        /// The topic filter.
        filter: SmolStr,
        /// Why.
        cause: crate::port::PortError,
    },
    /// The journal could not be written.
    #[error("journal: {0}")]
    Journal(#[from] crate::journal::JournalError),
    /// The runtime is shutting down.
    #[error("the runtime is shutting down")]
    Closed,
}

/// Why an execution was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No such deployment is deployed here.
    #[error("no deployment `{0}`")]
    NoDeployment(SmolStr),
    /// The deployment has no such flow role.
    #[error("TDM5004: no flow role `{0}`")]
    NoFlow(SmolStr),
    /// A parameter the flow does not have.
    #[error("TDM5004: the flow has no parameter `{0}`")]
    NoParameter(SmolStr),
    /// A required parameter is missing.
    #[error("TDM5004: parameter `{0}` is required")]
    MissingParameter(SmolStr),
    /// The journal could not be written.
    #[error("journal: {0}")]
    Journal(String),
    /// The runtime is shutting down.
    #[error("the runtime is shutting down")]
    Closed,
}

/// State of a deployment in this runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// How often it was deployed since its journal began.
    pub generation: u32,
    /// Triggers armed.
    pub triggers: usize,
    /// Executions not terminal.
    pub running: usize,
    /// Executions started since the runtime did.
    pub started: u64,
    /// Events dropped because a role sent too many, or the deployment could not keep up.
    pub events_dropped: u64,
}
