//! Numeric promotion, checked arithmetic and comparison (TG 4.6).

use std::cmp::Ordering;

use crate::ast::BinaryOp;
use crate::value::Value;

/// Why an operation on two numbers failed; becomes `TG.ExpressionError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArithmeticError {
    Overflow,
    DivisionByZero,
}

impl ArithmeticError {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Overflow => "integer overflow",
            Self::DivisionByZero => "integer division by zero",
        }
    }
}

/// The type two numbers are brought to before an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promoted {
    Int32,
    Int64,
    UInt64,
    /// UInt64 with a signed type: exact; UInt64 when not negative, else Int64.
    Exact,
    Float32,
    Float64,
}

/// The promoted type of two numbers. `None` when either is no number.
pub(crate) fn promote(left: &Value, right: &Value) -> Option<Promoted> {
    let (left, right) = (Width::of(left)?, Width::of(right)?);
    Some(promote_widths(left, right))
}

/// What promotion needs to know of a numeric type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// At most 16 bits.
    Small {
        unsigned: bool,
    },
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float32,
    Float64,
}

impl Width {
    pub(crate) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Int8(_) | Value::Int16(_) => Self::Small { unsigned: false },
            Value::UInt8(_) | Value::UInt16(_) => Self::Small { unsigned: true },
            Value::Int32(_) => Self::Int32,
            Value::UInt32(_) => Self::UInt32,
            Value::Int64(_) => Self::Int64,
            Value::UInt64(_) => Self::UInt64,
            Value::Float32(_) => Self::Float32,
            Value::Float64(_) => Self::Float64,
            _ => return None,
        })
    }

    fn is_unsigned(self) -> bool {
        matches!(self, Self::Small { unsigned: true } | Self::UInt32 | Self::UInt64)
    }
}

pub(crate) fn promote_widths(left: Width, right: Width) -> Promoted {
    let either = |width| left == width || right == width;
    if either(Width::Float64) {
        return Promoted::Float64;
    }
    if either(Width::Float32) {
        let fits = |width| matches!(width, Width::Float32 | Width::Small { .. });
        return if fits(left) && fits(right) { Promoted::Float32 } else { Promoted::Float64 };
    }
    if either(Width::UInt64) {
        return if left.is_unsigned() && right.is_unsigned() { Promoted::UInt64 } else { Promoted::Exact };
    }
    if either(Width::Int64) || either(Width::UInt32) { Promoted::Int64 } else { Promoted::Int32 }
}

/// `left op right` for an arithmetic operator. `None` when either is no number.
pub(crate) fn arithmetic(op: BinaryOp, left: &Value, right: &Value) -> Option<Result<Value, ArithmeticError>> {
    let promoted = promote(left, right)?;
    Some(match promoted {
        Promoted::Float64 => Ok(Value::Float64(float(op, left.as_f64()?, right.as_f64()?))),
        Promoted::Float32 => {
            // Both operands are exact in f32; rounding the exact f64 result once equals computing in f32 for
            // + - * / (double rounding is innocuous at this precision), and `%` is exact in both.
            Ok(Value::Float32(float(op, left.as_f64()?, right.as_f64()?) as f32))
        }
        _ => integer(op, left.as_i128()?, right.as_i128()?).and_then(|exact| narrow(exact, promoted)),
    })
}

fn float(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        _ => left % right,
    }
}

fn integer(op: BinaryOp, left: i128, right: i128) -> Result<i128, ArithmeticError> {
    let result = match op {
        BinaryOp::Add => left.checked_add(right),
        BinaryOp::Subtract => left.checked_sub(right),
        BinaryOp::Multiply => left.checked_mul(right),
        _ if right == 0 => return Err(ArithmeticError::DivisionByZero),
        BinaryOp::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.ok_or(ArithmeticError::Overflow)
}

/// An exact result as a value of the promoted integer type.
pub(crate) fn narrow(exact: i128, promoted: Promoted) -> Result<Value, ArithmeticError> {
    let value = match promoted {
        Promoted::Int32 => i32::try_from(exact).ok().map(Value::Int32),
        Promoted::Int64 => i64::try_from(exact).ok().map(Value::Int64),
        Promoted::Exact if exact < 0 => i64::try_from(exact).ok().map(Value::Int64),
        _ => u64::try_from(exact).ok().map(Value::UInt64),
    };
    value.ok_or(ArithmeticError::Overflow)
}

/// `-value`. `None` when it is no number.
pub(crate) fn negate(value: &Value) -> Option<Result<Value, ArithmeticError>> {
    Some(match value {
        Value::Float32(number) => Ok(Value::Float32(-number)),
        Value::Float64(number) => Ok(Value::Float64(-number)),
        Value::UInt64(number) => narrow(-i128::from(*number), Promoted::Int64),
        other => {
            let width = Width::of(other)?;
            narrow(-other.as_i128()?, promote_widths(width, Width::Small { unsigned: false }))
        }
    })
}

/// Exact order of two numbers; `None` when either is no number or is NaN.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Some(left), None) => compare_mixed(left, right.as_f64()?),
        (None, Some(right)) => compare_mixed(right, left.as_f64()?).map(Ordering::reverse),
    }
}

/// Order of an integer against a float without rounding the integer.
fn compare_mixed(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Every integer here fits 65 bits, so a float beyond that decides by its sign; the cast below is then exact.
    if float.abs() >= 2_f64.powi(66) {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let whole = float.trunc() as i128;
    Some(integer.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)))
}

/// The integer of exactly this type, or `None` when out of range or not an integer type.
pub(crate) fn integer_of_type(exact: i128, to: &crate::types::DataType) -> Option<Value> {
    use crate::types::DataType;
    match to {
        DataType::Int8 => exact.try_into().ok().map(Value::Int8),
        DataType::Int16 => exact.try_into().ok().map(Value::Int16),
        DataType::Int32 => exact.try_into().ok().map(Value::Int32),
        DataType::Int64 => exact.try_into().ok().map(Value::Int64),
        DataType::UInt8 => exact.try_into().ok().map(Value::UInt8),
        DataType::UInt16 => exact.try_into().ok().map(Value::UInt16),
        DataType::UInt32 => exact.try_into().ok().map(Value::UInt32),
        DataType::UInt64 => exact.try_into().ok().map(Value::UInt64),
        _ => None,
    }
}
