//! Runs flows: journal, timers, connectors for MQTT, Modbus TCP and HTTP (TG 6.8, 10).

pub mod journal;
pub mod port;
pub mod spec;

pub use port::{
    Authority, Deliver, ExecutionRecord, FlowPrincipal, HistoryBatch, HistorySink, Incoming, MessagePort, MessageRecord,
    NoHistory, Outgoing, Pending, PortError, Subscription, TopicAction,
};
pub use spec::{DeployError, Deployment, DeploymentStatus, StartError};
