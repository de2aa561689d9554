//! Job documents: parameters of templates.

use std::collections::BTreeMap;

/// Longest document, in characters (CP 4.1).
pub const MAX_DOCUMENT_CHARS: usize = 32_768;

/// How a parameter stands in a document.
const OPEN: &str = "${aws:iot:parameter:";

/// Replaces `${aws:iot:parameter:name}`; values stand inside JSON texts and are escaped as such.
///
/// # Errors
/// The name of a parameter without a value, or the rest of one that is not closed.
pub fn fill_parameters(document: &str, parameters: &BTreeMap<String, String>) -> Result<String, String> {
    let mut filled = String::with_capacity(document.len());
    let mut rest = document;
    while let Some(at) = rest.find(OPEN) {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        let after = &after[OPEN.len()..];
        let Some((name, tail)) = after.split_once('}') else {
            return Err(after.chars().take(64).collect());
        };
        let value = parameters.get(name).ok_or_else(|| name.to_owned())?;
        let quoted = serde_json::Value::from(value.as_str()).to_string();
        filled.push_str(&quoted[1..quoted.len() - 1]);
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}
