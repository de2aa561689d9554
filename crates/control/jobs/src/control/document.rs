//! Where the document of a job or a template comes from: the request itself, or an object of S3 read once (CP 4.7).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_job::{MAX_DOCUMENT_CHARS, object_url};
use serde_json::Value;

use crate::jobs::Jobs;

/// Bytes of a document of [`MAX_DOCUMENT_CHARS`] characters at most.
const MAX_DOCUMENT_BYTES: u64 = 4 * MAX_DOCUMENT_CHARS as u64;

/// The document a request gives; `None` when it gives none. An object is read with the caller's own rights.
///
/// # Errors
/// `InvalidRequestException` for two documents, a URL that names no object, an object that cannot be read or is no text;
/// `AccessDeniedException`.
pub(super) async fn given(jobs: &Jobs, ctx: &CallContext, input: &Value) -> Result<Option<String>, ApiError> {
    let invalid = |text: String| Err(ApiError::invalid_request(text));
    let (document, source) = (input["document"].as_str(), input["documentSource"].as_str());
    let Some(source) = source else { return Ok(document.map(str::to_owned)) };
    if document.is_some() {
        return invalid("Give a document or a documentSource, not both.".to_owned());
    }
    let presigner = jobs.presigner();
    let shown = marram_registry::shown(source);
    let Some(place) = object_url(source, presigner.host()) else {
        return invalid(format!("The documentSource {shown} is not an https URL of an object in S3."));
    };
    let read = presigner.objects().read(ctx, &place.bucket, &place.key, MAX_DOCUMENT_BYTES).await;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) if error.status == 403 || error.status >= 500 => return Err(error),
        Err(error) => return invalid(format!("The documentSource {shown} cannot be read: {}", error.message)),
    };
    match String::from_utf8(bytes) {
        Ok(text) if text.chars().count() <= MAX_DOCUMENT_CHARS => Ok(Some(text)),
        Ok(_) => invalid(format!("The documentSource {shown} has more than {MAX_DOCUMENT_CHARS} characters.")),
        Err(_) => invalid(format!("The documentSource {shown} is not text in UTF-8.")),
    }
}
