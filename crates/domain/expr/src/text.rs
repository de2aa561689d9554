//! The text of a value (TG 4.6) and its JSON (TG 1.4), written with a size limit.

use std::fmt::Write;

use crate::value::{Object, Value};

/// Largest result of an expression or template, bytes (TG 4.1).
pub const MAX_RESULT_BYTES: usize = 256 * 1024;

/// Why a value has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextError {
    TooLarge,
    NotFinite,
}

impl TextError {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::TooLarge => "result larger than 256 KiB",
            Self::NotFinite => "result is not a finite number",
        }
    }
}

/// Appends the text form: strings as they are, integers plain, floats with a fraction, complex values as compact JSON.
pub(crate) fn write_text(value: &Value, out: &mut String) -> Result<(), TextError> {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Enum(member) => out.push_str(member.name()),
        Value::Float32(number) if !number.is_finite() => return Err(TextError::NotFinite),
        Value::Float64(number) if !number.is_finite() => return Err(TextError::NotFinite),
        Value::Occurrence(occurrence) => return write_text(&occurrence.payload, out),
        other => return write_json(other, out),
    }
    limit(out)
}

/// The text form.
pub(crate) fn text(value: &Value) -> Result<String, TextError> {
    let mut out = String::new();
    write_text(value, &mut out)?;
    Ok(out)
}

/// Appends compact JSON: enum members by name, Int64 as a number.
pub(crate) fn write_json(value: &Value, out: &mut String) -> Result<(), TextError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Float32(number) if !number.is_finite() => return Err(TextError::NotFinite),
        Value::Float64(number) if !number.is_finite() => return Err(TextError::NotFinite),
        Value::Float32(number) => push_float(&format!("{number:?}"), out),
        Value::Float64(number) => push_float(&format!("{number:?}"), out),
        Value::String(text) => quote(text, out),
        Value::Enum(member) => quote(member.name(), out),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(item, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => write_object(object, out)?,
        Value::Complex(complex) => write_object(&complex.fields, out)?,
        Value::Occurrence(occurrence) => return write_json(&occurrence.payload, out),
        integer => {
            // Writing to a String cannot fail; every other kind is matched above.
            let _ = write!(out, "{}", integer.as_i128().unwrap_or_default());
        }
    }
    limit(out)
}

fn write_object(object: &Object, out: &mut String) -> Result<(), TextError> {
    out.push('{');
    for (index, (name, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        write_json(value, out)?;
    }
    out.push('}');
    Ok(())
}

/// Shortest round-trip digits with `.0` when integral, also before an exponent.
fn push_float(digits: &str, out: &mut String) {
    match digits.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            let _ = write!(out, "{mantissa}.0e{exponent}");
        }
        _ => out.push_str(digits),
    }
}

fn limit(out: &str) -> Result<(), TextError> {
    if out.len() > MAX_RESULT_BYTES { Err(TextError::TooLarge) } else { Ok(()) }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    escape_json(text, out);
    out.push('"');
}

/// Appends `text` as the inside of a JSON string.
pub(crate) fn escape_json(text: &str, out: &mut String) {
    let mut run = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[run..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        run = at + 1;
    }
    out.push_str(&text[run..]);
}
