//! Attributes of things and groups: `attributePayload` (CP 4.1, 4.4).

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_types::{AttributeKey, AttributeValue};
use serde_json::{Map, Value};

/// Attributes of a thing without a type (CP 4.4).
pub(crate) const MAX_WITHOUT_TYPE: usize = 3;
/// Attributes of a thing with a type, and of a group (CP 4.4).
pub(crate) const MAX_WITH_TYPE: usize = 50;

/// Names and values, sorted by name; values are never empty.
pub(crate) type Attributes = BTreeMap<String, String>;

/// What a request wants done to attributes.
#[derive(Debug, Default)]
pub(crate) struct AttributeChange {
    set: Vec<(String, String)>,
    merge: bool,
}

impl AttributeChange {
    /// Reads an `attributePayload`. `None`: the request has none.
    pub(crate) fn read(payload: Option<&Map<String, Value>>) -> Result<Option<Self>, ApiError> {
        let Some(payload) = payload else { return Ok(None) };
        let merge = payload.get("merge").and_then(Value::as_bool).unwrap_or(false);
        let mut set = Vec::new();
        if let Some(attributes) = payload.get("attributes").and_then(Value::as_object) {
            for (name, value) in attributes {
                let value = value.as_str().unwrap_or_default();
                let invalid =
                    |error: &dyn std::fmt::Display| ApiError::invalid_request(format!("Invalid attribute: {error}"));
                name.parse::<AttributeKey>().map_err(|error| invalid(&error))?;
                value.parse::<AttributeValue>().map_err(|error| invalid(&error))?;
                set.push((name.clone(), value.to_owned()));
            }
        }
        Ok(Some(Self { set, merge }))
    }

    /// The attributes after the change: merged or replaced, an empty value removes (CP 4.4).
    pub(crate) fn apply(self, mut attributes: Attributes) -> Attributes {
        if !self.merge {
            attributes.clear();
        }
        for (name, value) in self.set {
            if value.is_empty() {
                attributes.remove(&name);
            } else {
                attributes.insert(name, value);
            }
        }
        attributes
    }
}

/// Refuses more attributes than a thing or group may have.
pub(crate) fn check_count(attributes: &Attributes, limit: usize) -> Result<(), ApiError> {
    if attributes.len() > limit {
        return Err(ApiError::invalid_request(format!("At most {limit} attributes are allowed")));
    }
    Ok(())
}

/// As stored in a column.
pub(crate) fn to_column(attributes: &Attributes) -> String {
    serde_json::to_string(attributes).expect("a map of strings is JSON")
}

/// From a column; a damaged one reads as empty.
pub(crate) fn from_column(text: &str) -> Attributes {
    serde_json::from_str(text).unwrap_or_default()
}

/// A column as the member of an answer.
pub(crate) fn column_value(text: &str) -> Value {
    if text == "{}" { Value::Object(Map::new()) } else { serde_json::from_str(text).unwrap_or_default() }
}
