//! An update request, checked.

use serde_json::{Map, Value};

use crate::error::ShadowError;
use crate::limits::{Limits, MAX_CLIENT_TOKEN_BYTES};

/// What a request does to one section.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The section is not mentioned.
    Keep,
    /// `null`: the section goes.
    Remove,
    /// Merged into the section.
    Merge(Map<String, Value>),
}

/// A checked update request.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// What happens to `desired`.
    pub desired: Change,
    /// What happens to `reported`.
    pub reported: Change,
    /// `state` was `null`: both sections go and the document stays.
    pub clears: bool,
    /// The version the document must have.
    pub version: Option<u64>,
    /// Echoed in every answer.
    pub client_token: Option<String>,
    /// An empty object counts as missing, as on a core of the original (core-components.md section 3.3).
    pub empty_is_missing: bool,
}

impl Update {
    /// Reads and checks the body of an update request.
    ///
    /// # Errors
    /// The first that is wrong, in the order of the table of section 5.7.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, ShadowError> {
        // A payload beyond what a document can be is not worth parsing; metadata and token add little.
        if body.len() > limits.document_bytes.saturating_mul(4) {
            return Err(ShadowError::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| ShadowError::NotUtf8)?;
        let Ok(Value::Object(body)) = serde_json::from_str(text) else { return Err(ShadowError::InvalidJson) };
        Self::from_object(body, limits)
    }

    /// As [`Update::parse`] for a body that is an object already.
    ///
    /// # Errors
    /// As [`Update::parse`].
    pub fn from_object(mut body: Map<String, Value>, limits: &Limits) -> Result<Self, ShadowError> {
        let client_token = token_of(&body)?;
        let version = match body.get("version") {
            None | Some(Value::Null) => None,
            Some(version) => Some(version.as_u64().filter(|version| *version > 0).ok_or(ShadowError::InvalidVersion)?),
        };
        let state = body.remove("state").ok_or(ShadowError::MissingState)?;
        let mut update = Self {
            desired: Change::Keep,
            reported: Change::Keep,
            clears: false,
            version,
            client_token,
            empty_is_missing: false,
        };
        match state {
            Value::Null => {
                update.desired = Change::Remove;
                update.reported = Change::Remove;
                update.clears = true;
            }
            Value::Object(state) => {
                for (name, section) in state {
                    match name.as_str() {
                        "desired" => {
                            update.desired = change(section, limits)
                                .map_err(|error| error.unwrap_or(ShadowError::DesiredNotObject))?;
                        }
                        "reported" => {
                            update.reported = change(section, limits)
                                .map_err(|error| error.unwrap_or(ShadowError::ReportedNotObject))?;
                        }
                        _ => return Err(ShadowError::InvalidNode),
                    }
                }
            }
            _ => return Err(ShadowError::StateNotObject),
        }
        Ok(update)
    }

    /// The same update under the rule that an empty object counts as missing: it removes the member or section it stands for.
    pub fn with_empty_as_missing(mut self) -> Self {
        self.empty_is_missing = true;
        self
    }
}

/// The `clientToken` of a `get` or `delete` request; an empty body has none.
///
/// # Errors
/// [`ShadowError::InvalidJson`], [`ShadowError::InvalidClientToken`], [`ShadowError::NotUtf8`].
pub fn client_token(body: &[u8]) -> Result<Option<String>, ShadowError> {
    let text = std::str::from_utf8(body).map_err(|_| ShadowError::NotUtf8)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(body)) => token_of(&body),
        _ => Err(ShadowError::InvalidJson),
    }
}

fn token_of(body: &Map<String, Value>) -> Result<Option<String>, ShadowError> {
    match body.get("clientToken") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) if token.len() <= MAX_CLIENT_TOKEN_BYTES => Ok(Some(token.clone())),
        Some(_) => Err(ShadowError::InvalidClientToken),
    }
}

/// `Err(None)`: not an object.
fn change(section: Value, limits: &Limits) -> Result<Change, Option<ShadowError>> {
    match section {
        Value::Null => Ok(Change::Remove),
        Value::Object(tree) => {
            check_members(&tree, limits, 1)?;
            Ok(Change::Merge(tree))
        }
        _ => Err(None),
    }
}

/// `depth`: levels down to and with the members of `tree`.
fn check_members(tree: &Map<String, Value>, limits: &Limits, depth: usize) -> Result<(), ShadowError> {
    if depth > limits.depth {
        return Err(ShadowError::TooDeep { maximum: limits.depth });
    }
    tree.values().try_for_each(|value| check(value, limits, depth, false))
}

fn check(value: &Value, limits: &Limits, depth: usize, in_array: bool) -> Result<(), ShadowError> {
    match value {
        // Elsewhere `null` removes; an array is replaced whole and could not hold it.
        Value::Null if in_array => Err(ShadowError::InvalidNode),
        Value::Object(tree) if tree.is_empty() => Ok(()),
        Value::Object(tree) => {
            if depth + 1 > limits.depth {
                return Err(ShadowError::TooDeep { maximum: limits.depth });
            }
            tree.values().try_for_each(|value| check(value, limits, depth + 1, in_array))
        }
        Value::Array(items) => {
            // An array of leaves is a leaf; what nests inside one counts.
            let depth = if in_array { depth + 1 } else { depth };
            if depth > limits.depth {
                return Err(ShadowError::TooDeep { maximum: limits.depth });
            }
            items.iter().try_for_each(|item| check(item, limits, depth, true))
        }
        _ => Ok(()),
    }
}
