//! What of a request or an answer may stand in an audit record (control-plane-api 10.2).

use serde_json::{Map, Value};

use crate::model::{Kind, Shape};

/// Stands where something must not.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Longest text that is copied into an audit record, in bytes (control-plane-api 10.2).
pub const MAX_AUDIT_TEXT_BYTES: usize = 100_000;

/// A copy of `value` with sensitive members, blobs and very long texts hidden.
pub fn redact(shape: &'static Shape, value: &Value) -> Value {
    if shape.sensitive && !value.is_null() {
        return Value::from(HIDDEN);
    }
    match (&shape.kind, value) {
        (Kind::Structure { members }, Value::Object(given)) => {
            let mut copy = Map::new();
            for member in *members {
                if let Some(held) = given.get(member.name) {
                    copy.insert(member.name.to_owned(), redact(member.shape, held));
                }
            }
            Value::Object(copy)
        }
        (Kind::List { member, .. }, Value::Array(items)) => items.iter().map(|item| redact(member, item)).collect(),
        (Kind::Map { value: element, .. }, Value::Object(entries)) => {
            entries.iter().map(|(key, held)| (key.clone(), redact(element, held))).collect::<Map<_, _>>().into()
        }
        (Kind::Blob { .. }, Value::String(_)) => Value::from(HIDDEN),
        (_, Value::String(text)) if text.len() > MAX_AUDIT_TEXT_BYTES => Value::from(HIDDEN),
        (_, plain) => plain.clone(),
    }
}
