//! Components: their own state, updates of them, commands to others (CR 2, 4.8, 6.8).

use std::sync::Arc;

use marram_edge_ports::{
    CallerKind, ComponentDetails, ComponentState, ComponentUpdate, Components, Later, PortError, ReportedState,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::configuration::feed;
use super::input::{parse, required, required_text};
use super::{Answer, Call, Handled, json as write};

const CLI: &str = "aws.greengrass.Cli";
const LIFECYCLE: &str = "aws.greengrass.ipc.lifecycle";
/// Longest list of components that leaves room for the headers of its frame (CR 6.2).
const MAX_LIST: usize = marram_eventstream::MAX_MESSAGE - 4096;

#[derive(Deserialize)]
struct State {
    state: Option<String>,
}

/// The calling component; whoever commands the core is none.
pub(super) fn own_component<'a>(call: &Call<'a>) -> Result<&'a str, PortError> {
    match call.caller.kind {
        CallerKind::Component => Ok(&call.caller.name),
        CallerKind::Operator => Err(PortError::no_component(&call.caller.name)),
    }
}

pub(super) fn update_state(call: &mut Call<'_>) -> Handled {
    let request: State = parse(call.payload)?;
    let state = match required(request.state, "state")?.as_str() {
        "RUNNING" => ReportedState::Running,
        "ERRORED" => ReportedState::Errored,
        other => return Err(PortError::InvalidArguments(format!("state `{other}` cannot be reported"))),
    };
    call.port(&call.door.ports.components)?.report_state(&call.caller.name, state)?;
    Ok(Answer::Empty)
}

pub(super) fn subscribe_updates(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    let port = call.port(&call.door.ports.deployments)?;
    let feed = feed(port.component_updates(own_component(call)?), |update| match update {
        ComponentUpdate::Pre { deployment_id, restarting } => {
            json!({"preUpdateEvent": {"deploymentId": deployment_id, "isGgcRestarting": restarting}})
        }
        ComponentUpdate::Post { deployment_id } => json!({"postUpdateEvent": {"deploymentId": deployment_id}}),
    });
    Ok(Answer::Feed { resource: call.caller.name.as_str().into(), feed })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Defer {
    deployment_id: Option<String>,
    message: Option<String>,
    recheck_after_ms: Option<i64>,
}

pub(super) fn defer(call: &mut Call<'_>) -> Handled {
    let request: Defer = parse(call.payload)?;
    let deployment = required(request.deployment_id, "deploymentId")?;
    let delay = request.recheck_after_ms.unwrap_or(0);
    if delay < 0 {
        return Err(PortError::InvalidArguments("`recheckAfterMs` must not be negative".to_owned()));
    }
    call.port(&call.door.ports.deployments)?.defer(&call.caller.name, &deployment, delay, request.message)?;
    Ok(Answer::Empty)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    component_name: Option<String>,
}

/// The named component, once the caller may act on it.
fn named(call: &Call<'_>, service: &str) -> Result<(Arc<dyn Components>, String), PortError> {
    let name = required_text(parse::<Named>(call.payload)?.component_name, "componentName")?;
    call.authorize(service, Some(&name))?;
    Ok((call.port(&call.door.ports.components)?, name))
}

pub(super) fn pause(call: &mut Call<'_>) -> Handled {
    let (port, name) = named(call, LIFECYCLE)?;
    Ok(Answer::Later(Box::pin(async move { port.pause(&name).await.map(|()| b"{}".to_vec()) })))
}

pub(super) fn resume(call: &mut Call<'_>) -> Handled {
    let (port, name) = named(call, LIFECYCLE)?;
    Ok(Answer::Later(Box::pin(async move { port.resume(&name).await.map(|()| b"{}".to_vec()) })))
}

pub(super) fn restart(call: &mut Call<'_>) -> Handled {
    command(call, "restartStatus", |port, name| port.restart(name))
}

pub(super) fn stop(call: &mut Call<'_>) -> Handled {
    command(call, "stopStatus", |port, name| port.stop(name))
}

/// A command that was accepted, or refused with a reason.
fn command(
    call: &Call<'_>,
    member: &'static str,
    run: impl for<'a> Fn(&'a dyn Components, &'a str) -> Later<'a, Option<String>> + Send + 'static,
) -> Handled {
    let (port, name) = named(call, CLI)?;
    Ok(Answer::Later(Box::pin(async move {
        match run(&*port, &name).await? {
            None => write(&json!({member: "SUCCEEDED"})),
            Some(message) => write(&json!({member: "FAILED", "message": message})),
        }
    })))
}

/// `ComponentDetails` of the wire. Only states of CR 2.1 that clients know are shown.
pub(super) fn shape(details: ComponentDetails) -> Value {
    let state = match details.state {
        ComponentState::Uninstalling => ComponentState::Stopping,
        ComponentState::Uninstalled => ComponentState::Finished,
        state => state,
    };
    json!({
        "componentName": details.name.as_str(),
        "version": details.version.as_str(),
        "state": state.as_str(),
        "configuration": details.configuration,
    })
}

pub(super) fn details(call: &mut Call<'_>) -> Handled {
    let (port, name) = named(call, CLI)?;
    let details = port.details(&name).ok_or_else(|| PortError::no_component(&name))?;
    call.respond(&json!({"componentDetails": shape(details)}))
}

pub(super) fn list(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    call.authorize(CLI, Some("*"))?;
    let mut components: Vec<_> = call.port(&call.door.ports.components)?.list().into_iter().map(shape).collect();
    let text = write(&json!({"components": components}))?;
    if text.len() <= MAX_LIST {
        call.body.extend_from_slice(&text);
        return Ok(Answer::Written);
    }
    // Whoever commands the core still learns what runs, and has the details of each.
    tracing::warn!(bytes = text.len(), "the components are listed without their configurations");
    components.iter_mut().for_each(|component| component["configuration"] = json!({}));
    call.respond(&json!({"components": components}))
}
