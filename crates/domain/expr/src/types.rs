//! Data types and property types a value is held against (TG 1.4, 3.1-3.3).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::ast::Expr;
use crate::value::Value;

/// Greatest length of a String property that sets no `maxLength`, bytes of UTF-8 (TG 1.4).
pub const DEFAULT_MAX_LENGTH: u64 = 4096;

/// A data type: a built-in one, an enum, a complex type or a list of any of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DataType {
    /// Unicode text.
    String,
    /// `true`/`false`, alias `bool`.
    Boolean,
    /// 8-bit signed integer.
    Int8,
    /// 16-bit signed integer.
    Int16,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// 8-bit unsigned integer, alias `byte`.
    UInt8,
    /// 16-bit unsigned integer.
    UInt16,
    /// 32-bit unsigned integer.
    UInt32,
    /// 64-bit unsigned integer.
    UInt64,
    /// IEEE 754 single, alias `float`.
    Float32,
    /// IEEE 754 double, alias `double`.
    Float64,
    /// RFC 8141 URN.
    Urn,
    /// AWS resource name.
    Arn,
    /// RFC 3986 URI.
    Uri,
    /// ISO 8601 instant.
    DateTime,
    /// ISO 8601 calendar date.
    Date,
    /// `30 minutes`, or an ISO 8601 duration.
    Duration,
    /// Any JSON value, dynamically typed.
    Json,
    /// A member of an enum.
    Enum(Arc<EnumType>),
    /// EntityType: a value with declared fields.
    Complex(Arc<ComplexType>),
    /// A list.
    List(Box<DataType>),
}

/// An enum entity (TG 3.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnumType {
    /// URN of the enum.
    pub id: SmolStr,
    /// Its type name, for diagnostics and `Mode.TRUE` paths.
    pub name: SmolStr,
    /// Members in declared order; names distinct ignoring case, values distinct.
    pub members: Vec<EnumMember>,
}

/// A member of an enum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnumMember {
    /// Declared name; what goes on the wire.
    pub name: SmolStr,
    /// Its integer value.
    pub value: i32,
}

/// The shape of a complex property: a state and its fields (TG 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComplexType {
    /// URN of the property or state that gives the shape.
    pub id: SmolStr,
    /// Its type name, for diagnostics.
    pub name: SmolStr,
    /// Declared fields, inherited ones first; names distinct ignoring case.
    pub fields: Vec<Field>,
}

/// A field of a complex type: the property it holds and the usage facets (TG 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Field name as declared.
    pub name: SmolStr,
    /// The device-side name of the `state` block, accepted on input when it differs (TG 10.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<SmolStr>,
    /// The property of each value.
    pub property: Arc<PropertyType>,
    /// The field was typed `[T]`: its value is a list of the property.
    #[serde(default)]
    pub is_list: bool,
    /// `isRequired`: null is refused unless `default` stands in.
    #[serde(default)]
    pub is_required: bool,
    /// Stands in for a missing required value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// False: the value is the default or null. Sees the sibling fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expr>,
    /// Computed from the sibling fields; what was received is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<Expr>,
}

/// A property: a data type and the range a valid value keeps (TG 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PropertyType {
    /// URN of the property.
    pub id: SmolStr,
    /// The type of its values.
    pub data_type: DataType,
    /// Least length in bytes of UTF-8; strings only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// Greatest length in bytes of UTF-8; strings only. `None`: [`DEFAULT_MAX_LENGTH`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// Least value, inclusive; numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_value: Option<Value>,
    /// Greatest value, inclusive; numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_value: Option<Value>,
}

impl PropertyType {
    /// A property without ranges.
    pub fn new(id: impl Into<SmolStr>, data_type: DataType) -> Self {
        Self { id: id.into(), data_type, min_length: None, max_length: None, min_value: None, max_value: None }
    }

    /// The built-in property of a built-in type, `urn:tdm:aws:Property:<name>`.
    pub fn built_in(data_type: DataType) -> Self {
        Self::new(format!("urn:tdm:aws:Property:{data_type}"), data_type)
    }
}

impl Field {
    /// A single-valued optional field.
    pub fn new(name: impl Into<SmolStr>, property: Arc<PropertyType>) -> Self {
        Self {
            name: name.into(),
            device_name: None,
            property,
            is_list: false,
            is_required: false,
            default: None,
            condition: None,
            expr: None,
        }
    }
}

impl EnumType {
    /// Index of the member called `name`, ignoring ASCII case.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name.eq_ignore_ascii_case(name))
    }

    /// Index of the member with integer value `value`.
    pub fn find_value(&self, value: i32) -> Option<usize> {
        self.members.iter().position(|member| member.value == value)
    }
}

impl ComplexType {
    /// The field called `name`, ignoring ASCII case.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

impl DataType {
    /// The built-in type called `name` (any case, aliases of TG 1.4). `None` for `EntityType` and everything else.
    pub fn from_name(name: &str) -> Option<Self> {
        const NAMES: [(&str, DataType); 25] = [
            ("string", DataType::String),
            ("boolean", DataType::Boolean),
            ("bool", DataType::Boolean),
            ("int8", DataType::Int8),
            ("int16", DataType::Int16),
            ("int32", DataType::Int32),
            ("integer", DataType::Int32),
            ("int64", DataType::Int64),
            ("uint8", DataType::UInt8),
            ("byte", DataType::UInt8),
            ("uint16", DataType::UInt16),
            ("uint32", DataType::UInt32),
            ("uint64", DataType::UInt64),
            ("float32", DataType::Float32),
            ("float", DataType::Float32),
            ("float64", DataType::Float64),
            ("double", DataType::Float64),
            ("urn", DataType::Urn),
            ("arn", DataType::Arn),
            ("uri", DataType::Uri),
            ("datetime", DataType::DateTime),
            ("date", DataType::Date),
            ("duration", DataType::Duration),
            ("json", DataType::Json),
            ("number", DataType::Float64),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, data_type)| data_type.clone())
    }

    /// Whether values are numbers.
    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float32 | Self::Float64)
    }

    /// Whether values are integers.
    pub fn is_integer(&self) -> bool {
        self.integer_range().is_some()
    }

    /// Whether values are text: String and the types written as text.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Urn | Self::Arn | Self::Uri | Self::DateTime | Self::Date | Self::Duration)
    }

    /// Inclusive range of an integer type.
    pub fn integer_range(&self) -> Option<(i128, i128)> {
        Some(match self {
            Self::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Self::Int16 => (i16::MIN.into(), i16::MAX.into()),
            Self::Int32 => (i32::MIN.into(), i32::MAX.into()),
            Self::Int64 => (i64::MIN.into(), i64::MAX.into()),
            Self::UInt8 => (0, u8::MAX.into()),
            Self::UInt16 => (0, u16::MAX.into()),
            Self::UInt32 => (0, u32::MAX.into()),
            Self::UInt64 => (0, u64::MAX.into()),
            _ => return None,
        })
    }
}

impl fmt::Display for DataType {
    /// Canonical spelling: `Int32`, `DateTime`, `[Float32]`, the type name of an enum or complex type.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => out.write_str("String"),
            Self::Boolean => out.write_str("Boolean"),
            Self::Int8 => out.write_str("Int8"),
            Self::Int16 => out.write_str("Int16"),
            Self::Int32 => out.write_str("Int32"),
            Self::Int64 => out.write_str("Int64"),
            Self::UInt8 => out.write_str("UInt8"),
            Self::UInt16 => out.write_str("UInt16"),
            Self::UInt32 => out.write_str("UInt32"),
            Self::UInt64 => out.write_str("UInt64"),
            Self::Float32 => out.write_str("Float32"),
            Self::Float64 => out.write_str("Float64"),
            Self::Urn => out.write_str("Urn"),
            Self::Arn => out.write_str("Arn"),
            Self::Uri => out.write_str("Uri"),
            Self::DateTime => out.write_str("DateTime"),
            Self::Date => out.write_str("Date"),
            Self::Duration => out.write_str("Duration"),
            Self::Json => out.write_str("Json"),
            Self::Enum(ty) => out.write_str(&ty.name),
            Self::Complex(ty) => out.write_str(&ty.name),
            Self::List(item) => write!(out, "[{item}]"),
        }
    }
}
