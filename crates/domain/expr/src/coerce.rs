//! Casts, assignment coercion and property validation (TG 3.1, 4.6, 10.2).

mod payload;
mod text_types;

pub use payload::{MAX_PAYLOAD_BYTES, decode_payload};
pub use text_types::duration_ms;

use std::sync::Arc;

use crate::ast::Span;
use crate::error::EvalError;
use crate::eval::{eval, eval_bool};
use crate::number::{self, integer_of_type};
use crate::text;
use crate::types::{ComplexType, DEFAULT_MAX_LENGTH, DataType, EnumType, Field, PropertyType};
use crate::value::{ComplexValue, EnumValue, Object, Value};

/// Why a value does not become a type. Names types, never contents.
type Refusal = String;

/// `(to)value` (TG 4.6): range-checked, floats truncate, text parses, anything becomes text.
pub(crate) fn cast(value: &Value, to: &DataType) -> Result<Value, Refusal> {
    let refuse = || Err(format!("{} cannot be cast to {to}", value.type_name()));
    if value.is_null() {
        return Ok(Value::Null);
    }
    if to.is_integer() {
        let exact = match value {
            Value::Float32(_) | Value::Float64(_) => truncate(value.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse().ok().and_then(truncate))
            }
            Value::Bool(flag) => Some(i128::from(*flag)),
            Value::Enum(member) => Some(member.number().into()),
            other => other.as_i128(),
        };
        let Some(exact) = exact else { return refuse() };
        return integer_of_type(exact, to).ok_or_else(|| format!("value is out of the range of {to}"));
    }
    match to {
        DataType::Float32 | DataType::Float64 => {
            let number = match value {
                Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
                Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
                Value::Enum(member) => Some(member.number().into()),
                other => other.as_f64(),
            };
            let Some(number) = number else { return refuse() };
            Ok(if *to == DataType::Float32 { Value::Float32(number as f32) } else { Value::Float64(number) })
        }
        DataType::Boolean => boolean(value).map_or_else(refuse, |flag| Ok(Value::Bool(flag))),
        DataType::Json => Ok(to_dynamic(value)),
        text if text.is_text() => convert(value, to, true),
        _ => refuse(),
    }
}

fn truncate(number: f64) -> Option<i128> {
    // 2^66 is past every integer type and exact in i128.
    (number.abs() < 2_f64.powi(66)).then_some(number as i128)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        number => match number.as_f64()? {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        },
    }
}

/// A value as plain JSON data: complex values and occurrences become objects, enum members their names.
pub fn to_dynamic(value: &Value) -> Value {
    let object = |object: &Object| -> Value {
        Value::object(object.iter().map(|(name, value)| (name.clone(), to_dynamic(value))).collect())
    };
    match value {
        Value::Complex(complex) => object(&complex.fields),
        Value::Object(members) if members.iter().any(|(_, value)| is_typed(value)) => object(members),
        Value::List(items) if items.iter().any(is_typed) => Value::list(items.iter().map(to_dynamic).collect()),
        Value::Enum(member) => Value::String(member.name().clone()),
        Value::Occurrence(occurrence) => to_dynamic(&occurrence.payload),
        other => other.clone(),
    }
}

fn is_typed(value: &Value) -> bool {
    matches!(value, Value::Complex(_) | Value::Enum(_) | Value::Occurrence(_) | Value::List(_) | Value::Object(_))
}

/// Assignment coercion (TG 4.6) to a type without ranges.
///
/// # Errors
/// `TG.TypeError` when the value is not assignable.
pub fn coerce(value: &Value, to: &DataType) -> Result<Value, EvalError> {
    convert(value, to, false).map_err(|message| EvalError::type_error(Span::default(), message))
}

impl PropertyType {
    /// Assignment coercion to this property's type and its length and range checks. Null passes: whether it may be absent
    /// is the usage's affair.
    ///
    /// # Errors
    /// `TG.TypeError` when the value is not assignable or out of range.
    pub fn coerce(&self, value: &Value) -> Result<Value, EvalError> {
        self.convert(value, false).map_err(|message| EvalError::type_error(Span::default(), message))
    }

    /// [`Self::coerce`] of each element when `is_list`.
    ///
    /// # Errors
    /// As for [`Self::coerce`], and when a list is expected and something else given.
    pub fn coerce_multi(&self, value: &Value, is_list: bool) -> Result<Value, EvalError> {
        self.convert_multi(value, is_list, false).map_err(|message| EvalError::type_error(Span::default(), message))
    }

    fn convert_multi(&self, value: &Value, is_list: bool, is_payload: bool) -> Result<Value, Refusal> {
        match value {
            Value::Null => Ok(Value::Null),
            Value::List(items) if is_list => {
                let items = items.iter().map(|item| self.convert(item, is_payload));
                Ok(Value::list(items.collect::<Result<_, _>>()?))
            }
            _ if is_list => Err(format!("expected a list, found {}", value.type_name())),
            single => self.convert(single, is_payload),
        }
    }

    fn convert(&self, value: &Value, is_payload: bool) -> Result<Value, Refusal> {
        let value = convert(value, &self.data_type, is_payload)?;
        match &value {
            Value::String(text) => self.check_length(text)?,
            Value::List(_) | Value::Null => {}
            number if number.is_number() => {
                let below = |bound: &Option<Value>| {
                    bound.as_ref().is_some_and(|bound| number::compare(number, bound).is_none_or(|order| order.is_lt()))
                };
                let above = |bound: &Option<Value>| {
                    bound.as_ref().is_some_and(|bound| number::compare(number, bound).is_none_or(|order| order.is_gt()))
                };
                if below(&self.min_value) || above(&self.max_value) {
                    return Err(format!("value is out of the range of {}", self.id));
                }
            }
            _ => {}
        }
        Ok(value)
    }

    fn check_length(&self, text: &str) -> Result<(), Refusal> {
        let default = if self.data_type == DataType::String { DEFAULT_MAX_LENGTH } else { u64::MAX };
        let length = text.len() as u64;
        if length < self.min_length.unwrap_or(0) || length > self.max_length.unwrap_or(default) {
            return Err(format!("{length} bytes of text are out of the length range of {}", self.id));
        }
        Ok(())
    }
}

/// Coercion; a payload may also write an integer as `3.0`.
fn convert(value: &Value, to: &DataType, is_payload: bool) -> Result<Value, Refusal> {
    let refuse = || Err(format!("{} is not assignable to {to}", value.type_name()));
    match (value, to) {
        (Value::Null, _) => return Ok(Value::Null),
        (Value::Float32(number), _) if !number.is_finite() => return Err("number is not finite".to_owned()),
        (Value::Float64(number), _) if !number.is_finite() => return Err("number is not finite".to_owned()),
        (Value::Occurrence(occurrence), _) => return convert(&occurrence.payload, to, is_payload),
        (_, DataType::Json) => return Ok(to_dynamic(value)),
        _ => {}
    }
    if to.is_number() {
        let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
        return match value {
            Value::Float32(_) | Value::Float64(_) if to.is_integer() && !is_whole => refuse(),
            Value::String(text) if !is_decimal(text.trim(), to) => refuse(),
            Value::Complex(_) | Value::Object(_) | Value::List(_) => refuse(),
            number => match cast(number, to)? {
                Value::Float32(number) if !number.is_finite() => Err(format!("value is out of the range of {to}")),
                number => Ok(number),
            },
        };
    }
    match to {
        DataType::Boolean => boolean(value).map_or_else(refuse, |flag| Ok(Value::Bool(flag))),
        DataType::Enum(ty) => member(value, ty).map_or_else(refuse, |member| Ok(Value::Enum(member))),
        DataType::List(item) => match value {
            Value::List(items) => {
                let items = items.iter().map(|value| convert(value, item, is_payload));
                Ok(Value::list(items.collect::<Result<_, _>>()?))
            }
            _ => refuse(),
        },
        DataType::Complex(ty) => match value {
            Value::Complex(complex) if Arc::ptr_eq(&complex.ty, ty) => Ok(value.clone()),
            Value::Complex(complex) => complex_value(&complex.fields, ty, is_payload),
            Value::Object(object) => complex_value(object, ty, is_payload),
            _ => refuse(),
        },
        text => match value {
            Value::String(own) => text_types::normalise(own, text),
            Value::Int32(_) | Value::Int64(_) if *text == DataType::DateTime => text_types::date_time(value),
            Value::Bool(_) | Value::Enum(_) => text_types::normalise(&text_of(value)?, text),
            number if number.is_number() => text_types::normalise(&text_of(number)?, text),
            // Only a cast turns structured data into text.
            structured if is_payload && *text == DataType::String => Ok(Value::string(text_of(structured)?)),
            _ => refuse(),
        },
    }
}

fn text_of(value: &Value) -> Result<String, Refusal> {
    text::text(value).map_err(|error| error.message().to_owned())
}

/// Whether `text` is a number in decimal digits, whole when `to` is an integer type. Rust's own parser also takes `inf`.
fn is_decimal(text: &str, to: &DataType) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if to.is_integer() { digits.bytes().all(|byte| byte.is_ascii_digit()) } else { digits.parse::<f64>().is_ok() }
}

/// The member a name or integer value denotes.
fn member(value: &Value, ty: &Arc<EnumType>) -> Option<EnumValue> {
    let member = match value {
        Value::Enum(own) => ty.find(own.name())?,
        Value::String(name) => ty.find(name)?,
        number => ty.find_value(i32::try_from(number.as_i128()?).ok()?)?,
    };
    Some(EnumValue { ty: ty.clone(), member })
}

/// Fields under their declared spelling, defaults filled in, computed fields computed, extra members kept.
fn complex_value(members: &Object, ty: &Arc<ComplexType>, is_payload: bool) -> Result<Value, Refusal> {
    let mut fields = Object::new();
    for field in &ty.fields {
        let received = members.get(&field.name);
        let received = received.or_else(|| members.get(field.device_name.as_deref()?)).unwrap_or(&Value::Null);
        let value = match (&field.expr, &field.default) {
            (Some(_), _) => Value::Null,
            (None, Some(default)) if field.is_required && received.is_null() => {
                field_value(field, default, is_payload)?
            }
            (None, _) => field_value(field, received, is_payload)?,
        };
        if value.is_null() && field.is_required && field.expr.is_none() && field.condition.is_none() {
            return Err(format!("required field `{}` is missing", field.name));
        }
        fields.push(field.name.clone(), value);
    }
    for (name, value) in members.iter() {
        let is_declared = ty.fields.iter().any(|field| {
            field.name.eq_ignore_ascii_case(name)
                || field.device_name.as_deref().is_some_and(|device| device.eq_ignore_ascii_case(name))
        });
        if !is_declared {
            fields.push(name.clone(), value.clone());
        }
    }
    for field in &ty.fields {
        if let Some(value) = computed(field, &fields, is_payload)? {
            fields.insert(field.name.clone(), value);
        }
    }
    Ok(Value::Complex(Arc::new(ComplexValue { ty: ty.clone(), fields })))
}

fn field_value(field: &Field, value: &Value, is_payload: bool) -> Result<Value, Refusal> {
    let named = |reason| format!("field `{}`: {reason}", field.name);
    field.property.convert_multi(value, field.is_list, is_payload).map_err(named)
}

/// What `expr` and `condition` make of a field; `None`: leave it.
fn computed(field: &Field, siblings: &Object, is_payload: bool) -> Result<Option<Value>, Refusal> {
    let named = |error: EvalError| format!("field `{}`: {error}", field.name);
    if let Some(condition) = &field.condition
        && !eval_bool(condition, siblings).map_err(named)?
    {
        let default = field.default.clone().unwrap_or_default();
        return Ok(Some(field_value(field, &default, is_payload)?));
    }
    let Some(expr) = &field.expr else { return Ok(None) };
    let value = eval(expr, siblings).map_err(named)?;
    Ok(Some(field_value(field, &value, is_payload)?))
}
