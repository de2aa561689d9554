//! JSON answers: member names become wire names, absent members stay away, timestamps are numbers of seconds.

use serde_json::Value;

use crate::model::{Kind, Location, Shape, TimestampFormat};
use crate::timestamp;

/// How members begin that no model knows and that are handed out all the same.
const OWN_PREFIX: &str = "marram";

/// Writes `value` as `shape` says.
pub(super) fn write(shape: &'static Shape, value: &Value, out: &mut Vec<u8>) {
    match (&shape.kind, value) {
        (Kind::Structure { members }, Value::Object(given)) => {
            out.push(b'{');
            let mut first = true;
            let mut left = given.len();
            for member in members.iter().filter(|member| member.location == Location::Body) {
                // The rest of the members is absent.
                if left == 0 {
                    break;
                }
                let Some(held) = given.get(member.name) else { continue };
                left -= 1;
                if !held.is_null() {
                    separate(out, &mut first);
                    name(member.wire, out);
                    write(member.shape, held, out);
                }
            }
            // Members of our own: clients of the original pass over what they do not know.
            let own = given.iter().filter(|(name, _)| left > 0 && name.starts_with(OWN_PREFIX));
            for (name, held) in own {
                separate(out, &mut first);
                text(name, out);
                out.push(b':');
                plain(held, out);
            }
            out.push(b'}');
        }
        (Kind::Structure { .. }, _) => out.extend_from_slice(b"{}"),
        (Kind::List { member, .. }, Value::Array(items)) => {
            out.push(b'[');
            let mut first = true;
            for item in items {
                separate(out, &mut first);
                write(member, item, out);
            }
            out.push(b']');
        }
        (Kind::Map { value: element, .. }, Value::Object(entries)) => {
            out.push(b'{');
            let mut first = true;
            for (key, held) in entries.iter().filter(|(_, held)| !held.is_null()) {
                separate(out, &mut first);
                text(key, out);
                out.push(b':');
                write(element, held, out);
            }
            out.push(b'}');
        }
        (Kind::Timestamp(TimestampFormat::Iso8601), seconds) => {
            plain(&timestamp::iso8601(seconds).map_or(Value::Null, Value::String), out);
        }
        (_, other) => plain(other, out),
    }
}

fn separate(out: &mut Vec<u8>, first: &mut bool) {
    if !*first {
        out.push(b',');
    }
    *first = false;
}

/// The name of a member: those of the models need no escapes.
fn name(name: &str, out: &mut Vec<u8>) {
    out.reserve(name.len() + 3);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(text: &str, out: &mut Vec<u8>) {
    // All bytes whatever comes, so that many are looked at in one instruction.
    let is_escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |found, byte| found | is_escaped(byte)) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    serde_json::to_writer(out, text).expect("a Vec takes every byte");
}

fn plain(value: &Value, out: &mut Vec<u8>) {
    if let Value::String(string) = value {
        return text(string, out);
    }
    serde_json::to_writer(out, value).expect("a Value has string keys and a Vec takes every byte");
}
