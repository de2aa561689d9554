//! Flows on a core: the component `marram.FlowRuntime` (TG 7.1 target GREENGRASS, 7.4, 6.10).
//!
//! [`EdgeFlows`] follows the component's configuration: packages of deployments (`marram_flow_runtime::package`) that are
//! verified, armed in the same runtime that runs CLOUD deployments, and disarmed when they are no longer listed. Flows
//! speak with the core's own broker, Modbus servers and serial lines on the core's allow-list, and HTTP services; nothing of that needs the
//! control plane. What executions say is kept in a bounded store and sent up, in order, once, when there is a line.
//!
//! * `settings`: the configuration.
//! * `authority`: what the runtime may do, answered by the topics of the snapshots and the core's role.
//! * `history`: the bounded store; `sync`: the way up.
//! * `host`: the task that keeps what runs equal to what is configured.

mod accepted;
mod authority;
mod history;
mod host;
mod settings;
mod sync;

pub use history::{HistoryStats, LocalHistory};
pub use host::{BoundDevices, EdgeFlows, EdgeFlowsOptions, EdgePorts, FlowTopics};
pub use marram_flow::topics::ThingTopics;
pub use marram_flow_runtime::package::{Trust, TrustedKey};
pub use settings::Settings;

/// Name of the component.
pub const COMPONENT: &str = "marram.FlowRuntime";
/// Its version.
pub const COMPONENT_VERSION: &str = "1.0.0";
/// Endpoint of a Modbus thing that leaves the choice to the core: `modbus.things` or `modbus.default`.
pub const CORE_ENDPOINT: &str = "core";
