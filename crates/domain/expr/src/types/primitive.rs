//! Built-in data types and their ranges (TG 1.4).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A built-in data type. `EntityType` is not here: a complex property names its state instead.
/// [`DataType`](crate::DataType) is the same list plus enums, complex types and lists, all by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation
pub enum Primitive {
    String,
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Urn,
    Arn,
    Uri,
    DateTime,
    Date,
    Duration,
    /// Any JSON value, dynamically typed.
    Json,
}

impl Primitive {
    /// Every type with its canonical name, in the order of TG 1.5.
    pub const ALL: [(Primitive, &'static str); 19] = [
        (Primitive::String, "String"),
        (Primitive::Boolean, "Boolean"),
        (Primitive::Int8, "Int8"),
        (Primitive::Int16, "Int16"),
        (Primitive::Int32, "Int32"),
        (Primitive::Int64, "Int64"),
        (Primitive::UInt8, "UInt8"),
        (Primitive::UInt16, "UInt16"),
        (Primitive::UInt32, "UInt32"),
        (Primitive::UInt64, "UInt64"),
        (Primitive::Float32, "Float32"),
        (Primitive::Float64, "Float64"),
        (Primitive::Urn, "Urn"),
        (Primitive::Arn, "Arn"),
        (Primitive::Uri, "Uri"),
        (Primitive::DateTime, "DateTime"),
        (Primitive::Date, "Date"),
        (Primitive::Duration, "Duration"),
        (Primitive::Json, "Json"),
    ];

    /// Other names of a type; `Integer` occurs in one sample.
    pub const ALIASES: [(&'static str, Primitive); 5] = [
        ("Bool", Primitive::Boolean),
        ("Byte", Primitive::UInt8),
        ("Float", Primitive::Float32),
        ("Double", Primitive::Float64),
        ("Integer", Primitive::Int32),
    ];

    /// Reads a name or alias in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let own = Self::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(ty, _)| *ty);
        let alias = || Self::ALIASES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, ty)| *ty);
        own.or_else(alias)
    }

    /// The canonical name.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Inclusive range of an integer type.
    pub fn integer_range(self) -> Option<(i128, i128)> {
        Some(match self {
            Primitive::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Primitive::Int16 => (i16::MIN.into(), i16::MAX.into()),
            Primitive::Int32 => (i32::MIN.into(), i32::MAX.into()),
            Primitive::Int64 => (i64::MIN.into(), i64::MAX.into()),
            Primitive::UInt8 => (0, u8::MAX.into()),
            Primitive::UInt16 => (0, u16::MAX.into()),
            Primitive::UInt32 => (0, u32::MAX.into()),
            Primitive::UInt64 => (0, u64::MAX.into()),
            _ => return None,
        })
    }

    /// Largest finite magnitude of a floating type.
    pub fn float_limit(self) -> Option<f64> {
        match self {
            Primitive::Float32 => Some(f64::from(f32::MAX)),
            Primitive::Float64 => Some(f64::MAX),
            _ => None,
        }
    }

    /// Whether it is one of the ten numeric types.
    pub fn is_numeric(self) -> bool {
        self.integer_range().is_some() || self.float_limit().is_some()
    }

    /// Whether its values are JSON strings: the length facets apply.
    pub fn is_textual(self) -> bool {
        !self.is_numeric() && !matches!(self, Primitive::Boolean | Primitive::Json)
    }
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 1.4: names and aliases are read in any case.
    #[test]
    fn names_are_read_in_any_case() {
        for (name, ty) in [
            ("STRING", Primitive::String),
            ("bool", Primitive::Boolean),
            ("byte", Primitive::UInt8),
            ("double", Primitive::Float64),
            ("datetime", Primitive::DateTime),
            ("json", Primitive::Json),
        ] {
            assert_eq!(Primitive::parse(name), Some(ty));
        }
        assert_eq!(Primitive::parse("int24"), None);
        assert!(Primitive::ALL.iter().all(|(ty, name)| ty.as_str() == *name));
    }
}
