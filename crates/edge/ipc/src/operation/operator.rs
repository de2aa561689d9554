//! Our own questions, for operators only: how is the core, why is it so (`marram#...`).

use std::collections::BTreeMap;

use marram_edge_ports::{
    ComponentDetails, ComponentState, Denied, DeploymentRecord, DeploymentStatus, KnownDeployment, Outage, PortError,
};
use marram_types::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use super::input::{parse, required_text};
use super::{Call, Handled, component, deployment};

pub(super) fn status(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    let ports = &call.door.ports;
    let components = ports.components.as_ref().map(|port| port.list()).unwrap_or_default();
    let deployments = ports.deployments.as_ref().map(|port| port.all()).unwrap_or_default();
    let under_way: Vec<_> = deployments.iter().filter(|one| one.is_under_way()).cloned().map(told).collect();
    let last = deployments.into_iter().rfind(|one| !one.is_under_way());
    let counters = &call.door.counters;
    let response = json!({
        "connected": connected(call),
        "outage": outage(call),
        "components": components.into_iter().map(explained).collect::<Vec<_>>(),
        "deploymentsUnderWay": under_way.len(),
        "deployments": under_way,
        "lastDeployment": last.map(told),
        "ipc": {
            "connections": counters.connections(),
            "subscriptions": counters.subscriptions(),
            "published": counters.published(),
            "delivered": counters.delivered(),
            "dropped": counters.dropped_total(),
        },
    });
    call.respond(&response)
}

/// Whether the line to the control plane is up; null without a control plane.
fn connected(call: &Call<'_>) -> Option<bool> {
    call.door.ports.cloud.as_ref().filter(|port| port.is_configured()).map(|port| *port.connection().borrow())
}

/// Since when and why the line is down; null while it is up, and without a control plane.
fn outage(call: &Call<'_>) -> Option<Value> {
    let Outage { since, was_up, trouble, waiting_messages, waiting_bytes } =
        call.door.ports.cloud.as_ref()?.outage()?;
    let mut shape = json!({
        "since": Timestamp::from_millis(since).rfc3339(),
        "wasConnected": was_up,
        "waitingMessages": waiting_messages,
        "waitingBytes": waiting_bytes,
    });
    if let Some(trouble) = trouble {
        shape["kind"] = json!(trouble.hurdle.as_str());
        shape["reason"] = json!(trouble.reason);
        shape["detail"] = json!(trouble.detail);
        shape["advice"] = json!(trouble.hurdle.advice());
    }
    Some(shape)
}

/// A line that is down, as a finding: what, and what to look at.
fn line_down(outage: Option<Outage>) -> (String, &'static str) {
    let Some(outage) = outage else {
        return ("the line to the control plane is down".to_owned(), "it comes up by itself; ask again");
    };
    let since = Timestamp::from_millis(outage.since).rfc3339();
    let since = if outage.was_up { format!("since {since}") } else { format!("and was not up since {since}") };
    let what = format!("the line to the control plane is down {since}");
    match outage.trouble {
        None => (format!("{what}: it is being tried"), "ask again"),
        Some(trouble) if trouble.detail.is_empty() => (format!("{what}: {}", trouble.reason), trouble.hurdle.advice()),
        Some(trouble) => (format!("{what}: {} ({})", trouble.reason, trouble.detail), trouble.hurdle.advice()),
    }
}

/// A component with the codes and the sentence that explain its state (CR 2.12).
fn explained(details: ComponentDetails) -> Value {
    let (codes, reason) = (details.status_codes.clone(), details.status_reason.clone());
    let (root, builtin) = (details.is_root, details.builtin);
    let mut shape = component::shape(details);
    shape["statusCodes"] = json!(codes);
    shape["statusReason"] = json!(reason);
    shape["isRoot"] = Value::Bool(root);
    shape["isBuiltin"] = Value::Bool(builtin);
    shape
}

/// A deployment with where it came from and what it waits for.
fn told(deployment: KnownDeployment) -> Value {
    let waiting = deployment.record.waiting_for.clone();
    let notes = deployment.record.notes.clone();
    let mut shape = deployment::shape(deployment.record);
    if !notes.is_empty() {
        shape["notes"] = json!(notes);
    }
    shape["source"] = json!(deployment.source.as_str());
    for (member, value) in
        [("configurationArn", deployment.configuration_arn), ("jobId", deployment.job_id), ("waitingFor", waiting)]
    {
        if let Some(value) = value {
            shape[member] = Value::String(value);
        }
    }
    shape
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explain {
    component_name: Option<String>,
    key_path: Option<Vec<SmolStr>>,
}

pub(super) fn explain_configuration(call: &mut Call<'_>) -> Handled {
    let request: Explain = parse(call.payload)?;
    let component = required_text(request.component_name, "componentName")?;
    let path = request.key_path.unwrap_or_default();
    let port = call.port(&call.door.ports.configuration)?;
    let value = port.read(&component, &path)?;
    let origins: Vec<_> = port
        .origins(&component, &path)
        .into_iter()
        .map(|origin| {
            let path: Vec<&str> = origin.path.iter().map(SmolStr::as_str).collect();
            json!({"keyPath": path, "timestamp": origin.timestamp, "source": origin.source})
        })
        .collect();
    call.respond(&json!({"componentName": component, "value": value, "origins": origins}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Why {
    deployment_id: Option<String>,
}

pub(super) fn why(call: &mut Call<'_>) -> Handled {
    let request: Why = parse(call.payload)?;
    let port = call.port(&call.door.ports.deployments)?;
    let known = port.all();
    let found = match &request.deployment_id {
        Some(id) => known.into_iter().rfind(|one| one.answers_to(id)),
        // Without an id: what is being worked on, else what waits, else what came last.
        None => {
            let is = |status| known.iter().position(|one| one.record.status == status);
            let place = is(DeploymentStatus::InProgress).or_else(|| is(DeploymentStatus::Queued));
            place.or(known.len().checked_sub(1)).map(|place| known[place].clone())
        }
    };
    let deployment = found.ok_or_else(|| PortError::ResourceNotFound {
        message: match &request.deployment_id {
            Some(id) => format!("no deployment with the id {id} is remembered"),
            None => "there was no deployment yet".to_owned(),
        },
        resource_type: Some("Deployment".to_owned()),
        resource_name: request.deployment_id,
    })?;
    let waiting = deployment.record.waiting_for.clone();
    let components = call.door.ports.components.as_ref().map(|port| port.list()).unwrap_or_default();
    let troubled = |details: &ComponentDetails| {
        matches!(details.state, ComponentState::Errored | ComponentState::Broken) || !details.status_codes.is_empty()
    };
    let troubled: Vec<_> = components.into_iter().filter(troubled).map(explained).collect();
    let response = json!({
        "deployment": told(deployment),
        "waitingFor": waiting,
        "troubledComponents": troubled,
        "connected": connected(call),
        "outage": outage(call),
    });
    call.respond(&response)
}

/// The last deployment of each target; of those made here, all: they have none in common.
fn last_of_each(known: Vec<KnownDeployment>) -> impl Iterator<Item = DeploymentRecord> {
    let mut last: BTreeMap<String, DeploymentRecord> = BTreeMap::new();
    for KnownDeployment { configuration_arn, record, .. } in known {
        // The revision stands behind the last colon.
        let target = configuration_arn.as_deref().and_then(|arn| arn.rsplit_once(':')).map(|(target, _)| target);
        last.insert(target.unwrap_or(&record.id).to_owned(), record);
    }
    last.into_values()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Learn {
    component_name: String,
}

pub(super) fn learn_sandbox(call: &mut Call<'_>) -> Handled {
    let request: Learn = parse(call.payload)?;
    let learned = call.port(&call.door.ports.sandboxes)?.learned(&request.component_name)?;
    call.respond(&learned)
}

pub(super) fn diagnose(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    let ports = &call.door.ports;
    let mut findings = Vec::new();
    let mut find = |severity: &str, what: String, advice: &str| {
        findings.push(json!({"severity": severity, "finding": what, "advice": advice}));
    };
    match connected(call) {
        Some(false) => {
            let (what, advice) = line_down(ports.cloud.as_ref().and_then(|port| port.outage()));
            find("error", what, advice);
        }
        None => find("note", "no control plane is configured".to_owned(), "local deployments work without one"),
        Some(true) => {}
    }
    if let Some(denied) = ports.cloud.as_ref().and_then(|port| port.denied()) {
        let (times, topic, at) = (denied.times, &denied.topic, Timestamp::from_millis(denied.at).rfc3339());
        let what = format!(
            "the control plane hung up {times} times over messages that this core may not publish, last at {at} over one to {topic}"
        );
        find("error", what, Denied::ADVICE);
    }
    if ports.deployments.as_ref().and_then(|port| port.demands_signatures()) == Some(false) {
        find(
            "note",
            "deployments are accepted without a signature".to_owned(),
            "give the core the key of its control plane: system.deploymentPublicKey (`marram core provision` writes it)",
        );
    }
    for details in ports.components.as_ref().map(|port| port.list()).unwrap_or_default() {
        let reason = details.status_reason.as_deref().unwrap_or("no reason was given");
        match details.state {
            ComponentState::Broken => {
                find("error", format!("{} is BROKEN: {reason}", details.name), "read its log, then restart it");
            }
            ComponentState::Errored => {
                find("warning", format!("{} is ERRORED: {reason}", details.name), "read its log");
            }
            _ => {}
        }
        if let Some(access_control) = details.configuration.get("accessControl") {
            for problem in crate::check_access_control(access_control) {
                let severity = if problem.fatal { "error" } else { "warning" };
                find(severity, format!("{}: {problem}", details.name), "correct the component's access control");
            }
        }
    }
    let checked: Vec<_> = ports.checks.iter().flat_map(|port| port.findings()).collect();
    for record in last_of_each(ports.deployments.as_ref().map(|port| port.all()).unwrap_or_default()) {
        let is_explained = || checked.iter().any(|finding| finding.what.contains(&record.id));
        if record.status == DeploymentStatus::Failed && !is_explained() {
            let cause = record.failure_cause.as_deref().unwrap_or("no cause was given");
            let advice = format!("ask `marram-core why {}`", record.id);
            find("warning", format!("deployment {} failed: {cause}", record.id), &advice);
        }
    }
    for finding in checked {
        find(finding.severity.as_str(), finding.what, &finding.advice);
    }
    let dropped = call.door.counters.dropped_total();
    if dropped > 0 {
        let what = format!("{dropped} IPC events were lost to slow subscribers");
        find("warning", what, "find the component in the log: it reads too slowly");
    }
    let response = json!({"findings": findings});
    call.respond(&response)
}
