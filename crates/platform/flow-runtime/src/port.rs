//! The ports through which a runtime reaches the world: messages, authority, history. Hosts implement them.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use marram_flow::{EventType, Status, Time};
use marram_sigv4::Credentials;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A future of a port.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// With whose authority a deployment acts (TG 11.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FlowPrincipal {
    /// Account id.
    pub account: SmolStr,
    /// Region.
    pub region: SmolStr,
    /// `flowActionsRoleArn` of a CLOUD deployment; `None` on the edge: the core's own identity.
    pub role_arn: Option<SmolStr>,
    /// URN of the deployment, for audit and topic tables.
    pub deployment: SmolStr,
}

/// A message for the broker.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Topic, without wildcards.
    pub topic: SmolStr,
    /// At most 128 KiB.
    pub payload: Bytes,
    /// Ask the broker for an acknowledgement (QoS 1).
    pub at_least_once: bool,
}

/// A message from the broker.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Topic it was published on.
    pub topic: SmolStr,
    /// What it says.
    pub payload: Bytes,
    /// Sent because of the subscription, not of a publish: never a reply, never an occurrence (TG 10.2).
    pub retained: bool,
}

/// Why the broker did not take a publish or a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The principal's policy says no: `TG.Permission`.
    #[error("not authorized")]
    Denied,
    /// The broker refuses what was sent, whoever sends it: `TG.RequestInvalid`.
    #[error("refused: {0}")]
    Refused(String),
    /// The broker cannot take it now: `TG.TaskFailed`.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// Takes the messages of a subscription. Called by the broker for every message: it returns at once.
pub type Deliver = Arc<dyn Fn(Incoming) + Send + Sync>;

/// Keeps a subscription alive; dropping it unsubscribes.
pub type Subscription = Box<dyn Any + Send + Sync>;

/// The broker, seen from a runtime.
pub trait MessagePort: Send + Sync + 'static {
    /// Publishes as `principal`; done when the broker accepted the message. The first poll should already be the
    /// answer where the broker is in the same process: that keeps the flow's hot path free of task switches.
    fn publish<'a>(&'a self, principal: &'a FlowPrincipal, message: Outgoing) -> Pending<'a, Result<(), PortError>>;

    /// Subscribes as `principal`. Once this is done every later message on `filter` reaches `deliver`, in order.
    fn subscribe<'a>(
        &'a self,
        principal: &'a FlowPrincipal,
        filter: SmolStr,
        deliver: Deliver,
    ) -> Pending<'a, Result<Subscription, PortError>>;
}

/// What a flow wants to do to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowAction<'a> {
    /// `iot:Publish` on `topic/<t>`.
    Publish(&'a str),
    /// `iot:Subscribe` on `topicfilter/<f>` and `iot:Receive` on what it matches.
    Receive(&'a str),
    /// `iotthingsgraph:ReadModbus` on `thing/<name>` of iot.
    ReadModbus(&'a str),
    /// `iotthingsgraph:WriteModbus` on `thing/<name>` of iot: everything that is not a plain read.
    WriteModbus(&'a str),
    /// `iotthingsgraph:InvokeWebService` on `web-service/<host>:<port>`, the host in lower case.
    InvokeWebService(&'a str),
}

impl FlowAction<'_> {
    /// The IAM action that is asked; a receiver is asked for `iot:Subscribe` too.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Publish(_) => "iot:Publish",
            Self::Receive(_) => "iot:Receive",
            Self::ReadModbus(_) => "iotthingsgraph:ReadModbus",
            Self::WriteModbus(_) => "iotthingsgraph:WriteModbus",
            Self::InvokeWebService(_) => "iotthingsgraph:InvokeWebService",
        }
    }

    /// Service and the part after the account of the ARN that is asked about.
    pub fn resource(&self) -> (&'static str, String) {
        match self {
            Self::Publish(topic) | Self::Receive(topic) => ("iot", format!("topic/{topic}")),
            Self::ReadModbus(thing) | Self::WriteModbus(thing) => ("iot", format!("thing/{thing}")),
            Self::InvokeWebService(host) => ("iotthingsgraph", format!("web-service/{host}")),
        }
    }
}

/// Who may do what, and with which credentials (TG 11.3).
pub trait Authority: Send + Sync + 'static {
    /// Whether `principal` may do this. Answers from memory; the runtime remembers answers while
    /// [`Authority::version`] stands still. Unknown means no.
    fn allows(&self, principal: &FlowPrincipal, action: FlowAction<'_>) -> bool;

    /// Changes whenever an answer of [`Authority::allows`] may have changed. One atomic load.
    fn version(&self) -> u64;

    /// Credentials of the flow role for `execution` (TG 11.3), valid for at least a minute.
    ///
    /// # Errors
    /// A reason, shown to the author of the flow as `TG.Permission`.
    fn credentials<'a>(
        &'a self,
        principal: &'a FlowPrincipal,
        execution: &'a str,
    ) -> Pending<'a, Result<Arc<Credentials>, String>>;
}

/// What became of an execution, for the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionRecord {
    /// Account id.
    pub account: SmolStr,
    /// Region.
    pub region: SmolStr,
    /// Its id (TG 6.1).
    pub execution: SmolStr,
    /// URN of the deployment.
    pub deployment: SmolStr,
    /// URN of the flow.
    pub flow: SmolStr,
    /// Where it is.
    pub status: Status,
    /// When it was created.
    pub created: Time,
    /// When it last changed.
    pub updated: Time,
}

/// A message of an execution, for the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRecord {
    /// Index into [`HistoryBatch::executions`].
    pub execution: usize,
    /// Position in the execution, from 1; its decimal text is the `messageId`.
    pub seq: u64,
    /// What happened.
    pub event_type: EventType,
    /// When.
    pub at: Time,
    /// Compact JSON.
    pub payload: String,
}

/// What the index learns at once. The same record may come again after a restart: `(execution, seq)` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryBatch {
    /// Latest state of every execution touched, each once.
    pub executions: Vec<ExecutionRecord>,
    /// In order.
    pub messages: Vec<MessageRecord>,
}

/// Keeps the history of executions (TG 6.10).
pub trait HistorySink: Send + Sync + 'static {
    /// Adds a batch, all of it or nothing; a record that is there already changes nothing.
    ///
    /// # Errors
    /// A reason for the log; the runtime tries again.
    fn write(&self, batch: HistoryBatch) -> Pending<'_, Result<(), String>>;
}

/// Forgets everything: for hosts without history, and benchmarks.
#[derive(Debug, Default)]
pub struct NoHistory;

impl HistorySink for NoHistory {
    fn write(&self, _: HistoryBatch) -> Pending<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
