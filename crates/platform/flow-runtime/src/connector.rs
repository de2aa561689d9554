//! Requests on their way to devices and services (TG 10): one connector per protocol, one worker cap for all.

mod http;
mod modbus;
mod mqtt;
mod reach;

use std::sync::Arc;

use marram_flow::{Fault, Reply, Request, fault};
use smol_str::SmolStr;
use tokio::sync::Semaphore;

pub(crate) use http::HttpConnector;
pub use http::HttpOptions;
pub(crate) use modbus::{Bus, ModbusConnector};
pub use modbus::{EndpointError, ModbusEndpoint, Parity, SerialSettings, fuzz_modbus_answer};
pub(crate) use mqtt::{Lane, MqttConnector};

use crate::port::{Authority, FlowAction, FlowPrincipal, PortError};

/// One request and on whose behalf it goes.
pub(crate) struct Job {
    pub request: Arc<Request>,
    pub principal: Arc<FlowPrincipal>,
    pub execution: SmolStr,
    /// Hosts HTTP may reach although they are not public.
    pub http_allow: Arc<[SmolStr]>,
    pub progress: Progress,
}

/// Tells how far a request got; losing a word of it loses nothing, the engine infers earlier stages from later ones.
pub(crate) type Progress = Box<dyn Fn(marram_flow::Stage) + Send + Sync>;

/// All connectors of a runtime.
pub(crate) struct Connectors {
    pub mqtt: MqttConnector,
    pub modbus: ModbusConnector,
    pub http: HttpConnector,
    pub authority: Arc<dyn Authority>,
    /// Activities at work (TG 6.3).
    pub workers: Semaphore,
}

impl Connectors {
    /// Carries `job` out. Dropping the future gives it up: what was not sent is not sent, what comes back is dropped.
    pub async fn perform(&self, job: Job) -> Result<Reply, Fault> {
        match &*job.request {
            Request::Publish(publish) => self.mqtt.perform(&self.workers, &job, publish).await,
            Request::Modbus(call) => self.modbus.perform(&self.workers, &*self.authority, &job, call).await,
            Request::Http(call) => self.http.perform(&self.workers, &*self.authority, &job, call).await,
            Request::Function(call) => Err(Fault::new(
                fault::TASK_FAILED,
                format!("functions are not available on this target: `{}`", call.arn),
            )),
        }
    }
}

/// Asks before something is done; a refusal names what a policy would have to allow.
pub(crate) fn permitted(authority: &dyn Authority, job: &Job, action: FlowAction<'_>) -> Result<(), Fault> {
    if authority.allows(&job.principal, action) {
        return Ok(());
    }
    let (_, resource) = action.resource();
    Err(Fault::new(fault::PERMISSION, format!("not authorized to perform {} on {resource}", action.name())))
}

/// The failure a port's refusal is to a flow.
pub(crate) fn port_fault(error: &PortError, what: &str) -> Fault {
    let name = match error {
        PortError::Denied => fault::PERMISSION,
        PortError::Refused(_) => fault::REQUEST_INVALID,
        PortError::Unavailable(_) => fault::TASK_FAILED,
    };
    Fault::new(name, format!("{what}: {error}"))
}
