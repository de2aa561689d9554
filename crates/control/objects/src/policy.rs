//! Bucket policies: kept, and asked beside the policies of the caller (control-plane-api 9.1).

use marram_authz::{Policy, PolicyKind};
use marram_aws_api::ApiError;
use serde_json::Value;

/// Largest bucket policy, in bytes.
pub(crate) const MAX_POLICY: usize = 20 << 10;

/// A policy ready for decisions. One that is stored has been checked.
pub(crate) fn compile(bucket: &str, document: &str) -> Result<Policy, ApiError> {
    Policy::parse(PolicyKind::Resource, &format!("bucket:{bucket}"), document)
        .map_err(|error| ApiError::new("MalformedPolicy", 400, error.reason))
}

/// Checks a new policy: it must compile, and speak of its own bucket only.
pub(crate) fn check(bucket: &str, partition: &str, document: &str) -> Result<(), ApiError> {
    let malformed = |message: &str| ApiError::new("MalformedPolicy", 400, message);
    if document.len() > MAX_POLICY {
        return Err(malformed("Policy exceeds the maximum allowed document size."));
    }
    compile(bucket, document)?;
    let parsed: Value = serde_json::from_str(document).map_err(|_| malformed("Policies must be valid JSON."))?;
    let own = format!("arn:{partition}:s3:::{bucket}");
    let below = format!("{own}/");
    let statements = match parsed.get("Statement") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for statement in statements {
        for member in ["Resource", "NotResource"] {
            let resources = match statement.get(member) {
                Some(Value::Array(list)) => list.iter().collect(),
                Some(one) => vec![one],
                None => Vec::new(),
            };
            if !resources.iter().all(|arn| arn.as_str().is_some_and(|arn| arn == own || arn.starts_with(&below))) {
                return Err(malformed("Policy has invalid resource"));
            }
        }
    }
    Ok(())
}

/// The refusal of a bucket that another account owns.
pub(crate) fn foreign(principal: &str, action: &str, resource: &str) -> ApiError {
    ApiError::access_denied(format!(
        "User: {principal} is not authorized to perform: {action} on resource: {resource} because the resource belongs to \
         another account"
    ))
}
