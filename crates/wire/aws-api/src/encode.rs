//! An answer in the dialect of its service (control-plane-api 1.2 to 1.5).

mod json;
pub(crate) mod xml;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::error::{ApiError, Fault, MAX_MESSAGE_CHARS};
use crate::message::Response;
use crate::model::{Kind, Location, Member, Operation};
use crate::service::{Protocol, ServiceId};
use crate::timestamp;

/// Room that most answers do not outgrow.
const ANSWER_BYTES: usize = 512;

const JSON: &str = "application/json";
const JSON_10: &str = "application/x-amz-json-1.0";
const JSON_11: &str = "application/x-amz-json-1.1";
const XML: &str = "text/xml";

/// The answer of a call that succeeded. `output` is keyed by member name; members the model does not know are left out.
pub fn output(operation: &'static Operation, output: &Value, request_id: &str) -> Response {
    let mut response = Response {
        status: operation.status,
        content_type: None,
        headers: vec![(Cow::Borrowed("x-amzn-requestid"), request_id.to_owned())],
        body: Vec::with_capacity(ANSWER_BYTES),
    };
    match operation.service.protocol() {
        Protocol::Json10 => json_body(&mut response, JSON_10, operation, output),
        Protocol::Json11 => json_body(&mut response, JSON_11, operation, output),
        Protocol::RestJson => rest(&mut response, operation, output),
        Protocol::Query => {
            response.content_type = Some(XML);
            response.body = xml::output(operation, output, request_id).into_bytes();
        }
        Protocol::RestXml => {}
    }
    response
}

fn json_body(response: &mut Response, media_type: &'static str, operation: &Operation, output: &Value) {
    response.content_type = Some(media_type);
    match operation.output {
        Some(shape) => json::write(shape, output, &mut response.body),
        None => response.body.extend_from_slice(b"{}"),
    }
}

fn rest(response: &mut Response, operation: &'static Operation, output: &Value) {
    let Some(shape) = operation.output else { return };
    let mut payload = None;
    for member in shape.members() {
        let held = output.get(member.name).filter(|held| !held.is_null());
        match (member.location, held) {
            (Location::Payload, held) => payload = Some((member, held)),
            (Location::Header, Some(held)) => {
                response.headers.push((Cow::Owned(member.wire.to_ascii_lowercase()), header_text(member, held)));
            }
            (Location::StatusCode, Some(held)) => {
                response.status =
                    held.as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(response.status);
            }
            _ => {}
        }
    }
    response.content_type = Some(JSON);
    match payload {
        None => json::write(shape, output, &mut response.body),
        Some((_, None)) => {}
        Some((member, Some(held))) => match (&member.shape.kind, held) {
            // Not base64 is a fault of the service; the client then gets an empty body rather than a wrong one.
            (Kind::Blob { .. }, Value::String(text)) => response.body = STANDARD.decode(text).unwrap_or_default(),
            (Kind::String { .. }, Value::String(text)) => response.body = text.clone().into_bytes(),
            (_, held) => json::write(member.shape, held, &mut response.body),
        },
    }
    if response.status == 204 {
        response.content_type = None;
        response.body.clear();
    }
}

fn header_text(member: &Member, held: &Value) -> String {
    let text = match (&member.shape.kind, held) {
        (Kind::Timestamp(_), held) => timestamp::http_date(held).unwrap_or_default(),
        (_, Value::String(text)) if member.json_value => STANDARD.encode(text),
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The answer of a call that failed, with the code in the header and in the body.
pub fn error(service: ServiceId, error: &ApiError, request_id: &str) -> Response {
    let table = service.table();
    let message: String = error.message.chars().take(MAX_MESSAGE_CHARS).collect();
    let (code, status) = spell(service, error);
    let mut headers: Vec<(Cow<'static, str>, String)> =
        vec![(Cow::Borrowed("x-amzn-requestid"), request_id.to_owned())];
    if let Some(secs) = error.retry_after_secs {
        headers.push((Cow::Borrowed("retry-after"), secs.to_string()));
    }
    if table.protocol == Protocol::RestXml {
        let mut body = String::new();
        crate::s3::error_body(&code, &message, "", request_id, &mut body);
        return Response { status, content_type: Some("application/xml"), headers, body: body.into_bytes() };
    }
    if table.protocol == Protocol::Query {
        let sender = status < 500 && error.fault == Fault::Client;
        let body = xml::error(table.xml_namespace, sender, &code, &message, request_id).into_bytes();
        return Response { status, content_type: Some(XML), headers, body };
    }
    headers.push((Cow::Borrowed("x-amzn-errortype"), code.to_string()));
    let message_key = if service == ServiceId::Greengrass { "Message" } else { "message" };
    let mut body = serde_json::Map::new();
    body.insert("__type".to_owned(), Value::from(code.as_ref()));
    body.insert(message_key.to_owned(), Value::from(message));
    body.extend(error.members.iter().filter(|(_, held)| !held.is_null()).map(|(k, v)| (k.clone(), v.clone())));
    let content_type = match table.protocol {
        Protocol::Json10 => JSON_10,
        Protocol::Json11 => JSON_11,
        _ => JSON,
    };
    Response { status, content_type: Some(content_type), headers, body: Value::Object(body).to_string().into_bytes() }
}

/// The code as this service spells it, and its status.
///
/// The service's model has the last word on the status of its own codes. Codes that every service may answer are written one way
/// inside and spelled as the query services do where needed.
fn spell<'a>(service: ServiceId, error: &'a ApiError) -> (Cow<'a, str>, u16) {
    let common = match service.protocol() {
        Protocol::Query => match error.code.as_ref() {
            "AccessDeniedException" => Some(("AccessDenied", 403)),
            "ThrottlingException" => Some(("Throttling", 400)),
            "InternalFailureException" if service == ServiceId::Iam => Some(("ServiceFailure", 500)),
            "InternalFailureException" => Some(("InternalFailure", 500)),
            "UnknownOperationException" => Some(("InvalidAction", 400)),
            "InvalidRequestException" | "ValidationException" => Some(("ValidationError", 400)),
            _ => None,
        },
        Protocol::RestXml => match error.code.as_ref() {
            "AccessDeniedException" => Some(("AccessDenied", 403)),
            "InternalFailureException" => Some(("InternalError", 500)),
            "ServiceUnavailableException" | "ThrottlingException" => Some(("SlowDown", 503)),
            "InvalidRequestException" => Some(("InvalidRequest", 400)),
            _ => None,
        },
        // Only iot, iot-data and iotthingsgraph model the code; the others know the plain one.
        _ => match error.code.as_ref() {
            "InternalFailureException" if service.table().error("InternalFailureException").is_none() => {
                match service {
                    ServiceId::GreengrassV2 => Some(("InternalServerException", 500)),
                    ServiceId::Greengrass => Some(("InternalServerErrorException", 500)),
                    _ => Some(("InternalFailure", 500)),
                }
            }
            "AccessDeniedException" if matches!(service, ServiceId::ThingsGraph | ServiceId::CloudTrail) => {
                Some(("AccessDeniedException", 400))
            }
            _ => None,
        },
    };
    match common {
        Some((code, status)) => (Cow::Borrowed(code), status),
        None => {
            let status = service.table().error(&error.code).map_or(error.status, |modelled| modelled.status);
            (Cow::Borrowed(error.code.as_ref()), status)
        }
    }
}
