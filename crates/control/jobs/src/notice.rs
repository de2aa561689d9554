//! `notify` and `notify-next`: what a thing hears about its queue (CP 5.9).

use marram_broker::Message;
use marram_identity::CallError;
use marram_job::{ExecutionStatus, Namespace};
use marram_mqtt::{QoS, Topic};
use marram_registry::Realm;
use marram_store::Snapshot;
use marram_types::Timestamp;
use serde_json::{Map, Value, json};

use crate::device::json_of;
use crate::jobs::Jobs;
use crate::row::{ExecutionRow, find_job, next, pending};

/// Executions a `notify` lists per status.
const LISTED: i64 = 10;

/// A queue that a transaction touches, as it was before.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) thing: String,
    pub(crate) namespace: Namespace,
    /// Job and attempt that were next.
    next_before: Option<(String, i64)>,
    /// An execution entered or left the pending list.
    pub(crate) moved: bool,
}

impl Touched {
    pub(crate) fn look(
        snapshot: &Snapshot<'_>,
        realm: &Realm,
        thing: &str,
        namespace: &Namespace,
    ) -> Result<Self, CallError> {
        let next_before = next(snapshot, realm, thing, namespace)?.map(key);
        Ok(Self { thing: thing.to_owned(), namespace: namespace.clone(), next_before, moved: false })
    }

    /// The notifications that follow from what became of the queue.
    pub(crate) fn messages(
        &self,
        jobs: &Jobs,
        snapshot: &Snapshot<'_>,
        realm: &Realm,
        now: Timestamp,
    ) -> Result<Vec<Message>, CallError> {
        let mut messages = Vec::new();
        if self.moved {
            let body = json!({"timestamp": now.as_secs(), "jobs": self.list(snapshot, realm)?});
            messages.extend(self.message("notify", &body));
        }
        let next = next(snapshot, realm, &self.thing, &self.namespace)?;
        if next.as_ref().map(|next| (next.job.clone(), next.number)) != self.next_before {
            let mut body = json!({"timestamp": now.as_secs()});
            if let Some(next) = next {
                let job = find_job(snapshot, realm, &next.job)?;
                // A document that cannot be made is left out: the device hears why when it asks for it.
                let document = job.and_then(|job| Some(json_of(&jobs.delivered(realm, &job, now).ok()?)));
                body["execution"] = next.execution(document, now);
            }
            messages.extend(self.message("notify-next", &body));
        }
        Ok(messages)
    }

    fn list(&self, snapshot: &Snapshot<'_>, realm: &Realm) -> Result<Value, CallError> {
        let mut lists = Map::new();
        for status in [ExecutionStatus::Queued, ExecutionStatus::InProgress] {
            let rows = pending(snapshot, realm, &self.thing, &self.namespace, status, LISTED)?;
            if !rows.is_empty() {
                lists.insert(status.as_str().to_owned(), rows.iter().map(ExecutionRow::summary).collect());
            }
        }
        Ok(Value::Object(lists))
    }

    fn message(&self, kind: &str, body: &Value) -> Option<Message> {
        message(&format!("$aws/things/{}/jobs/{kind}{}", self.thing, self.namespace.suffix()), body)
    }
}

fn key(row: ExecutionRow) -> (String, i64) {
    (row.job, row.number)
}

/// A message of the jobs service, QoS 1: a session that was away for a moment still hears it.
pub(crate) fn message(topic: &str, body: &Value) -> Option<Message> {
    Some(Message::new(Topic::new(topic).ok()?, body.to_string()).with_qos(QoS::AtLeastOnce))
}
