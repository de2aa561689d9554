//! The fleet status message and its parts (CR 4.13).

use marram_edge_ports::{ComponentDetails, ComponentState, DeploymentReport, DeploymentSource, DeploymentStatus};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

/// Largest message, bytes.
pub(crate) const MESSAGE_MAX: usize = 128_000;

/// What does not change while the core runs.
#[derive(Debug, Clone)]
pub struct CoreFacts {
    /// Thing name.
    pub thing: String,
    /// `ggcVersion`.
    pub version: String,
    /// `linux`.
    pub platform: String,
    /// `amd64`, `aarch64`, ...
    pub architecture: String,
    /// `marram`.
    pub runtime: String,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Launch,
    Cadence,
    StatusChange,
    Reconnect,
    Reconfigured,
    Deployment(DeploymentSource),
}

impl Trigger {
    fn as_str(self) -> &'static str {
        match self {
            Trigger::Launch => "NUCLEUS_LAUNCH",
            Trigger::Cadence => "CADENCE",
            Trigger::StatusChange => "COMPONENT_STATUS_CHANGE",
            Trigger::Reconnect => "RECONNECT",
            Trigger::Reconfigured => "NETWORK_RECONFIGURE",
            Trigger::Deployment(DeploymentSource::Local) => "LOCAL_DEPLOYMENT",
            Trigger::Deployment(DeploymentSource::Thing) => "THING_DEPLOYMENT",
            Trigger::Deployment(DeploymentSource::ThingGroup) => "THING_GROUP_DEPLOYMENT",
        }
    }

    pub(crate) fn is_complete(self) -> bool {
        matches!(self, Trigger::Launch | Trigger::Cadence | Trigger::Reconfigured)
    }
}

/// One component as the message shows it.
pub(crate) fn component(details: &ComponentDetails, arns: &[String]) -> Value {
    let mut shown = json!({
        "componentName": details.name,
        "version": details.version,
        "fleetConfigArns": arns,
        "isRoot": details.is_root,
        "status": details.state.as_str(),
    });
    if matches!(details.state, ComponentState::Errored | ComponentState::Broken) {
        shown["componentStatusDetails"] = json!({ "statusCodes": details.status_codes, "statusReason": details.status_reason.as_deref().unwrap_or_default() });
    }
    shown
}

/// A component that is gone: reported once.
pub(crate) fn removed(name: &SmolStr) -> Value {
    json!({ "componentName": name, "version": "", "fleetConfigArns": [], "isRoot": true, "status": "UNINSTALLED" })
}

fn deployment(report: &DeploymentReport) -> Value {
    let record = &report.record;
    let status = match record.status {
        DeploymentStatus::Succeeded => "SUCCEEDED",
        other => other.as_str(),
    };
    let mut shown = json!({
        "status": status,
        "deploymentId": record.id,
        "statusDetails": {
            "detailedStatus": record.detailed_status,
            "failureCause": record.failure_cause.as_deref().unwrap_or_default(),
            "errorStack": record.error_stack,
            "errorTypes": record.error_types,
        },
        "unchangedRootComponents": report.unchanged_roots,
    });
    if let Some(arn) = &report.configuration_arn {
        shown["fleetConfigurationArnForStatus"] = json!(arn);
    }
    shown
}

/// What a message says.
pub(crate) struct Content {
    pub(crate) trigger: Trigger,
    pub(crate) healthy: bool,
    pub(crate) components: Vec<Value>,
    pub(crate) report: Option<DeploymentReport>,
}

/// The message, in as many chunks as its size asks for.
pub(crate) fn encode(facts: &CoreFacts, content: &Content, sequence: u64, now: i64) -> Vec<String> {
    let mut head = Map::new();
    for (name, value) in [
        ("ggcVersion", &facts.version),
        ("platform", &facts.platform),
        ("architecture", &facts.architecture),
        ("runtime", &facts.runtime),
        ("thing", &facts.thing),
    ] {
        head.insert(name.to_owned(), json!(value));
    }
    head.insert("overallDeviceStatus".to_owned(), json!(if content.healthy { "HEALTHY" } else { "UNHEALTHY" }));
    head.insert("sequenceNumber".to_owned(), json!(sequence));
    head.insert("timestamp".to_owned(), json!(now));
    head.insert("messageType".to_owned(), json!(if content.trigger.is_complete() { "COMPLETE" } else { "PARTIAL" }));
    head.insert("trigger".to_owned(), json!(content.trigger.as_str()));
    if let Some(report) = &content.report {
        head.insert("deploymentInformation".to_owned(), deployment(report));
    }
    let frame = Value::Object(head.clone()).to_string().len() + 128;
    let mut chunks: Vec<Vec<&Value>> = vec![Vec::new()];
    let mut size = frame;
    for component in &content.components {
        let length = component.to_string().len() + 1;
        if size + length > MESSAGE_MAX && chunks.last().is_some_and(|chunk| !chunk.is_empty()) {
            chunks.push(Vec::new());
            size = frame;
        }
        size += length;
        chunks.last_mut().expect("there is at least one").push(component);
    }
    let total = chunks.len();
    chunks
        .into_iter()
        .enumerate()
        .map(|(nth, chunk)| {
            let mut whole = head.clone();
            if total > 1 {
                whole.insert("chunkInfo".to_owned(), json!({ "chunkId": nth + 1, "totalChunks": total }));
            }
            whole.insert("components".to_owned(), json!(chunk));
            Value::Object(whole).to_string()
        })
        .collect()
}
