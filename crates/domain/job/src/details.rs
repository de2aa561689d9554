//! `statusDetails`: what a device tells about its progress.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::JobError;

/// Pairs of one execution (CP 5.9).
pub const MAX_DETAILS: usize = 10;
/// Characters of a key.
const MAX_KEY: usize = 128;
/// Characters of a value.
const MAX_VALUE: usize = 1024;

/// Keys and values, sorted by key.
pub type StatusDetails = BTreeMap<String, String>;

/// Reads `statusDetails`: at most ten texts by names of `[a-zA-Z0-9:_-]`.
///
/// # Errors
/// [`JobError::InvalidRequest`].
pub fn parse_details(value: &Value) -> Result<StatusDetails, JobError> {
    let invalid = |text: &str| JobError::InvalidRequest(text.to_owned());
    let Value::Object(members) = value else { return Err(invalid("statusDetails must be an object")) };
    if members.len() > MAX_DETAILS {
        return Err(invalid("statusDetails has at most 10 members"));
    }
    members
        .iter()
        .map(|(key, value)| {
            let good = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
            if key.is_empty() || key.len() > MAX_KEY || !key.chars().all(good) {
                return Err(invalid("statusDetails has an invalid key"));
            }
            match value.as_str() {
                // The empty text is one: it erases older words (core-runtime.md 4.3).
                Some(text) if text.chars().count() <= MAX_VALUE && !text.chars().any(is_forbidden) => {
                    Ok((key.clone(), text.to_owned()))
                }
                _ => Err(invalid("statusDetails has an invalid value")),
            }
        })
        .collect()
}

/// Control characters other than line breaks and tabs, which failure causes contain.
fn is_forbidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}
