//! Merging a request into a section, state and metadata side by side.

use serde_json::{Map, Value, json};

/// Merges `change` into `state`; `metadata` mirrors it with the moment `now` at every leaf that was set. Objects merge, arrays
/// are replaced whole, `null` removes; so does an object that is or becomes empty, with `drop_empty`.
pub(crate) fn merge(
    state: &mut Map<String, Value>,
    metadata: &mut Map<String, Value>,
    change: &Map<String, Value>,
    drop_empty: bool,
    now: i64,
) {
    for (key, value) in change {
        match value {
            Value::Null => {
                state.remove(key);
                metadata.remove(key);
            }
            Value::Object(inner) if inner.is_empty() && drop_empty => {
                state.remove(key);
                metadata.remove(key);
            }
            Value::Object(inner) => {
                let mut below = object(state.remove(key));
                let mut below_metadata = match below.is_empty() {
                    // What stood here was a leaf, or nothing: its timestamp is not a member.
                    true => Map::new(),
                    false => object(metadata.remove(key)),
                };
                merge(&mut below, &mut below_metadata, inner, drop_empty, now);
                if drop_empty && below.is_empty() {
                    metadata.remove(key);
                    continue;
                }
                state.insert(key.clone(), Value::Object(below));
                metadata.insert(key.clone(), Value::Object(below_metadata));
            }
            leaf => {
                state.insert(key.clone(), leaf.clone());
                metadata.insert(key.clone(), stamp(leaf, now));
            }
        }
    }
}

/// The metadata of what a request set, for its `accepted` answer; `null` members leave none.
pub(crate) fn stamps(change: &Map<String, Value>, now: i64) -> Map<String, Value> {
    change.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), stamp(value, now))).collect()
}

fn stamp(value: &Value, now: i64) -> Value {
    match value {
        Value::Object(tree) => Value::Object(stamps(tree, now)),
        Value::Array(items) => items.iter().map(|item| stamp(item, now)).collect(),
        _ => json!({"timestamp": now}),
    }
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(tree)) => tree,
        _ => Map::new(),
    }
}
