//! Runs flows: journal, timers, connectors for MQTT, Modbus (TCP and serial lines) and HTTP (TG 6.8, 10).

mod broker;
mod clock;
mod connector;
pub mod history;
mod host;
mod index;
pub mod journal;
mod metrics;
pub mod package;
pub mod port;
pub mod replica;
pub mod runtime;
pub mod spec;
mod throttle;

pub use broker::BrokerPort;
pub use connector::{EndpointError, HttpOptions, ModbusEndpoint, Parity, SerialSettings, fuzz_modbus_answer};
pub use history::{History, HistoryError};
pub use port::{
    Authority, Deliver, ExecutionRecord, FlowAction, FlowPrincipal, HistoryBatch, HistorySink, Incoming, MessagePort,
    MessageRecord, NoHistory, Outgoing, Pending, PortError, Subscription,
};
pub use runtime::{Durability, OpenError, Ports, RuntimeHandle, RuntimeOptions};
pub use spec::{DeployError, Deployment, DeploymentStatus, StartError};
