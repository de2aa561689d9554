//! The refusals of greengrassv2, with the members its model lists (control-plane-api 1.4).

use marram_aws_api::ApiError;
use serde_json::{Value, json};

/// `ValidationException` about one member.
pub(crate) fn field(name: &str, message: impl Into<String>) -> ApiError {
    let message = message.into();
    fields(message.clone(), vec![json!({"name": name, "message": message})])
}

/// `ValidationException` about several members.
pub(crate) fn fields(message: String, fields: Vec<Value>) -> ApiError {
    ApiError::new("ValidationException", 400, message)
        .with("reason", "FIELD_VALIDATION_FAILED")
        .with("fields", Value::Array(fields))
}

/// `ResourceNotFoundException`.
pub(crate) fn not_found(kind: &str, id: &str) -> ApiError {
    let shown: String = id.chars().take(256).flat_map(char::escape_debug).collect();
    ApiError::not_found(format!("The {kind} {shown} cannot be found."))
        .with("resourceId", id)
        .with("resourceType", kind)
}

/// `ConflictException`.
pub(crate) fn conflict(kind: &str, id: &str, message: impl Into<String>) -> ApiError {
    ApiError::new("ConflictException", 409, message).with("resourceId", id).with("resourceType", kind)
}
