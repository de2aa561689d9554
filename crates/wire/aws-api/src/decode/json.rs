//! JSON bodies: parsing with a depth limit, and the walk from wire names to member names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{MAX_JSON_DEPTH, Violation};
use crate::model::{Kind, Location, Shape};
use crate::timestamp;

/// Parses a body. An empty one is an empty object.
pub fn parse_body(body: &[u8]) -> Result<Value, Violation> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    if depth(body) > MAX_JSON_DEPTH {
        return Err(Violation::new("", format!("body is nested deeper than {MAX_JSON_DEPTH} levels")));
    }
    serde_json::from_slice(body).map_err(|_| Violation::new("", "body is not valid JSON"))
}

/// Deepest nesting of brackets outside strings. Malformed text gets a number too; the parser refuses it afterwards.
fn depth(body: &[u8]) -> usize {
    let (mut deepest, mut open) = (0usize, 0usize);
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            b'"' => {
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// The members of `shape` that stand in the body.
pub fn structure(shape: &'static Shape, body: Value) -> Result<Value, Violation> {
    value(shape, body, Keys::Wire, &mut Path::default())
}

/// All members of `shape`, wherever the wire would put them, from an object keyed by member names.
pub fn named_structure(shape: &'static Shape, given: Value) -> Result<Value, Violation> {
    value(shape, given, Keys::Member, &mut Path::default())
}

/// What the keys of objects are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Names on the wire; members that stand outside the body are left out.
    Wire,
    /// Names of members.
    Member,
}

/// Reads the body members of `shape` from `body` into `into`.
pub(super) fn body_members(shape: &'static Shape, body: Value, into: &mut Map<String, Value>) -> Result<(), Violation> {
    members(shape, body, into, Keys::Wire, &mut Path::default())
}

/// A value of any shape. `path` says where it stands.
fn value(shape: &'static Shape, given: Value, keys: Keys, path: &mut Path) -> Result<Value, Violation> {
    match (&shape.kind, given) {
        (Kind::Structure { .. }, given @ Value::Object(_)) => {
            let mut into = Map::new();
            members(shape, given, &mut into, keys, path)?;
            Ok(Value::Object(into))
        }
        (Kind::List { member, .. }, Value::Array(items)) => {
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.into_iter().enumerate() {
                if item.is_null() {
                    return Err(path.at_index(index).violation("must not be null"));
                }
                let length = path.push_index(index);
                list.push(value(member, item, keys, path)?);
                path.truncate(length);
            }
            Ok(Value::Array(list))
        }
        (Kind::Map { value: element, .. }, Value::Object(entries)) => {
            let mut map = Map::new();
            for (key, entry) in entries {
                if entry.is_null() {
                    continue;
                }
                let length = path.push(&key);
                let decoded = value(element, entry, keys, path)?;
                path.truncate(length);
                map.insert(key, decoded);
            }
            Ok(Value::Object(map))
        }
        (Kind::String { .. }, text @ Value::String(_)) => Ok(text),
        (Kind::Boolean, flag @ Value::Bool(_)) => Ok(flag),
        (Kind::Integer(_) | Kind::Long(_), Value::Number(number)) if number.is_i64() => Ok(Value::Number(number)),
        (Kind::Float | Kind::Double, Value::Number(number)) => Ok(Value::Number(number)),
        (Kind::Timestamp(_), Value::Number(number)) => {
            let seconds = Value::Number(number);
            match timestamp::from_value(&seconds) {
                Some(_) => Ok(seconds),
                None => Err(path.violation("must be a timestamp in epoch seconds")),
            }
        }
        (Kind::Timestamp(_), Value::String(text)) => {
            timestamp::parse(&text).ok_or_else(|| path.violation("must be a timestamp"))
        }
        (Kind::Blob { .. }, Value::String(text)) => match STANDARD.decode(&text) {
            Ok(_) => Ok(Value::String(text)),
            Err(_) => Err(path.violation("must be base64")),
        },
        _ => Err(path.violation(expectation(shape))),
    }
}

fn members(
    shape: &'static Shape,
    given: Value,
    into: &mut Map<String, Value>,
    keys: Keys,
    path: &mut Path,
) -> Result<(), Violation> {
    let Value::Object(mut given) = given else {
        return Err(path.violation("must be a JSON object"));
    };
    for member in shape.members() {
        let key = match keys {
            Keys::Wire if member.location != Location::Body => continue,
            Keys::Wire => member.wire,
            Keys::Member => member.name,
        };
        match given.remove(key) {
            None | Some(Value::Null) => {}
            Some(found) => {
                let length = path.push(member.name);
                let decoded = value(member.shape, found, keys, path)?;
                path.truncate(length);
                into.insert(member.name.to_owned(), decoded);
            }
        }
    }
    Ok(())
}

/// What a value of this shape has to be, as the end of "Member ...".
pub(super) fn expectation(shape: &Shape) -> &'static str {
    match shape.kind {
        Kind::Structure { .. } | Kind::Map { .. } => "must be an object",
        Kind::List { .. } => "must be a list",
        Kind::String { .. } => "must be a string",
        Kind::Integer(_) | Kind::Long(_) => "must be an integer",
        Kind::Float | Kind::Double => "must be a number",
        Kind::Boolean => "must be true or false",
        Kind::Timestamp(_) => "must be a timestamp",
        Kind::Blob { .. } => "must be base64",
    }
}

/// Where a value stands: `tags.1.member.key`, as AWS writes it.
#[derive(Default)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn push(&mut self, name: &str) -> usize {
        let length = self.0.len();
        if length > 0 {
            self.0.push('.');
        }
        self.0.push_str(name);
        length
    }

    /// Elements are counted from one.
    pub(crate) fn push_index(&mut self, index: usize) -> usize {
        let length = self.0.len();
        self.0.push_str(&format!(".{}.member", index + 1));
        length
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    fn at_index(&mut self, index: usize) -> &mut Path {
        self.push_index(index);
        self
    }

    pub(crate) fn violation(&self, reason: impl Into<String>) -> Violation {
        Violation::new(self.0.clone(), reason)
    }
}
