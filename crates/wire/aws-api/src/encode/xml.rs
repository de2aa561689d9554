//! XML answers of the query protocol (control-plane-api 1.2).

use serde_json::Value;

use crate::model::{Kind, Operation, Shape};
use crate::timestamp;

/// `<OpResponse><OpResult>..</OpResult><ResponseMetadata>..</OpResponse>`; a void operation has no result.
pub(super) fn output(operation: &'static Operation, output: &Value, request_id: &str) -> String {
    let mut out = String::with_capacity(512);
    let name = operation.name;
    let namespace = operation.service.table().xml_namespace;
    out.push_str(&format!("<{name}Response xmlns=\"{namespace}\">"));
    if let Some(shape) = operation.output {
        out.push_str(&format!("<{name}Result>"));
        content(shape, output, &mut out);
        out.push_str(&format!("</{name}Result>"));
    }
    out.push_str("<ResponseMetadata><RequestId>");
    escape(request_id, &mut out);
    out.push_str(&format!("</RequestId></ResponseMetadata></{name}Response>"));
    out
}

/// `<ErrorResponse>`.
pub(super) fn error(namespace: &str, sender: bool, code: &str, message: &str, request_id: &str) -> String {
    let mut out = format!("<ErrorResponse xmlns=\"{namespace}\"><Error><Type>");
    out.push_str(if sender { "Sender" } else { "Receiver" });
    out.push_str("</Type><Code>");
    escape(code, &mut out);
    out.push_str("</Code><Message>");
    escape(message, &mut out);
    out.push_str("</Message></Error><RequestId>");
    escape(request_id, &mut out);
    out.push_str("</RequestId></ErrorResponse>");
    out
}

fn element(name: &str, shape: &'static Shape, value: &Value, out: &mut String) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    content(shape, value, out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

fn content(shape: &'static Shape, value: &Value, out: &mut String) {
    match (&shape.kind, value) {
        (Kind::Structure { members }, Value::Object(given)) => {
            for member in *members {
                let Some(held) = given.get(member.name).filter(|held| !held.is_null()) else { continue };
                match (&member.shape.kind, held) {
                    (Kind::List { member: inner, flattened: true, .. }, Value::Array(items)) => {
                        for item in items {
                            element(member.wire, inner, item, out);
                        }
                    }
                    _ => element(member.wire, member.shape, held, out),
                }
            }
        }
        (Kind::List { member, element: name, .. }, Value::Array(items)) => {
            for item in items {
                element(name, member, item, out);
            }
        }
        (Kind::Map { key: _, value: inner, .. }, Value::Object(entries)) => {
            for (key, held) in entries.iter().filter(|(_, held)| !held.is_null()) {
                out.push_str("<entry><key>");
                escape(key, out);
                out.push_str("</key>");
                element("value", inner, held, out);
                out.push_str("</entry>");
            }
        }
        (Kind::Timestamp(_), seconds) => out.push_str(&timestamp::iso8601(seconds).unwrap_or_default()),
        (_, Value::String(text)) => escape(text, out),
        (_, Value::Null) => {}
        (_, other) => out.push_str(&other.to_string()),
    }
}

/// Text that is safe between tags. What XML 1.0 cannot hold becomes U+FFFD.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}
