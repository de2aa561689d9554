//! Changing the control plane: the new one is tried before anything is touched, and must hold afterwards (core-runtime
//! 4.10). The terminal status goes to the old one, which asked for it.

use std::collections::BTreeMap;
use std::time::Duration;

use marram_deploy::{ErrorCode, Failure, NUCLEUS, setting};
use marram_edge_ports::CloudPublish;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::record::{Record, Stage};
use crate::settings::EndpointError;
use crate::{Inner, lock};

/// Settings of the nucleus that name a control plane.
const KEYS: [&str; 3] = ["iotDataEndpoint", "iotCredEndpoint", "awsRegion"];
/// Others that the way to it is made of. They are tried while the line is up: without one there is nothing to lose.
const WAY: [&[&str]; 6] = [
    &["iotRoleAlias"],
    &["greengrassDataPlaneEndpoint"],
    &["greengrassDataPlanePort"],
    &["networkProxy"],
    &["mqtt", "port"],
    &["mqtt", "version"],
];
/// Where the old one is kept until it was told: `services/DeploymentService/runtime`.
const PLACE: [&str; 3] = ["services", "DeploymentService", "runtime"];
/// Where the last change stands, below `PLACE`.
const STANDING: &str = "endpointSwitch";
/// How long the line may take to come up at the new control plane, unless `mqtt.standaloneMqttTimeoutMs` says otherwise.
const SETTLE: Duration = Duration::from_secs(60);

/// Settings that were tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Switch {
    /// The nucleus' configuration before.
    pub before: Value,
    /// It is another control plane, and not another way to the same.
    pub moves: bool,
}

/// How a change of the control plane stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switching {
    /// The deployment that asks for it.
    pub deployment: String,
    /// `iotDataEndpoint` before.
    pub from: String,
    /// `iotDataEndpoint` that is wished for.
    pub to: String,
    /// Why the core stayed or came back; none while it is under way.
    pub failure: Option<String>,
}

/// The last change that did not succeed, or the one under way. What is noted as under way by a deployment that is over was canceled.
pub(crate) fn standing(inner: &Inner) -> Option<Switching> {
    let text = inner.ports.nucleus.get(&[PLACE[0], PLACE[1], PLACE[2], STANDING])?;
    let switching: Switching = serde_json::from_str(text.as_str()?).ok()?;
    let is_open = || {
        let ledger = lock(&inner.ledger);
        ledger.all().any(|record| record.id == switching.deployment && record.stage != Stage::Done)
    };
    (switching.failure.is_some() || is_open()).then_some(switching)
}

/// Notes how a change stands, `None` that it is made. For the doctor only: nothing depends on it.
async fn note(inner: &Inner, switching: Option<&Switching>) {
    let text = switching.map(|switching| serde_json::to_string(switching).expect("plain data")).unwrap_or_default();
    if let Err(error) = inner.ports.nucleus.put(&[PLACE[0], PLACE[1], PLACE[2], STANDING], text.into()).await {
        tracing::info!(%error, "how the change of the control plane stands is not kept");
    }
}

/// The core goes back to the control plane before, or stayed there.
pub(crate) async fn gave_up(inner: &Inner, failure: &Failure) {
    if let Some(switching) = standing(inner) {
        note(inner, Some(&Switching { failure: Some(failure.cause.clone()), ..switching })).await;
    }
}

/// The core is at the new control plane for good.
pub(crate) async fn made(inner: &Inner) {
    note(inner, None).await;
}

fn trouble(error: &EndpointError, moves: bool) -> Failure {
    let (code, cause) = match error {
        EndpointError::Settings(cause) => (ErrorCode::IotDataEndpointFormatNotValid, cause),
        EndpointError::Messages(cause) => (ErrorCode::MqttConnectionFailed, cause),
        EndpointError::Credentials(cause) => (ErrorCode::CredentialEndpointAuthFailure, cause),
        EndpointError::DataPlane(cause) => (ErrorCode::NetworkError, cause),
    };
    let what = if moves { "the new control plane cannot be used" } else { "the control plane is out of reach so" };
    Failure::of(&[code], format!("{what}: {cause}"))
}

/// Whether the deployment changes the control plane or the way to it. One that cannot be connected to fails it here.
pub(crate) async fn attempt(
    inner: &Inner,
    id: &str,
    now: &BTreeMap<SmolStr, Value>,
    trees: &BTreeMap<SmolStr, Value>,
) -> Result<Option<Switch>, Failure> {
    let configuration =
        |all: &BTreeMap<SmolStr, Value>| all.get(NUCLEUS).and_then(|tree| tree.get("configuration").cloned());
    let (Some(port), Some(new), Some(before)) = (&inner.ports.endpoints, configuration(trees), configuration(now))
    else {
        return Ok(None);
    };
    let is_named = |key: &&str| setting(&before, &[key]).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let differs = |path: &[&str]| setting(&before, path) != setting(&new, path);
    let moves = KEYS.iter().any(|key| differs(&[key]));
    let is_up = || *inner.ports.messages.connection().borrow();
    if !KEYS.iter().any(is_named) || !(moves || WAY.iter().any(|path| differs(path)) && is_up()) {
        return Ok(None);
    }
    if moves {
        let host = |all: &Value| setting(all, &KEYS[..1]).and_then(Value::as_str).unwrap_or_default().to_owned();
        let switching = Switching { deployment: id.to_owned(), from: host(&before), to: host(&new), failure: None };
        note(inner, Some(&switching)).await;
    }
    inner.waiting("the control plane to answer with the new settings");
    if let Err(error) = port.attempt(new).await {
        let failure = trouble(&error, moves);
        gave_up(inner, &failure).await;
        return Err(failure);
    }
    inner.waiting_over();
    Ok(Some(Switch { before, moves }))
}

/// Remembers whom to tell, before the new settings take effect. Another way to the same control plane needs no memory.
pub(crate) async fn remember(inner: &Inner, id: &str, switch: &Switch) -> Result<(), marram_edge_ports::PortError> {
    if !switch.moves {
        return Ok(());
    }
    let host = switch.before.get("iotDataEndpoint").cloned().unwrap_or_default();
    for (key, value) in [
        ("sourceConfiguration", Value::String(switch.before.to_string())),
        ("sourceIotDataEndpoint", host),
        ("sourceDeploymentId", json!(id)),
    ] {
        inner.ports.disk.step("old control plane").await;
        inner.ports.nucleus.put(&[PLACE[0], PLACE[1], PLACE[2], key], value).await?;
    }
    Ok(())
}

/// Waits until the line is up with the new settings.
pub(crate) async fn settle(inner: &Inner, switch: &Switch) -> Result<(), Failure> {
    let Some(port) = &inner.ports.endpoints else { return Ok(()) };
    inner.waiting("the line with the new settings");
    let limit = inner.setting(&["mqtt", "standaloneMqttTimeoutMs"]).and_then(|value| value.as_f64());
    let limit = limit.filter(|millis| *millis > 0.0).map_or(SETTLE, |millis| Duration::from_millis(millis as u64));
    let settled = port.settle(limit).await.map_err(|error| trouble(&error, switch.moves));
    inner.waiting_over();
    settled
}

/// The old control plane's settings, when `record` is the deployment that left it.
pub(crate) fn source_of(inner: &Inner, record: &Record) -> Option<Value> {
    let text = |key: &str| inner.ports.nucleus.get(&[PLACE[0], PLACE[1], PLACE[2], key]);
    let ours = text("sourceDeploymentId").is_some_and(|id| id == record.id.as_str());
    let succeeded = record.status() == marram_deploy::DeploymentStatus::Succeeded;
    let source = text("sourceConfiguration").filter(|_| ours && succeeded)?;
    serde_json::from_str(source.as_str()?).ok()
}

/// Whether a deployment is moving the core to another control plane, which knows nothing of it.
pub(crate) fn is_moving(inner: &Inner, record: &Record) -> bool {
    let id = inner.ports.nucleus.get(&[PLACE[0], PLACE[1], PLACE[2], "sourceDeploymentId"]);
    id.is_some_and(|id| id == record.id.as_str())
}

/// A last word to the old control plane. What it does not take is lost: it may be gone for good.
pub(crate) async fn tell(inner: &Inner, before: Value, topic: String, update: &Value) {
    let Some(port) = &inner.ports.endpoints else { return };
    let message = CloudPublish { topic, payload: update.to_string().into(), qos: 1, ..CloudPublish::default() };
    if let Err(error) = port.tell(before, message).await {
        tracing::warn!(%error, "the old control plane was not told how the deployment ended");
    }
}
