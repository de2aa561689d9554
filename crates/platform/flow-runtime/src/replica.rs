//! What a core and its control plane tell each other of flows: pages of history, reports of deployments (TG 6.10, 7.5).
//!
//! Topic family `$aws/things/{thing}/thingsgraph/`: the core publishes `history` ([`Page`]) and `deployments` ([`Report`])
//! with QoS 1; the control plane answers a page on `history/accepted` ([`Accepted`]) once it is stored. A core keeps and
//! repeats a page until it is accepted; the control plane stores a message once, told by execution and `seq`.

use marram_flow::{EventType, Status, Time};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::port::{ExecutionRecord, HistoryBatch, MessageRecord};

/// Version of the documents here.
pub const VERSION: u32 = 1;
/// Bytes of a page's messages, about; what the broker takes is 128 KiB.
pub const PAGE_BYTES: usize = 90 * 1024;
/// Longest id or URN taken from a page.
const MAX_ID_BYTES: usize = 2_048;

/// Where pages of history go.
pub fn history_topic(thing: &str) -> String {
    format!("$aws/things/{thing}/thingsgraph/history")
}

/// Where the control plane says what it has.
pub fn accepted_topic(thing: &str) -> String {
    format!("$aws/things/{thing}/thingsgraph/history/accepted")
}

/// Where a core says how its deployments are.
pub fn deployments_topic(thing: &str) -> String {
    format!("$aws/things/{thing}/thingsgraph/deployments")
}

/// Messages of executions, in the order they happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// [`VERSION`].
    pub version: u32,
    /// The store these numbers belong to; another one after a core lost its disk.
    pub stream: String,
    /// Number of the last message in here.
    pub through: u64,
    /// Messages this stream gave up for want of space before they could be sent.
    pub dropped: u64,
    /// What the messages are of.
    pub executions: Vec<PageExecution>,
    /// Ascending.
    pub messages: Vec<PageMessage>,
}

/// An execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageExecution {
    /// `flowExecutionId`.
    pub id: SmolStr,
    /// URN of the deployment.
    pub deployment: SmolStr,
    /// URN of the flow.
    pub flow: SmolStr,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageMessage {
    /// Index into [`Page::executions`].
    pub execution: usize,
    /// Position in its execution, from 1.
    pub seq: u64,
    /// `eventType`.
    pub event_type: EventType,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Compact JSON.
    pub payload: String,
}

/// The answer to a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// [`Page::stream`].
    pub stream: String,
    /// Everything up to this number is stored.
    pub through: u64,
}

/// All deployments of a core.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Version of the flow component.
    pub runtime_version: String,
    /// What is wanted or there; what is not named is not on the core.
    pub deployments: Vec<Reported>,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    /// URN.
    pub id: SmolStr,
    /// Hash of the package this is about.
    pub sha256: String,
    /// What became of it.
    pub state: ReportedState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of a deployment on a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReportedState {
    /// Its triggers are armed.
    Deployed,
    /// It was refused; what ran before goes on.
    Failed,
}

impl Page {
    /// What the page adds to the history of an account. An execution is terminal once its last message is here.
    /// Messages of unknown executions and absurd ids are left out.
    pub fn into_batch(self, account: &str, region: &str) -> HistoryBatch {
        let is_sane = |text: &str| !text.is_empty() && text.len() <= MAX_ID_BYTES;
        let mut places = vec![None; self.executions.len()];
        let mut batch = HistoryBatch::default();
        for (entry, place) in self.executions.into_iter().zip(&mut places) {
            if !is_sane(&entry.id) || !is_sane(&entry.deployment) || !is_sane(&entry.flow) {
                continue;
            }
            *place = Some(batch.executions.len());
            batch.executions.push(ExecutionRecord {
                account: account.into(),
                region: region.into(),
                execution: entry.id,
                deployment: entry.deployment,
                flow: entry.flow,
                status: Status::Running,
                created: Time(entry.created_at),
                updated: Time(entry.created_at),
            });
        }
        for message in self.messages {
            let Some(Some(execution)) = places.get(message.execution).copied() else { continue };
            if message.payload.len() > marram_flow::message::MAX_PAYLOAD_BYTES {
                continue;
            }
            let record = &mut batch.executions[execution];
            record.updated = Time(message.at);
            record.status = match message.event_type {
                EventType::ExecutionSucceeded => Status::Succeeded,
                EventType::ExecutionFailed => Status::Failed,
                EventType::ExecutionAborted => Status::Aborted,
                _ => record.status,
            };
            batch.messages.push(MessageRecord {
                execution,
                seq: message.seq,
                event_type: message.event_type,
                at: Time(message.at),
                payload: message.payload,
            });
        }
        batch
    }
}
