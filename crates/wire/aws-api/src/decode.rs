//! A request in any protocol to one JSON object keyed by member name.
//!
//! Every value of the object has the type its shape says; constraints are checked afterwards by [`crate::constraint`]. Members
//! the model does not know are dropped, `null` is the same as absent, and a number in quotes is refused (control-plane-api 1.2).

pub mod json;
pub mod query;
mod rest;

use serde_json::{Map, Value};

use crate::constraint;
use crate::error::ApiError;
use crate::message::Request;
use crate::model::{Operation, Shape};
use crate::route::Matched;
use crate::service::{Protocol, ServiceId};

/// Deepest nesting of a JSON body (security 12.2).
pub const MAX_JSON_DEPTH: usize = 64;

/// Why a value is refused: where, and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `tags.1.member.key`; empty for the body itself.
    pub path: String,
    /// `must be a string`.
    pub reason: String,
}

impl Violation {
    pub(crate) fn new(path: impl Into<String>, reason: impl Into<String>) -> Violation {
        Violation { path: path.into(), reason: reason.into() }
    }
}

/// Reads and checks the input of a routed request.
pub fn decode(matched: &Matched, request: &Request<'_>) -> Result<Value, ApiError> {
    let operation = matched.operation;
    if !operation.has_shapes {
        return Err(not_supported(operation));
    }
    if request.body.len() > operation.body_limit as usize {
        return Err(body_too_large(operation));
    }
    let Some(input) = operation.input else {
        return Ok(Value::Object(Map::new()));
    };
    let decoded = match operation.service.protocol() {
        Protocol::Json10 | Protocol::Json11 => {
            json::parse_body(request.body).and_then(|body| json::structure(input, body))
        }
        Protocol::RestJson => rest::structure(input, matched, request),
        Protocol::Query => query::structure(input, request),
        // No table of a REST-XML service carries shapes: its bodies are streams, read by the service itself.
        Protocol::RestXml => return Err(not_supported(operation)),
    };
    constrained(operation, input, decoded)
}

/// Checks an input that came as one JSON object keyed by member name, through no dialect: what it answers is what
/// [`decode`] would have made of the same request on the wire. `bytes` is the length of the JSON, for the operation's limit.
///
/// # Errors
/// As [`decode`].
pub fn check(operation: &'static Operation, input: Value, bytes: usize) -> Result<Value, ApiError> {
    if !operation.has_shapes {
        return Err(not_supported(operation));
    }
    if bytes > operation.body_limit as usize {
        return Err(body_too_large(operation));
    }
    match operation.input {
        None => Ok(Value::Object(Map::new())),
        Some(shape) => constrained(operation, shape, json::named_structure(shape, input)),
    }
}

fn constrained(
    operation: &Operation,
    shape: &'static Shape,
    decoded: Result<Value, Violation>,
) -> Result<Value, ApiError> {
    let value = decoded.map_err(|violation| refuse(operation.service, &[violation]))?;
    let violations = constraint::check(shape, &value);
    if violations.is_empty() { Ok(value) } else { Err(refuse(operation.service, &violations)) }
}

/// The service's own error for a request that is wrong.
pub fn input_error(service: ServiceId, message: impl Into<String>) -> ApiError {
    let code = match service {
        ServiceId::Iam | ServiceId::Sts => "ValidationError",
        ServiceId::CloudTrail | ServiceId::GreengrassV2 => "ValidationException",
        ServiceId::S3 => "InvalidRequest",
        ServiceId::Logs | ServiceId::SecretsManager => "InvalidParameterException",
        ServiceId::CloudWatch => "InvalidParameterValue",
        ServiceId::Greengrass => "BadRequestException",
        ServiceId::ThingsGraph | ServiceId::Iot | ServiceId::IotData | ServiceId::IotJobsData => {
            "InvalidRequestException"
        }
    };
    ApiError::new(code, 400, message)
}

/// What an operation that is known but not built answers (control-plane-api 4.2).
pub fn not_supported(operation: &Operation) -> ApiError {
    let message = format!("{} is not supported by this endpoint", operation.name);
    match operation.service.protocol() {
        Protocol::Query => ApiError::new("InvalidAction", 400, message),
        Protocol::RestXml => ApiError::new("NotImplemented", 501, message),
        _ => input_error(operation.service, message),
    }
}

/// What a body beyond the operation's limit is answered with.
pub fn body_too_large(operation: &Operation) -> ApiError {
    let message = format!("the body is larger than {} bytes", operation.body_limit);
    if operation.service == ServiceId::IotData {
        return ApiError::new("RequestEntityTooLargeException", 413, message);
    }
    input_error(operation.service, message)
}

fn refuse(service: ServiceId, violations: &[Violation]) -> ApiError {
    let details: Vec<String> = violations
        .iter()
        .map(|violation| match violation.path.as_str() {
            "" => format!("The request {}", violation.reason),
            path => format!("Value at '{path}' failed to satisfy constraint: Member {}", violation.reason),
        })
        .collect();
    let count = violations.len();
    let plural = if count == 1 { "" } else { "s" };
    input_error(service, format!("{count} validation error{plural} detected: {}", details.join("; ")))
}
