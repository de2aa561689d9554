//! Decoding what devices and services send (TG 10.2).

use super::Refusal;
use crate::error::EvalError;
use crate::types::{DataType, PropertyType};
use crate::value::Value;

/// Largest payload decoded, bytes (TG 10.2).
pub const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// Decodes a payload as a value of `property`: complex from a JSON object; simple from a JSON scalar, an object with one
/// member, or, for text, the bytes themselves; Json from any JSON.
///
/// # Errors
/// `TG.PayloadInvalid` when the bytes cannot be read as the property or violate its range.
pub fn decode_payload(bytes: &[u8], property: &PropertyType, is_list: bool) -> Result<Value, EvalError> {
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(EvalError::payload("payload larger than 128 KiB"));
    }
    decode(bytes, property, is_list).map_err(EvalError::payload)
}

fn decode(bytes: &[u8], property: &PropertyType, is_list: bool) -> Result<Value, Refusal> {
    let parsed = Value::from_json_slice(bytes);
    let is_simple = !is_list && !matches!(property.data_type, DataType::Json | DataType::Complex(_));
    let value = match parsed {
        Ok(Value::Object(object)) if is_simple && object.len() == 1 => {
            object.iter().next().map(|(_, only)| only.clone()).unwrap_or_default()
        }
        Ok(Value::Object(_)) if is_simple => return Err("object where a single value belongs".to_owned()),
        // `12` sent as a String is the text that was sent, `007` included.
        Ok(other) if is_simple && property.data_type.is_text() && !matches!(other, Value::String(_) | Value::Null) => {
            Value::string(utf8(bytes)?)
        }
        Ok(value) => value,
        Err(_) if is_simple && property.data_type.is_text() => Value::string(utf8(bytes)?),
        Err(error) => return Err(error.message),
    };
    let value = whole_as_integer(value, &property.data_type);
    property.convert_multi(&value, is_list, true)
}

fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| "text is not UTF-8".to_owned())
}

/// Epoch milliseconds of a DateTime arrive as a number.
fn whole_as_integer(value: Value, to: &DataType) -> Value {
    match (&value, to) {
        (Value::String(text), DataType::DateTime) => text.parse::<i64>().map_or(value, Value::Int64),
        _ => value,
    }
}

impl PropertyType {
    /// A received JSON value as a value of this property.
    ///
    /// # Errors
    /// `TG.PayloadInvalid` when it is not one.
    pub fn accept(&self, received: &Value, is_list: bool) -> Result<Value, EvalError> {
        self.convert_multi(received, is_list, true).map_err(EvalError::payload)
    }
}
