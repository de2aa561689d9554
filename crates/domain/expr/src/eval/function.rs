//! The function library `tdm.lib` (TG 4.5).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Evaluated, Evaluator, Frame, arithmetic_error};
use crate::ast::{Expr, Span};
use crate::error::EvalError;
use crate::functions::LibraryFn;
use crate::number::{self, ArithmeticError, Promoted, Width};
use crate::text;
use crate::value::Value;

impl<'s> Evaluator<'s> {
    pub(super) fn library(
        &self,
        function: LibraryFn,
        args: &'s [Expr],
        span: Span,
        frame: Option<&Frame<'_>>,
    ) -> Evaluated<'s> {
        let (least, most) = function.arity();
        if !(least..=most).contains(&args.len()) {
            return Err(EvalError::expression(span, format!("`{}` takes {}", function.name(), arity(least, most))));
        }
        let values = args.iter().map(|arg| self.eval(arg, frame)).collect::<Result<Vec<_>, _>>()?;
        let result = match function.group() {
            "Math" => math(function.name(), &values).map_err(|error| match error {
                MathError::Arithmetic(error) => arithmetic_error(error, span),
                MathError::NotNumber(found) => {
                    EvalError::expression(span, format!("`{}` needs a number, not {found}", function.name()))
                }
            })?,
            "String" if function.name() == "valueOf" => {
                let text = text::text(&values[0]).map_err(|error| EvalError::expression(span, error.message()))?;
                Value::string(text)
            }
            "String" => self.string_method(&values[0], function.name(), &values[1..], span)?,
            _ => self.host(function.name(), &values, span)?,
        };
        Ok(Cow::Owned(result))
    }

    fn host(&self, name: &str, values: &[Cow<'_, Value>], span: Span) -> Result<Value, EvalError> {
        if name == "fileSize" {
            let size = values[0].as_str().and_then(|uri| self.scope.file_size(uri));
            return Ok(size.map_or(Value::Null, Value::Int64));
        }
        let Some(now) = self.scope.now_ms() else {
            return Err(EvalError::expression(span, format!("`{name}` has no clock here")));
        };
        if name == "getTime" {
            return Ok(Value::Int64(now));
        }
        match jiff::Timestamp::from_millisecond(now) {
            Ok(time) => Ok(Value::string(time.strftime("%Y%m%dT%H%M%SZ").to_string())),
            Err(_) => Err(EvalError::expression(span, "the clock is out of range")),
        }
    }
}

pub(super) fn arity(least: usize, most: usize) -> String {
    let plural = if most == 1 { "" } else { "s" };
    if least == most { format!("{most} argument{plural}") } else { format!("{least} to {most} arguments") }
}

enum MathError {
    Arithmetic(ArithmeticError),
    NotNumber(String),
}

/// A Math function on checked argument counts; null in, null out.
fn math(name: &str, args: &[Cow<'_, Value>]) -> Result<Value, MathError> {
    if args.iter().any(|arg| arg.is_null()) {
        return Ok(Value::Null);
    }
    if let Some(other) = args.iter().find(|arg| !arg.is_number()) {
        return Err(MathError::NotNumber(other.type_name().to_owned()));
    }
    match name {
        "abs" => abs(&args[0]),
        "min" => fold(args, Ordering::Less),
        "max" => fold(args, Ordering::Greater),
        "round" => round(&args[0]),
        "signum" => Ok(match &*args[0] {
            Value::Float32(number) => Value::Float32(sign_of((*number).into()) as f32),
            other => Value::Float64(sign_of(float(other))),
        }),
        "floorDiv" | "floorMod" => floor_division(name, &args[0], &args[1]),
        _ => Ok(Value::Float64(real(name, float(&args[0]), args.get(1).map(|arg| float(arg))))),
    }
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Java's signum: zero and NaN are themselves.
fn sign_of(number: f64) -> f64 {
    if number == 0.0 || number.is_nan() { number } else { number.signum() }
}

fn real(name: &str, x: f64, y: Option<f64>) -> f64 {
    let y = y.unwrap_or(f64::NAN);
    match name {
        "acos" => x.acos(),
        "asin" => x.asin(),
        "atan" => x.atan(),
        "atan2" => x.atan2(y),
        "cbrt" => x.cbrt(),
        "ceil" => x.ceil(),
        "cos" => x.cos(),
        "cosh" => x.cosh(),
        "exp" => x.exp(),
        "expm1" => x.exp_m1(),
        "floor" => x.floor(),
        "hypot" => x.hypot(y),
        "log" => x.ln(),
        "log10" => x.log10(),
        "log1p" => x.ln_1p(),
        "pow" => x.powf(y),
        "rint" => x.round_ties_even(),
        "sin" => x.sin(),
        "sinh" => x.sinh(),
        "sqrt" => x.sqrt(),
        "tan" => x.tan(),
        "tanh" => x.tanh(),
        "toDegrees" => x.to_degrees(),
        "toRadians" => x.to_radians(),
        _ => f64::NAN,
    }
}

fn abs(value: &Value) -> Result<Value, MathError> {
    match value {
        Value::Float32(number) => Ok(Value::Float32(number.abs())),
        Value::Float64(number) => Ok(Value::Float64(number.abs())),
        other if other.as_i128().is_some_and(|number| number < 0) => {
            number::negate(other).unwrap_or(Err(ArithmeticError::Overflow)).map_err(MathError::Arithmetic)
        }
        other => Ok(other.clone()),
    }
}

fn fold(args: &[Cow<'_, Value>], wanted: Ordering) -> Result<Value, MathError> {
    let mut best = args[0].clone().into_owned();
    for arg in &args[1..] {
        let promoted = number::promote(&best, arg).unwrap_or(Promoted::Float64);
        let chosen = match number::compare(arg, &best) {
            Some(order) if order == wanted => arg,
            Some(_) => &best,
            // NaN wins, as in Java.
            None => &Value::Float64(f64::NAN),
        };
        best = match promoted {
            Promoted::Float64 => Value::Float64(float(chosen)),
            Promoted::Float32 => Value::Float32(float(chosen) as f32),
            integer => number::narrow(chosen.as_i128().unwrap_or_default(), integer).map_err(MathError::Arithmetic)?,
        };
    }
    Ok(best)
}

/// Java's round: half up, Int32 for a Float32, Int64 for a Float64; integers stay.
fn round(value: &Value) -> Result<Value, MathError> {
    let (Value::Float32(_) | Value::Float64(_)) = value else { return Ok(value.clone()) };
    let rounded = (float(value) + 0.5).floor();
    let target = if matches!(value, Value::Float32(_)) { Promoted::Int32 } else { Promoted::Int64 };
    if !rounded.is_finite() {
        return Err(MathError::Arithmetic(ArithmeticError::Overflow));
    }
    number::narrow(rounded as i128, target).map_err(MathError::Arithmetic)
}

fn floor_division(name: &str, left: &Value, right: &Value) -> Result<Value, MathError> {
    let integers = left.as_i128().zip(right.as_i128());
    let Some((dividend, divisor)) = integers else {
        return Err(MathError::NotNumber("a number with a fraction".to_owned()));
    };
    if divisor == 0 {
        return Err(MathError::Arithmetic(ArithmeticError::DivisionByZero));
    }
    let remainder = ((dividend % divisor) + divisor) % divisor;
    let exact = if name == "floorMod" { remainder } else { (dividend - remainder) / divisor };
    let widths = Width::of(left).zip(Width::of(right));
    let promoted = widths.map_or(Promoted::Int64, |(left, right)| number::promote_widths(left, right));
    number::narrow(exact, promoted).map_err(MathError::Arithmetic)
}
