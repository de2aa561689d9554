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
            for member in members.iter().filter(|member| member.location == Location::Body) {
                if let Some(held) = given.get(member.name).filter(|held| !held.is_null()) {
                    separate(out, &mut first);
                    text(member.wire, out);
                    out.push(b':');
                    write(member.shape, held, out);
                }
            }
            // Members of our own: clients of the original pass over what they do not know.
            for (name, held) in given.iter().filter(|(name, _)| name.starts_with(OWN_PREFIX)) {
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

fn text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes every byte");
}

fn plain(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a Value has string keys and a Vec takes every byte");
}
