//! `live/executions`: what happens in flows, as it becomes durable.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_flow_runtime::HistoryBatch;
use marram_http::ResponseBody;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::live::{Events, Watcher, heart};
use crate::request::Asked;

/// What is asked for.
const ACTION: &str = "iotthingsgraph:SearchFlowExecutions";
/// Longest name of a deployment, in bytes.
const MAX_NAME: usize = 2048;

/// Whose executions are watched.
struct Scope {
    account: String,
    region: String,
    /// Last word of the deployment's URN; every deployment without.
    name: Option<String>,
    /// What the permission is about.
    resource: String,
}

impl Console {
    /// Streams every message of the executions of `deployment` (an ARN or a URN), or of all deployments.
    pub(crate) fn live_executions(&self, asked: &Asked<'_>, person: &Person) -> Result<ResponseBody, ApiError> {
        let deployment = asked.query("deployment").filter(|text| !text.is_empty());
        if deployment.as_ref().is_some_and(|text| text.len() > MAX_NAME) {
            return Err(fault::invalid("deployment", "deployment is too long."));
        }
        let name = deployment.map(|text| text.rsplit([':', '/']).next().unwrap_or_default().to_owned());
        let context = self.context(asked, person)?;
        let resource = match &name {
            None => "*".to_owned(),
            Some(name) => format!(
                "arn:{}:iotthingsgraph:{}:{}:Deployment/default/{name}",
                context.partition, context.region, context.account
            ),
        };
        if !context.may(ACTION, &resource, |_| {}) {
            return Err(ApiError::not_authorized(&person.principal.arn, ACTION, &resource, false));
        }
        let (account, region) = (context.account.to_string(), context.region.to_string());
        let (watcher, events, body) = self.open_stream(asked, person)?;
        let written = self.inner.options.history.watch();
        tokio::spawn(run(watcher, written, Scope { account, region, name, resource }, events));
        Ok(body)
    }
}

async fn run(watcher: Watcher, mut written: Receiver<Arc<HistoryBatch>>, scope: Scope, mut events: Events) {
    let mut heart = heart().await;
    loop {
        tokio::select! {
            batch = written.recv() => match batch {
                Ok(batch) => {
                    for event in scope.events(&batch) {
                        events.add("execution", &event);
                    }
                    events.flush();
                }
                Err(RecvError::Lagged(batches)) => events.missed(batches),
                Err(RecvError::Closed) => return,
            },
            _ = heart.tick() => {
                if !events.beat() || !watcher.may(ACTION, &scope.resource) {
                    return;
                }
            }
            () = events.pieces.closed() => return,
            () = watcher.over() => return,
        }
    }
}

impl Scope {
    /// What a batch says of the executions in scope: one event a message.
    fn events<'b>(&'b self, batch: &'b HistoryBatch) -> impl Iterator<Item = Value> + 'b {
        batch.messages.iter().filter_map(|message| {
            let execution = batch.executions.get(message.execution)?;
            let own = execution.account == self.account && execution.region == self.region;
            let last = execution.deployment.rsplit(':').next()?;
            if !own || self.name.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case(last)) {
                return None;
            }
            let at = message.at.0 as f64 / 1000.0;
            let payload: Value = serde_json::from_str(&message.payload).unwrap_or(Value::Null);
            Some(json!({
                "execution": execution.execution.as_str(),
                "deployment": execution.deployment.as_str(),
                "flow": execution.flow.as_str(),
                "step": payload.get("stepName"),
                "state": execution.status.as_str(),
                "event": message.event_type.as_str(),
                "messageId": message.seq.to_string(),
                "at": at,
                "payload": message.payload.as_str(),
            }))
        })
    }
}
