//! CBOR (RFC 8949) as the provisioning topics speak it: what JSON can say, and no more.
//!
//! Maps have texts for keys, each once; byte strings, tags, `undefined` and whatever follows the first item are refused.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use serde_json::{Map, Value};

/// Maps and arrays within each other: the request itself, its parameters, and one to spare.
const MAX_DEPTH: usize = 4;
/// Items of a body, keys included: a hundred parameters and then some. The body's length is bounded by its reader.
const MAX_ITEMS: usize = 1024;

/// Why a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes are no CBOR item, or one that JSON has no word for.
    #[error("the payload is not a CBOR map of texts, numbers, booleans, maps and arrays")]
    Malformed,
    /// Too deep, or too many items.
    #[error("the payload is nested too deeply or has too many items")]
    TooLarge,
    /// A key stands in a map twice.
    #[error("a key stands in a map twice")]
    Repeated,
}

impl From<minicbor::decode::Error> for CborError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

/// Reads one map, which must be all of `bytes`.
///
/// # Errors
/// [`CborError`].
pub fn from_cbor(bytes: &[u8]) -> Result<Map<String, Value>, CborError> {
    let mut reader = Reader { decoder: Decoder::new(bytes), items: 0 };
    let read = reader.item(0)?;
    match read {
        Value::Object(members) if reader.decoder.position() == bytes.len() => Ok(members),
        _ => Err(CborError::Malformed),
    }
}

/// The same value in CBOR, lengths ahead of what they count.
pub fn to_cbor(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, value).expect("a vector takes every write");
    encoder.into_writer()
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    items: usize,
}

impl Reader<'_> {
    fn count(&mut self) -> Result<(), CborError> {
        self.items += 1;
        if self.items > MAX_ITEMS { Err(CborError::TooLarge) } else { Ok(()) }
    }

    fn item(&mut self, depth: usize) -> Result<Value, CborError> {
        self.count()?;
        if depth > MAX_DEPTH {
            return Err(CborError::TooLarge);
        }
        Ok(match self.decoder.datatype()? {
            Type::Map | Type::MapIndef => Value::Object(self.map(depth)?),
            Type::Array | Type::ArrayIndef => Value::Array(self.array(depth)?),
            Type::String | Type::StringIndef => self.text()?.into(),
            Type::Bool => self.decoder.bool()?.into(),
            Type::Null => {
                self.decoder.null()?;
                Value::Null
            }
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => self.decoder.u64()?.into(),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => self.decoder.i64()?.into(),
            Type::F16 | Type::F32 => f64::from(self.decoder.f32()?).into(),
            Type::F64 => self.decoder.f64()?.into(),
            _ => return Err(CborError::Malformed),
        })
    }

    fn map(&mut self, depth: usize) -> Result<Map<String, Value>, CborError> {
        let length = self.decoder.map()?;
        let mut members = Map::new();
        let mut read = 0;
        while self.goes_on(length, read)? {
            self.count()?;
            let key = match self.decoder.datatype()? {
                Type::String | Type::StringIndef => self.text()?,
                _ => return Err(CborError::Malformed),
            };
            let value = self.item(depth + 1)?;
            if members.insert(key, value).is_some() {
                return Err(CborError::Repeated);
            }
            read += 1;
        }
        Ok(members)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, CborError> {
        let length = self.decoder.array()?;
        // Grown as items come: the announced length is the sender's word.
        let mut items = Vec::new();
        while self.goes_on(length, items.len() as u64)? {
            items.push(self.item(depth + 1)?);
        }
        Ok(items)
    }

    /// Whether another entry follows; takes the mark that ends an open list.
    fn goes_on(&mut self, length: Option<u64>, read: u64) -> Result<bool, CborError> {
        if let Some(length) = length {
            return Ok(read < length);
        }
        let ends = self.decoder.datatype()? == Type::Break;
        if ends {
            self.decoder.skip()?;
        }
        Ok(!ends)
    }

    fn text(&mut self) -> Result<String, CborError> {
        let mut text = String::new();
        for piece in self.decoder.str_iter()? {
            text.push_str(piece?);
        }
        Ok(text)
    }
}

fn write(
    encoder: &mut Encoder<Vec<u8>>,
    value: &Value,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    match value {
        Value::Null => encoder.null()?,
        Value::Bool(truth) => encoder.bool(*truth)?,
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => encoder.u64(number)?,
            (None, Some(number)) => encoder.i64(number)?,
            (None, None) => encoder.f64(number.as_f64().unwrap_or_default())?,
        },
        Value::String(text) => encoder.str(text)?,
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            return items.iter().try_for_each(|item| write(encoder, item));
        }
        Value::Object(members) => {
            encoder.map(members.len() as u64)?;
            return members.iter().try_for_each(|(key, value)| {
                encoder.str(key)?;
                write(encoder, value)
            });
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// CP 5.10: bodies in CBOR say what those in JSON say.
    #[test]
    fn maps_come_back_as_they_were() {
        for value in [
            json!({}),
            json!({"certificateOwnershipToken": "t", "parameters": {"Serial": "7", "ö": ""}}),
            json!({"a": [1, -1, 18_446_744_073_709_551_615_u64, -9_223_372_036_854_775_808_i64, 1.5, true, null, []]}),
        ] {
            assert_eq!(Value::Object(from_cbor(&to_cbor(&value)).unwrap()), value);
        }
    }

    /// RFC 8949 3: lists and texts of open length are read too.
    #[test]
    fn open_lengths_are_read() {
        // {_ "a": (_ "b", "c"), "d": [_ 1]}
        let read = from_cbor(&bytes("bf 6161 7f 6162 6163 ff 6164 9f 01 ff ff")).unwrap();
        assert_eq!(Value::Object(read), json!({"a": "bc", "d": [1]}));
    }

    /// Untrusted input: what is no map, not all of the payload, ambiguous, too deep or too long is refused.
    #[test]
    fn anything_else_is_refused() {
        let deep = format!("a1 6161 {} 00", "81".repeat(MAX_DEPTH));
        let long = format!("a1 6161 99 ffff {}", "00".repeat(0xffff));
        for (hex, wanted) in [
            ("", CborError::Malformed),
            ("80", CborError::Malformed),
            ("6161", CborError::Malformed),
            ("a0 00", CborError::Malformed),
            ("a1 6161", CborError::Malformed),
            ("a1 01 02", CborError::Malformed),
            ("a1 6161 4101", CborError::Malformed),
            ("a1 6161 c0 6162", CborError::Malformed),
            ("a1 6161 f7", CborError::Malformed),
            ("a1 61ff 00", CborError::Malformed),
            ("a1 6161 3bffffffffffffffff", CborError::Malformed),
            ("bb ffffffffffffffff 6161 00", CborError::Malformed),
            ("a2 6161 00 6161 01", CborError::Repeated),
            (deep.as_str(), CborError::TooLarge),
            (long.as_str(), CborError::TooLarge),
        ] {
            assert_eq!(from_cbor(&bytes(hex)), Err(wanted), "{}", hex.get(..40).unwrap_or(hex));
        }
    }
}
