//! Our own questions, for operators only: how is the core, why is it so (`marram#...`).

use marram_edge_ports::{ComponentDetails, ComponentState, DeploymentRecord, DeploymentStatus, PortError};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use super::input::{parse, required_text};
use super::{Call, Handled, component, deployment};

pub(super) fn status(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    let ports = &call.door.ports;
    let components = ports.components.as_ref().map(|port| port.list()).unwrap_or_default();
    let deployments = ports.deployments.as_ref().map(|port| port.local_list()).unwrap_or_default();
    let counters = &call.door.counters;
    let response = json!({
        "connected": connected(call),
        "components": components.into_iter().map(explained).collect::<Vec<_>>(),
        "deploymentsUnderWay": deployments.iter().filter(|record| is_open(record)).count(),
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

/// Whether the line to the control plane is up; null without a line.
fn connected(call: &Call<'_>) -> Option<bool> {
    call.door.ports.cloud.as_ref().map(|port| *port.connection().borrow())
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

fn is_open(record: &DeploymentRecord) -> bool {
    matches!(record.status, DeploymentStatus::Queued | DeploymentStatus::InProgress)
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
    let record = match request.deployment_id {
        Some(id) => port.local_status(&id)?,
        // Without an id: what is under way, else what came last.
        None => {
            let records = port.local_list();
            let newest = records.into_iter().max_by_key(|record| (is_open(record), record.created_on));
            newest.ok_or_else(|| PortError::ResourceNotFound {
                message: "there was no deployment yet".to_owned(),
                resource_type: Some("Deployment".to_owned()),
                resource_name: None,
            })?
        }
    };
    let waiting = record.waiting_for.clone();
    let components = call.door.ports.components.as_ref().map(|port| port.list()).unwrap_or_default();
    let troubled = |details: &ComponentDetails| {
        matches!(details.state, ComponentState::Errored | ComponentState::Broken) || !details.status_codes.is_empty()
    };
    let troubled: Vec<_> = components.into_iter().filter(troubled).map(explained).collect();
    let response = json!({
        "deployment": deployment::shape(record),
        "waitingFor": waiting,
        "troubledComponents": troubled,
        "connected": connected(call),
    });
    call.respond(&response)
}

pub(super) fn diagnose(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    let ports = &call.door.ports;
    let mut findings = Vec::new();
    let mut find = |severity: &str, what: String, advice: &str| {
        findings.push(json!({"severity": severity, "finding": what, "advice": advice}));
    };
    match connected(call) {
        Some(false) => find(
            "warning",
            "the line to the control plane is down".to_owned(),
            "check the endpoints, the certificate and the network",
        ),
        None => find("note", "no control plane is configured".to_owned(), "local deployments work without one"),
        Some(true) => {}
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
    for record in ports.deployments.as_ref().map(|port| port.local_list()).unwrap_or_default() {
        if record.status == DeploymentStatus::Failed {
            let cause = record.failure_cause.as_deref().unwrap_or("no cause was given");
            find("warning", format!("deployment {} failed: {cause}", record.id), "ask `marram-core why`");
        }
    }
    for finding in ports.checks.iter().flat_map(|port| port.findings()) {
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
