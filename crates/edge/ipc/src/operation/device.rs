//! Client devices, tokens of components, metrics (CR 6.8).

use marram_edge_ports::{CallerKind, ComponentMetric, MqttCredential, PortError};
use serde::Deserialize;
use serde_json::json;

use super::configuration::feed;
use super::input::{parse, required, required_text};
use super::{Answer, Call, Handled, json as write};

const SERVICE: &str = "aws.greengrass.clientdevices.Auth";
/// Longest metric name in bytes.
const MAX_METRIC_NAME: usize = 32;
/// Units a metric may have.
const UNITS: &[&str] = &["BYTES", "BYTES_PER_SECOND", "COUNT", "COUNT_PER_SECOND", "MEGABYTES", "SECONDS"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificates {
    certificate_options: Option<CertificateOptions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateOptions {
    certificate_type: Option<String>,
}

pub(super) fn certificates(call: &mut Call<'_>) -> Handled {
    let request: Certificates = parse(call.payload)?;
    let options = required(request.certificate_options, "certificateOptions")?;
    match required(options.certificate_type, "certificateType")?.as_str() {
        "SERVER" => {}
        other => return Err(PortError::InvalidArguments(format!("certificate type `{other}` does not exist"))),
    }
    call.authorize(SERVICE, Some("*"))?;
    let updates = call.port(&call.door.ports.client_devices)?.certificates(&call.caller.name)?;
    let feed = feed(updates, |update| {
        json!({"certificateUpdate": {
            "privateKey": update.private_key,
            "publicKey": update.public_key,
            "certificate": update.certificate,
            "caCertificates": update.ca_certificates,
        }})
    });
    Ok(Answer::Feed { resource: "*".into(), feed })
}

#[derive(Deserialize)]
struct Credentials<T> {
    credential: Option<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceCredential {
    client_device_certificate: Option<String>,
}

pub(super) fn verify(call: &mut Call<'_>) -> Handled {
    let request: Credentials<DeviceCredential> = parse(call.payload)?;
    let credential = required(request.credential, "credential")?;
    let certificate = required_text(credential.client_device_certificate, "clientDeviceCertificate")?;
    call.authorize(SERVICE, Some("*"))?;
    let port = call.port(&call.door.ports.client_devices)?;
    Ok(Answer::Later(Box::pin(async move {
        let valid = port.verify(&certificate).await?;
        write(&json!({"isValidClientDevice": valid}))
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialDocument {
    mqtt_credential: Option<Mqtt>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mqtt {
    client_id: Option<String>,
    certificate_pem: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

pub(super) fn auth_token(call: &mut Call<'_>) -> Handled {
    let request: Credentials<CredentialDocument> = parse(call.payload)?;
    let document = required(request.credential, "credential")?;
    let mqtt = required(document.mqtt_credential, "mqttCredential")?;
    call.authorize(SERVICE, Some("*"))?;
    let port = call.port(&call.door.ports.client_devices)?;
    let credential = MqttCredential {
        client_id: mqtt.client_id,
        certificate_pem: mqtt.certificate_pem,
        username: mqtt.username,
        password: mqtt.password,
    };
    Ok(Answer::Later(Box::pin(async move {
        let token = port.auth_token(credential).await?;
        write(&json!({"clientDeviceAuthToken": token}))
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    client_device_auth_token: Option<String>,
    operation: Option<String>,
    resource: Option<String>,
}

pub(super) fn authorize(call: &mut Call<'_>) -> Handled {
    let request: Action = parse(call.payload)?;
    let token = required_text(request.client_device_auth_token, "clientDeviceAuthToken")?;
    let operation = required_text(request.operation, "operation")?;
    let resource = required_text(request.resource, "resource")?;
    call.authorize(SERVICE, Some("*"))?;
    let port = call.port(&call.door.ports.client_devices)?;
    Ok(Answer::Later(Box::pin(async move {
        let allowed = port.authorize(&token, &operation, &resource).await?;
        write(&json!({"isAuthorized": allowed}))
    })))
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
}

/// Only the stream manager may ask whose tokens its own clients hold.
pub(super) fn validate_token(call: &mut Call<'_>) -> Handled {
    const STREAM_MANAGER: &str = "aws.greengrass.StreamManager";
    if call.caller.kind != CallerKind::Component || call.caller.name != STREAM_MANAGER {
        // No policy can grant it: the check is made for its audit record and its sentence.
        call.authorize("aws.greengrass.ValidateAuthorizationToken", None)?;
        return Err(PortError::Unauthorized("only the stream manager may validate tokens".to_owned()));
    }
    let token = required(parse::<Token>(call.payload)?.token, "token")?;
    match call.door.ports.identities.owner_of(&token) {
        Some(_) => call.respond(&json!({"isValid": true})),
        None => Err(PortError::InvalidToken("the token belongs to no component".to_owned())),
    }
}

#[derive(Deserialize)]
struct PutMetrics {
    metrics: Option<Vec<Metric>>,
}

#[derive(Deserialize)]
struct Metric {
    name: Option<String>,
    unit: Option<String>,
    value: Option<f64>,
}

pub(super) fn put_metrics(call: &mut Call<'_>) -> Handled {
    let request: PutMetrics = parse(call.payload)?;
    let metrics = required(request.metrics, "metrics")?;
    let metrics = metrics.into_iter().map(checked).collect::<Result<Vec<_>, _>>()?;
    if metrics.is_empty() {
        return Err(PortError::InvalidArguments("`metrics` must not be empty".to_owned()));
    }
    for metric in &metrics {
        call.authorize("aws.greengrass.ipc.componentmetric", Some(&metric.name))?;
    }
    call.port(&call.door.ports.metrics)?.put(&call.caller.name, metrics)?;
    Ok(Answer::Empty)
}

fn checked(metric: Metric) -> Result<ComponentMetric, PortError> {
    let name = required_text(metric.name, "name")?;
    let unit = required(metric.unit, "unit")?;
    let value = required(metric.value, "value")?;
    if name.len() > MAX_METRIC_NAME {
        return Err(PortError::InvalidArguments(format!("a metric's name has at most {MAX_METRIC_NAME} bytes")));
    }
    if !UNITS.contains(&unit.as_str()) {
        return Err(PortError::InvalidArguments(format!("unit `{unit}` does not exist")));
    }
    if value < 0.0 {
        return Err(PortError::InvalidArguments("a metric's value must not be negative".to_owned()));
    }
    Ok(ComponentMetric { name, unit, value })
}
