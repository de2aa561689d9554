//! Instance methods of primitives; text is indexed by UTF-16 unit as in Java (TG 4.5).

use std::borrow::Cow;

use super::function::arity;
use super::{Evaluator, Frame, is_equal};
use crate::ast::{Expr, Span};
use crate::coerce;
use crate::error::EvalError;
use crate::number;
use crate::text::{self, MAX_RESULT_BYTES};
use crate::types::DataType;
use crate::value::Value;

type Args<'a> = &'a [Cow<'a, Value>];

impl<'s> Evaluator<'s> {
    pub(super) fn method(
        &self,
        subject: &Value,
        name: &str,
        args: &'s [Expr],
        span: Span,
        frame: Option<&Frame<'_>>,
    ) -> Result<Value, EvalError> {
        let values = args.iter().map(|arg| self.eval(arg, frame)).collect::<Result<Vec<_>, _>>()?;
        let subject = match subject {
            Value::List(items) if items.len() == 1 => &items[0],
            other => other,
        };
        match subject {
            Value::Null => Ok(Value::Null),
            Value::String(_) => self.string_method(subject, name, &values, span),
            Value::Enum(member) => self.string_method(&Value::String(member.name().clone()), name, &values, span),
            Value::Bool(_) => {
                plain_method(subject, name, &values, span).unwrap_or_else(|| Err(unknown(span, "Boolean", name)))
            }
            number if number.is_number() => number_method(number, name, &values, span),
            other => Err(unknown(span, other.type_name(), name)),
        }
    }

    /// A String method or `tdm.lib.String` function with its subject first.
    pub(super) fn string_method(
        &self,
        subject: &Value,
        name: &str,
        args: Args<'_>,
        span: Span,
    ) -> Result<Value, EvalError> {
        if subject.is_null() || args.iter().any(|arg| arg.is_null()) {
            return Ok(if name.eq_ignore_ascii_case("equals") { Value::Bool(false) } else { Value::Null });
        }
        if let Some(result) = plain_method(subject, name, args, span) {
            return result;
        }
        let Some(own) = subject.as_str() else {
            let message = format!("`{name}` needs a String, not {}", subject.type_name());
            return Err(EvalError::expression(span, message));
        };
        self.charge(span, own.len() / 1024)?;
        let call = StringCall { own, name, args, span };
        let result = call.run()?;
        self.charge_text(span, &result)?;
        Ok(result)
    }
}

fn unknown(span: Span, of: &str, name: &str) -> EvalError {
    EvalError::expression(span, format!("{of} has no method `{name}`"))
}

/// `toString` and `equals`, which every primitive has.
fn plain_method(subject: &Value, name: &str, args: Args<'_>, span: Span) -> Option<Result<Value, EvalError>> {
    match (name.to_ascii_lowercase().as_str(), args) {
        ("tostring", []) => {
            Some(text::text(subject).map(Value::string).map_err(|error| EvalError::expression(span, error.message())))
        }
        ("equals", [other]) => Some(Ok(Value::Bool(is_equal(subject, other)))),
        ("tostring", _) => Some(Err(wrong_arity(span, name, 0, 0))),
        ("equals", _) => Some(Err(wrong_arity(span, name, 1, 1))),
        _ => None,
    }
}

fn wrong_arity(span: Span, name: &str, least: usize, most: usize) -> EvalError {
    EvalError::expression(span, format!("`{name}` takes {}", arity(least, most)))
}

fn number_method(subject: &Value, name: &str, args: Args<'_>, span: Span) -> Result<Value, EvalError> {
    if let Some(result) = plain_method(subject, name, args, span) {
        return result;
    }
    let to = match name.to_ascii_lowercase().as_str() {
        "intvalue" => DataType::Int32,
        "longvalue" => DataType::Int64,
        "shortvalue" => DataType::Int16,
        "bytevalue" => DataType::Int8,
        "floatvalue" => DataType::Float32,
        "doublevalue" => DataType::Float64,
        "compareto" => {
            let [other] = args else { return Err(wrong_arity(span, name, 1, 1)) };
            if other.is_null() {
                return Ok(Value::Null);
            }
            return match number::compare(subject, other) {
                Some(order) => Ok(Value::Int32(order as i32)),
                None => Err(EvalError::expression(span, "`compareTo` needs a number")),
            };
        }
        _ => return Err(unknown(span, subject.type_name(), name)),
    };
    if !args.is_empty() {
        return Err(wrong_arity(span, name, 0, 0));
    }
    coerce::cast(subject, &to).map_err(|message| EvalError::expression(span, message))
}

struct StringCall<'a> {
    own: &'a str,
    name: &'a str,
    args: Args<'a>,
    span: Span,
}

impl StringCall<'_> {
    fn run(&self) -> Result<Value, EvalError> {
        let own = self.own;
        Ok(match self.name.to_ascii_lowercase().as_str() {
            "length" => self.arity(0, 0, |_| int(utf16_len(own)))?,
            "isempty" => self.arity(0, 0, |_| Ok(Value::Bool(own.is_empty())))?,
            "trim" => self.arity(0, 0, |_| Ok(Value::string(own.trim_matches(|c| c <= ' '))))?,
            "tolowercase" => self.arity(0, 0, |_| self.limited(own.to_lowercase()))?,
            "touppercase" => self.arity(0, 0, |_| self.limited(own.to_uppercase()))?,
            "charat" => self.arity(1, 1, |call| {
                let at = call.index(0)?;
                call.slice(at, at.saturating_add(1))
            })?,
            "substring" => self.arity(1, 2, |call| {
                let end = if call.args.len() == 2 { call.index(1)? } else { utf16_len(own) };
                call.slice(call.index(0)?, end)
            })?,
            "indexof" => self.arity(1, 2, |call| {
                let from = if call.args.len() == 2 { call.index_clamped(1)? } else { 0 };
                let start = byte_offset(own, from.min(utf16_len(own))).unwrap_or(own.len());
                Ok(position(own, own[start..].find(call.text(0)?).map(|at| at + start)))
            })?,
            "lastindexof" => self.arity(1, 2, |call| {
                let wanted = call.text(0)?;
                if call.args.len() == 1 {
                    return Ok(position(own, own.rfind(wanted)));
                }
                let start = byte_offset(own, call.index_clamped(1)?.min(utf16_len(own))).unwrap_or(own.len());
                let found = own.match_indices(wanted).map(|(at, _)| at).take_while(|at| *at <= start).last();
                Ok(position(own, found))
            })?,
            "startswith" => self.arity(1, 2, |call| {
                let from = if call.args.len() == 2 { call.index(1)? } else { 0 };
                let rest = byte_offset(own, from).map(|start| &own[start..]);
                Ok(Value::Bool(match (rest, call.text(0)?) {
                    (Some(rest), prefix) => rest.starts_with(prefix),
                    (None, _) => false,
                }))
            })?,
            "endswith" => self.arity(1, 1, |call| Ok(Value::Bool(own.ends_with(call.text(0)?))))?,
            "contains" => self.arity(1, 1, |call| Ok(Value::Bool(own.contains(call.text(0)?))))?,
            "equalsignorecase" => self.arity(1, 1, |call| {
                Ok(Value::Bool(call.args[0].as_str().is_some_and(|other| fold_case(own).eq(fold_case(other)))))
            })?,
            "compareto" => self.arity(1, 1, |call| Ok(Value::Int32(compare_utf16(own, call.text(0)?))))?,
            "concat" => self.arity(1, 1, |call| {
                let other = call.text(0)?;
                self.check_size(own.len() + other.len())?;
                Ok(Value::string([own, other].concat()))
            })?,
            "replace" => self.arity(2, 2, |call| {
                let (from, to) = (call.text(0)?, call.text(1)?);
                let matches = own.matches(from).count();
                self.check_size(own.len().saturating_add(matches.saturating_mul(to.len())))?;
                Ok(Value::string(own.replace(from, to)))
            })?,
            _ => return Err(unknown(self.span, "String", self.name)),
        })
    }

    fn arity(
        &self,
        least: usize,
        most: usize,
        run: impl FnOnce(&Self) -> Result<Value, EvalError>,
    ) -> Result<Value, EvalError> {
        if (least..=most).contains(&self.args.len()) {
            run(self)
        } else {
            Err(wrong_arity(self.span, self.name, least, most))
        }
    }

    fn error<T>(&self, message: String) -> Result<T, EvalError> {
        Err(EvalError::expression(self.span, message))
    }

    fn text(&self, at: usize) -> Result<&str, EvalError> {
        match self.args[at].as_str() {
            Some(text) => Ok(text),
            None => self.error(format!("`{}` needs a String, not {}", self.name, self.args[at].type_name())),
        }
    }

    fn integer(&self, at: usize) -> Result<i128, EvalError> {
        match self.args[at].as_i128() {
            Some(index) => Ok(index),
            None => self.error(format!("`{}` needs an integer, not {}", self.name, self.args[at].type_name())),
        }
    }

    fn index(&self, at: usize) -> Result<usize, EvalError> {
        match usize::try_from(self.integer(at)?) {
            Ok(index) => Ok(index),
            Err(_) => self.error(format!("index of `{}` out of bounds", self.name)),
        }
    }

    /// Java's indexOf takes any start: a negative one is 0.
    fn index_clamped(&self, at: usize) -> Result<usize, EvalError> {
        Ok(usize::try_from(self.integer(at)?.max(0)).unwrap_or(usize::MAX))
    }

    /// UTF-16 units `start..end`.
    fn slice(&self, start: usize, end: usize) -> Result<Value, EvalError> {
        let bounds = byte_offset(self.own, start).zip(byte_offset(self.own, end));
        match bounds.and_then(|(start, end)| self.own.get(start..end)) {
            Some(slice) => Ok(Value::string(slice)),
            None => self.error(format!("index of `{}` out of bounds", self.name)),
        }
    }

    fn limited(&self, text: String) -> Result<Value, EvalError> {
        self.check_size(text.len())?;
        Ok(Value::string(text))
    }

    fn check_size(&self, bytes: usize) -> Result<(), EvalError> {
        if bytes > MAX_RESULT_BYTES { self.error("result larger than 256 KiB".to_owned()) } else { Ok(()) }
    }
}

fn int(number: usize) -> Result<Value, EvalError> {
    Ok(Value::Int32(i32::try_from(number).unwrap_or(i32::MAX)))
}

fn utf16_len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// Byte offset of UTF-16 unit `unit`; `None` past the end or inside a surrogate pair.
fn byte_offset(text: &str, unit: usize) -> Option<usize> {
    if text.is_ascii() {
        return (unit <= text.len()).then_some(unit);
    }
    let mut units = 0;
    for (at, character) in text.char_indices() {
        if units == unit {
            return Some(at);
        }
        units += character.len_utf16();
    }
    (units == unit).then_some(text.len())
}

/// A byte position as a UTF-16 index, -1 for none.
fn position(text: &str, at: Option<usize>) -> Value {
    Value::Int32(at.map_or(-1, |at| i32::try_from(utf16_len(&text[..at])).unwrap_or(i32::MAX)))
}

fn fold_case(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Java's String.compareTo: difference of the first differing units, else of the lengths.
fn compare_utf16(left: &str, right: &str) -> i32 {
    let mut units = left.encode_utf16().zip(right.encode_utf16());
    if let Some((left, right)) = units.find(|(left, right)| left != right) {
        return i32::from(left) - i32::from(right);
    }
    let difference = utf16_len(left) as i64 - utf16_len(right) as i64;
    i32::try_from(difference).unwrap_or(if difference < 0 { i32::MIN } else { i32::MAX })
}
