//! Refusals as iot-data models them; on MQTT their status and text go into `rejected` (CP 1.4, 5.7).

use marram_aws_api::ApiError;
use marram_shadow::ShadowError;

/// The modelled exception of a refusal.
pub(crate) fn api(error: &ShadowError) -> ApiError {
    let code = match error.code() {
        404 => "ResourceNotFoundException",
        409 => "ConflictException",
        413 => "RequestEntityTooLargeException",
        415 => "UnsupportedDocumentEncodingException",
        429 => "ThrottlingException",
        500 => "InternalFailureException",
        _ => "InvalidRequestException",
    };
    ApiError::new(code, error.code(), error.to_string())
}
