//! One JSON value, one text: the JSON Canonicalization Scheme, RFC 8785.
//!
//! Members sorted by UTF-16 code units, no white space, the shortest escapes, numbers as ECMAScript prints them.
//! One deviation: integers beyond 2^53 keep all their digits instead of being rounded to a double.

use std::fmt::Write;

use serde_json::{Map, Value};

/// The canonical text of a value.
pub fn to_canonical_json(value: &Value) -> String {
    let mut text = String::with_capacity(1024);
    write_value(&mut text, value);
    text
}

pub(crate) fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => write_float(text, float),
            None => write_infallible(text, format_args!("{number}")),
        },
        Value::String(string) => write_string(text, string),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Object(members) => {
            write_members(text, members, |text, _, member| write_value(text, member));
        }
    }
}

/// An object whose members `write` writes, in canonical order.
pub(crate) fn write_members(
    text: &mut String,
    members: &Map<String, Value>,
    mut write: impl FnMut(&mut String, &str, &Value),
) {
    text.push('{');
    let mut first = true;
    let mut put = |name: &String, member: &Value| {
        if !std::mem::take(&mut first) {
            text.push(',');
        }
        write_string(text, name);
        text.push(':');
        write(text, name, member);
    };
    // Between ASCII names the order of bytes is that of UTF-16, and the map keeps it already.
    if members.keys().all(|name| name.is_ascii()) && members.keys().is_sorted() {
        members.iter().for_each(|(name, member)| put(name, member));
    } else {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        sorted.into_iter().for_each(|(name, member)| put(name, member));
    }
    text.push('}');
}

pub(crate) fn write_string(text: &mut String, string: &str) {
    text.push('"');
    // All bytes whatever comes, so that many are looked at in one instruction.
    let is_escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if !string.bytes().fold(false, |found, byte| found | is_escaped(byte)) {
        text.push_str(string);
        text.push('"');
        return;
    }
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{9}' => text.push_str("\\t"),
            '\u{a}' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\u{d}' => text.push_str("\\r"),
            c if c < '\u{20}' => write_infallible(text, format_args!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// ECMAScript Number::toString: plain digits from 1e-6 up to 1e21, else an exponent.
fn write_float(text: &mut String, float: f64) {
    if float == 0.0 {
        // Negative zero prints as zero.
        return text.push('0');
    }
    if (1e-6..1e21).contains(&float.abs()) {
        return write_infallible(text, format_args!("{float}"));
    }
    let scientific = format!("{float:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => {
            write_infallible(text, format_args!("{digits}e+{exponent}"));
        }
        _ => text.push_str(&scientific),
    }
}

fn write_infallible(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8785 section 3.2.3: sorting, escapes and number forms.
    #[test]
    fn canonical_texts_match_the_rfc() {
        for (source, canonical) in [
            (r#"{"b":1,"a":[true,null,false]}"#, r#"{"a":[true,null,false],"b":1}"#),
            (
                "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
                "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}",
            ),
            (
                r#"[1.5e-7,1E30,4.50,2e-3,0.000000000000000000000000001,-0.0,1e21,123456789012345678]"#,
                r#"[1.5e-7,1e+30,4.5,0.002,1e-27,0,1e+21,123456789012345678]"#,
            ),
            (r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#, "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""),
        ] {
            let value: Value = serde_json::from_str(source).unwrap();
            assert_eq!(to_canonical_json(&value), canonical, "{source}");
        }
    }
}
