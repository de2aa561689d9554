//! Text to values that remember their places and how their scalars were written.

use serde_json::Value;

use crate::finding::Place;

mod json;
mod yaml;

/// Deepest nesting of a recipe (our limit; real ones need about ten).
pub(crate) const MAX_DEPTH: usize = 64;
/// Most nodes of a recipe after its aliases are followed (our limit; a recipe of 16 KB has at most a few thousand).
pub(crate) const MAX_NODES: usize = 50_000;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A scalar: as written, and as JSON.
    Scalar {
        text: String,
        value: Value,
    },
    List(Vec<Node>),
    Map(Vec<(Name, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub place: Place,
    pub text: String,
}

/// Why a text is no document.
#[derive(Debug, Clone)]
pub(crate) struct SyntaxError {
    pub place: Place,
    pub message: String,
}

/// Reads JSON or YAML. A text that begins with `{"` or `{}` is JSON and nothing else, so that its mistakes are told as such.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    if inside.is_some_and(|inside| inside.starts_with(['"', '}'])) {
        return json::parse(text);
    }
    yaml::parse(text)
}

impl Node {
    /// Plain JSON.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar { value, .. } => value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(members) => {
                Value::Object(members.iter().map(|(name, node)| (name.text.clone(), node.to_value())).collect())
            }
        }
    }

    /// JSON where scalars stay as written (`1.10`), but for members named in `typed`, whatever their case.
    pub fn to_text_value(&self, typed: &[&str]) -> Value {
        match &self.kind {
            Kind::Scalar { value: Value::Null, .. } => Value::Null,
            Kind::Scalar { text, .. } => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(|item| item.to_text_value(typed)).collect()),
            Kind::Map(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, node)| {
                        let keeps_type = typed.iter().any(|key| key.eq_ignore_ascii_case(&name.text));
                        let value = if keeps_type { node.to_value() } else { node.to_text_value(typed) };
                        (name.text.clone(), value)
                    })
                    .collect(),
            ),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { value: Value::Null, .. })
    }
}
