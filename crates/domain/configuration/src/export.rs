//! A tree as JSON: plain for readers, with times and origins for storage and snapshots.
//!
//! With times a leaf is `{"v": value, "t": time, "o": origin}` and a map is `{"c": {key: node, ...}, "t": time}`.

use serde_json::{Map, Value, json};

use crate::MAX_DEPTH;
use crate::key::Key;
use crate::node::{Interior, Leaf, Node, Origin, Tree};

/// Why a stored tree cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A node is neither a leaf nor a map.
    #[error("the node at `{0}` is neither a value nor a map with times")]
    Malformed(String),
    /// Nested too deeply.
    #[error("the stored tree is deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl Tree {
    /// Plain JSON without runtime-private keys.
    pub fn to_public_value(&self) -> Value {
        fn plain(at: &Interior) -> Value {
            let children = at.children().filter(|(key, _)| !key.is_private());
            Value::Object(
                children
                    .map(|(key, node)| {
                        let value = match node {
                            Node::Leaf(leaf) => leaf.value.clone(),
                            Node::Interior(next) => plain(next),
                        };
                        (key.as_str().to_owned(), value)
                    })
                    .collect(),
            )
        }
        plain(self.root())
    }

    /// JSON with times and origins, without runtime-private keys; [`Tree::from_timed_value`] reads it.
    pub fn to_timed_value(&self) -> Value {
        timed(self.root())
    }

    /// Reads what [`Tree::to_timed_value`] wrote.
    ///
    /// # Errors
    /// A node of another shape, or too deep.
    pub fn from_timed_value(value: &Value) -> Result<Self, ImportError> {
        match node(value, "", 0)? {
            Node::Interior(root) => Ok(Self { root }),
            Node::Leaf(_) => Err(ImportError::Malformed(String::new())),
        }
    }
}

fn timed(at: &Interior) -> Value {
    let children: Map<String, Value> = at
        .children()
        .filter(|(key, _)| !key.is_private())
        .map(|(key, node)| {
            let value = match node {
                Node::Leaf(Leaf { value, modified, origin }) => {
                    json!({ "v": value, "t": modified, "o": origin.to_string() })
                }
                Node::Interior(next) => timed(next),
            };
            (key.as_str().to_owned(), value)
        })
        .collect();
    json!({ "c": children, "t": at.modified })
}

fn node(value: &Value, place: &str, depth: usize) -> Result<Node, ImportError> {
    let malformed = || ImportError::Malformed(place.to_owned());
    if depth > MAX_DEPTH {
        return Err(ImportError::TooDeep);
    }
    let map = value.as_object().ok_or_else(malformed)?;
    let modified = map.get("t").and_then(Value::as_i64).ok_or_else(malformed)?;
    if let Some(children) = map.get("c") {
        let mut interior = Interior { modified, ..Interior::default() };
        for (key, value) in children.as_object().ok_or_else(malformed)? {
            let child = node(value, &format!("{place}/{key}"), depth + 1)?;
            interior.children.insert(Key::from(key.as_str()), child);
        }
        return Ok(Node::Interior(interior));
    }
    let value = map.get("v").filter(|value| !value.is_object()).ok_or_else(malformed)?.clone();
    let origin = match map.get("o").and_then(Value::as_str).unwrap_or_default().parse::<Origin>() {
        Ok(origin) => origin,
        Err(never) => match never {},
    };
    Ok(Node::Leaf(Leaf { value, modified, origin }))
}
