//! The control plane as cores see it: one continuous job per deployment of the group, executions per core, and what was told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::network::Message;
use crate::world::THING;

const NAMESPACE: &str = "namespace-aws-gg-deployment";

/// One execution: how a core stands to a deployment.
#[derive(Debug, Clone, Default)]
pub struct Execution {
    /// `QUEUED`, `IN_PROGRESS`, `SUCCEEDED`, `FAILED`, `CANCELED`.
    pub status: String,
    /// `detailed-deployment-status` of the last word.
    pub detailed: String,
}

impl Execution {
    fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "QUEUED" | "IN_PROGRESS")
    }
}

/// Jobs of one group.
#[derive(Default)]
pub struct Control {
    documents: BTreeMap<u64, Value>,
    /// By core and deployment.
    pub executions: Vec<BTreeMap<u64, Execution>>,
    /// A terminal word that came after another one and differed from it: it must not happen.
    pub contradictions: Vec<String>,
    /// When it has done all it was given; `None`: nothing yet.
    busy_until: Option<Instant>,
}

impl Control {
    pub fn new(cores: usize) -> Self {
        Self { executions: vec![BTreeMap::new(); cores], ..Self::default() }
    }

    /// A new deployment takes the place of the one before; answers what each core is told: that its list is empty, if something
    /// was in it, and then what is in it.
    pub fn deploy(&mut self, number: u64, components: &Value) -> Vec<Vec<Message>> {
        let document = json!({
            "deploymentId": format!("deployment-{number}"),
            "configurationArn": format!("arn:aws:greengrass:us-east-1:000000000000:configuration:thinggroup/g:{number}"),
            "components": components, "creationTimestamp": 1_000_000 + number,
        });
        self.documents.insert(number, document);
        let mut all = Vec::new();
        for executions in &mut self.executions {
            let mut told = Vec::new();
            for execution in executions.values_mut().filter(|execution| !execution.is_over()) {
                execution.status = "CANCELED".to_owned();
                told.push(notification(&BTreeMap::new()));
            }
            executions.insert(number, Execution { status: "QUEUED".to_owned(), ..Execution::default() });
            told.push(notification(executions));
            all.push(told);
        }
        all
    }

    /// When a message that comes now and takes `service` is done.
    pub fn turn(&mut self, service: Duration) -> Instant {
        let begins = self.busy_until.map_or_else(Instant::now, |until| until.max(Instant::now()));
        self.busy_until = Some(begins + service);
        begins + service
    }

    /// A message of a core; what it gets for it.
    pub fn handle(&mut self, core: usize, message: &Message) -> Vec<Message> {
        let jobs = format!("$aws/things/{THING}/jobs/");
        let Some(rest) = message.topic.strip_prefix(&jobs) else { return Vec::new() };
        let answer = |suffix: &str, mut payload: Value| {
            payload["clientToken"] = message.payload["clientToken"].clone();
            Message { topic: format!("{}/{suffix}", message.topic), payload }
        };
        if rest == format!("$next/{NAMESPACE}/get") {
            let open = self.executions[core].iter().filter(|(_, execution)| !execution.is_over());
            let next = open.min_by_key(|(number, execution)| (execution.status != "IN_PROGRESS", **number));
            let execution = next.map(|(number, execution)| {
                json!({"jobId": number.to_string(), "queuedAt": number, "status": execution.status,
                    "jobDocument": self.documents[number]})
            });
            return vec![answer("accepted", execution.map_or(json!({}), |execution| json!({"execution": execution})))];
        }
        let Some(number) = rest.strip_suffix(&format!("/{NAMESPACE}/update")).and_then(|number| number.parse().ok())
        else {
            return Vec::new();
        };
        let Some(execution) = self.executions[core].get_mut(&number) else {
            return vec![answer("rejected", json!({"code": "ResourceNotFound"}))];
        };
        let status = message.payload["status"].as_str().unwrap_or_default().to_owned();
        let detailed = message.payload["statusDetails"]["detailed-deployment-status"].as_str().unwrap_or_default();
        if execution.is_over() {
            // what came twice says the same
            if !matches!(status.as_str(), "IN_PROGRESS") && execution.status != "CANCELED" && execution.status != status
            {
                self.contradictions.push(format!("core {core}, {number}: {} then {status}", execution.status));
            }
            return vec![answer("rejected", json!({"code": "TerminalStateReached"}))];
        }
        *execution = Execution { status, detailed: detailed.to_owned() };
        let mut answers = vec![answer("accepted", json!({}))];
        if execution.is_over() {
            answers.push(notification(&self.executions[core]));
        }
        answers
    }

    /// Whether every core has told how deployment `number` ended.
    pub fn is_over(&self, number: u64) -> bool {
        self.executions.iter().all(|executions| executions.get(&number).is_some_and(Execution::is_over))
    }
}

fn notification(executions: &BTreeMap<u64, Execution>) -> Message {
    let open: Vec<Value> = executions
        .iter()
        .filter(|(_, execution)| !execution.is_over())
        .map(|(number, _)| json!({"jobId": number.to_string()}))
        .collect();
    let jobs = if open.is_empty() { json!({}) } else { json!({"QUEUED": open}) };
    Message { topic: format!("$aws/things/{THING}/jobs/notify-{NAMESPACE}"), payload: json!({"jobs": jobs}) }
}
