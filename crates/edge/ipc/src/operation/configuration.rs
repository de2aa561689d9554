//! Configuration: reading, merging, watching, judging (CR 3.5, 3.6).

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use marram_edge_ports::PortError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use tokio::sync::mpsc;

use super::component::own_component;
use super::input::{Text, parse, required};
use super::{Answer, Call, Feed, Handled};

/// Seconds of a timestamp beyond which it is no time: the year 9999.
const MAX_SECONDS: f64 = 253_402_300_799.0;

/// What bounds a component stands beside its own settings: its rights on IPC, its sandbox, the policy of its session (SEC-131, SEC-134).
const GUARDED: [&str; 2] = ["accessControl", "marram"];

/// Events from a channel, as JSON.
pub(super) fn feed<T: Send + 'static>(
    receiver: mpsc::Receiver<T>,
    event: impl Fn(T) -> Value + Send + 'static,
) -> Feed {
    let items = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    Box::pin(items.map(move |item| event(item).to_string().into_bytes()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    #[serde(borrow)]
    component_name: Option<Text<'a>>,
    key_path: Option<Vec<SmolStr>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    component_name: &'a str,
    value: &'a Value,
}

pub(super) fn get(call: &mut Call<'_>) -> Handled {
    let request: Place<'_> = parse(call.payload)?;
    let own = &call.caller.name;
    let component = request.component_name.as_ref().map_or(own.as_str(), |name| &*name.0);
    let path = request.key_path.unwrap_or_default();
    let port = call.port(&call.door.ports.configuration)?;
    call.door.may_read_configuration(call.caller, call.operation, component)?;
    let value = port.read(component, &path)?;
    // A leaf comes wrapped in its own name.
    let value = match (value, path.last()) {
        (value @ Value::Object(_), _) | (value, None) => value,
        (leaf, Some(name)) => Value::Object(Map::from_iter([(name.to_string(), leaf)])),
    };
    call.respond(&Found { component_name: component, value: &value })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    key_path: Option<Vec<SmolStr>>,
    timestamp: Option<f64>,
    value_to_merge: Option<Value>,
}

pub(super) fn update(call: &mut Call<'_>) -> Handled {
    let request: Update = parse(call.payload)?;
    let timestamp = required(request.timestamp, "timestamp")?;
    let value = required(request.value_to_merge, "valueToMerge")?;
    let Value::Object(members) = &value else {
        return Err(PortError::InvalidArguments("`valueToMerge` must be an object".to_owned()));
    };
    if !(0.0..=MAX_SECONDS).contains(&timestamp) {
        return Err(PortError::InvalidArguments("`timestamp` is out of range".to_owned()));
    }
    let path = request.key_path.unwrap_or_default();
    let guarded = |key: &&str| GUARDED.iter().any(|guarded| key.eq_ignore_ascii_case(guarded));
    let mut changed = path
        .first()
        .map(SmolStr::as_str)
        .into_iter()
        .chain(members.keys().map(String::as_str).filter(|_| path.is_empty()));
    if let Some(key) = changed.find(guarded) {
        return Err(PortError::InvalidArguments(format!("`{key}` is changed by deployments only")));
    }
    let port = call.port(&call.door.ports.configuration)?;
    let component = call.caller.name.clone();
    let milliseconds = (timestamp * 1000.0).round() as i64;
    Ok(Answer::Later(Box::pin(async move {
        port.update(&component, &path, milliseconds, value).await?;
        Ok(b"{}".to_vec())
    })))
}

pub(super) fn subscribe(call: &mut Call<'_>) -> Handled {
    let request: Place<'_> = parse(call.payload)?;
    let component: Arc<str> = request.component_name.as_ref().map_or(call.caller.name.as_str(), |name| &*name.0).into();
    let port = call.port(&call.door.ports.configuration)?;
    call.door.may_read_configuration(call.caller, call.operation, &component)?;
    let changes = port.watch(&component, &request.key_path.unwrap_or_default())?;
    let feed = feed(changes, |changed| {
        let path: Vec<&str> = changed.path.iter().map(SmolStr::as_str).collect();
        json!({"configurationUpdateEvent": {"componentName": changed.component.as_str(), "keyPath": path}})
    });
    Ok(Answer::Feed { resource: component, feed })
}

pub(super) fn validations(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    let port = call.port(&call.door.ports.deployments)?;
    let feed = feed(port.validations(own_component(call)?), |request| {
        let (configuration, deployment) = (request.configuration, request.deployment_id);
        json!({"validateConfigurationUpdateEvent": {"configuration": configuration, "deploymentId": deployment}})
    });
    Ok(Answer::Feed { resource: call.caller.name.as_str().into(), feed })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Validity {
    configuration_validity_report: Option<Report>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    status: Option<String>,
    deployment_id: Option<String>,
    message: Option<String>,
}

pub(super) fn report_validity(call: &mut Call<'_>) -> Handled {
    let request: Validity = parse(call.payload)?;
    let report = required(request.configuration_validity_report, "configurationValidityReport")?;
    let deployment = required(report.deployment_id, "deploymentId")?;
    let verdict = match required(report.status, "status")?.as_str() {
        "ACCEPTED" => Ok(()),
        "REJECTED" => Err(report.message),
        other => return Err(PortError::InvalidArguments(format!("status `{other}` does not exist"))),
    };
    call.port(&call.door.ports.deployments)?.report_validity(&call.caller.name, &deployment, verdict)?;
    Ok(Answer::Empty)
}
