//! What is desired and not reported.

use serde_json::{Map, Value};

/// Members of `desired` that `reported` lacks or holds otherwise, with their metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// The members.
    pub state: Map<String, Value>,
    /// Their timestamps, from the metadata of `desired`.
    pub metadata: Map<String, Value>,
}

/// The difference; `None` when there is none. Objects are compared member by member, everything else as a whole.
pub fn delta(
    desired: &Map<String, Value>,
    metadata: &Map<String, Value>,
    reported: &Map<String, Value>,
) -> Option<Delta> {
    let mut found = Delta { state: Map::new(), metadata: Map::new() };
    for (key, wanted) in desired {
        let (state, stamps) = match (wanted, reported.get(key)) {
            (Value::Object(wanted), Some(Value::Object(had))) => {
                let empty = Map::new();
                let below = metadata.get(key).and_then(Value::as_object).unwrap_or(&empty);
                match delta(wanted, below, had) {
                    Some(inner) => (Value::Object(inner.state), Value::Object(inner.metadata)),
                    None => continue,
                }
            }
            (wanted, Some(had)) if wanted == had => continue,
            (wanted, _) => (wanted.clone(), metadata.get(key).cloned().unwrap_or(Value::Null)),
        };
        found.state.insert(key.clone(), state);
        found.metadata.insert(key.clone(), stamps);
    }
    (!found.state.is_empty()).then_some(found)
}
