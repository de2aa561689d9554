//! JSON in and out: order kept, integers exact, payload bytes decoded straight into values (TG 1.4).

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use smol_str::SmolStr;

use crate::error::EvalError;
use crate::text::{TextError, write_json};
use crate::value::{Object, Value};

impl Value {
    /// Parses JSON text into a dynamically typed value: Int32, Int64, UInt64 or Float64, whichever first holds a number;
    /// the last of equal member names wins. Nesting is limited to 128.
    ///
    /// # Errors
    /// `TG.PayloadInvalid` when the bytes are not one JSON text.
    pub fn from_json_slice(bytes: &[u8]) -> Result<Self, EvalError> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let parsed = JsonSeed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        parsed.map_err(|error| EvalError::payload(format!("not JSON: {error}")))
    }

    /// The value of a parsed JSON document.
    pub fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(*flag),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => integer(number),
                (None, Some(number)) => Self::UInt64(number),
                (None, None) => Self::Float64(number.as_f64().unwrap_or_default()),
            },
            serde_json::Value::String(text) => Self::string(text.as_str()),
            serde_json::Value::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(members) => {
                let mut object = Object::new();
                for (name, value) in members {
                    object.push(SmolStr::new(name), Self::from_json(value));
                }
                Self::object(object)
            }
        }
    }

    /// Compact JSON text, members in order.
    ///
    /// # Errors
    /// `TG.ExpressionError` when a number is not finite or the text exceeds 256 KiB.
    pub fn to_json_string(&self) -> Result<String, EvalError> {
        let mut out = String::new();
        write_json(self, &mut out).map_err(refused)?;
        Ok(out)
    }

    /// The JSON document of this value.
    ///
    /// # Errors
    /// `TG.ExpressionError` when a number is not finite.
    pub fn to_json(&self) -> Result<serde_json::Value, EvalError> {
        let object = |object: &Object| -> Result<serde_json::Value, EvalError> {
            let mut members = serde_json::Map::new();
            for (name, value) in object.iter() {
                members.insert(name.to_string(), value.to_json()?);
            }
            Ok(serde_json::Value::Object(members))
        };
        Ok(match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(flag) => (*flag).into(),
            Self::UInt64(number) => (*number).into(),
            // Through its shortest text: widening 0.1_f32 would put 0.10000000149011612 on the wire.
            Self::Float32(number) => float(number.to_string().parse().unwrap_or(f64::NAN))?,
            Self::Float64(number) => float(*number)?,
            Self::String(text) => text.as_str().into(),
            Self::Enum(member) => member.name().as_str().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect::<Result<Vec<_>, _>>()?.into(),
            Self::Object(members) => object(members)?,
            Self::Complex(complex) => object(&complex.fields)?,
            Self::Occurrence(occurrence) => occurrence.payload.to_json()?,
            number => i64::try_from(number.as_i128().unwrap_or_default()).unwrap_or_default().into(),
        })
    }
}

fn refused(error: TextError) -> EvalError {
    EvalError::expression(crate::ast::Span::default(), error.message())
}

fn float(number: f64) -> Result<serde_json::Value, EvalError> {
    serde_json::Number::from_f64(number).map(serde_json::Value::Number).ok_or_else(|| refused(TextError::NotFinite))
}

fn integer(number: i64) -> Value {
    i32::try_from(number).map_or(Value::Int64(number), Value::Int32)
}

struct JsonSeed;

impl<'de> DeserializeSeed<'de> for JsonSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Objects this small are searched for duplicate names member by member.
const SMALL_OBJECT: usize = 16;

impl<'de> Visitor<'de> for JsonSeed {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::UInt64(number), integer))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        if number.is_finite() { Ok(Value::Float64(number)) } else { Err(E::custom("number out of range")) }
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::string(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::list(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        let mut seen: HashMap<SmolStr, usize> = HashMap::new();
        while let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            let name = SmolStr::new(&name);
            let value = members.next_value_seed(Self)?;
            if object.len() < SMALL_OBJECT {
                object.insert(name, value);
                continue;
            }
            if seen.is_empty() {
                seen = object.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
            }
            match seen.get(&name) {
                Some(at) => object.replace_at(*at, value),
                None => {
                    seen.insert(name.clone(), object.len());
                    object.push(name, value);
                }
            }
        }
        if object.len() > MAX_MEMBERS {
            return Err(A::Error::custom("object with too many members"));
        }
        Ok(Value::object(object))
    }
}

/// Most members of one received object: lookups are linear, and 128 KiB of payload cannot honestly need more.
const MAX_MEMBERS: usize = 16 * 1024;
