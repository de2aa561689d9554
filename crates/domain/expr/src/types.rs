//! Data types and property types a value is held against (TG 1.4, 3.1-3.3).

mod primitive;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use primitive::Primitive;

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
        // What the language of flows calls a number.
        let number = || name.eq_ignore_ascii_case("number").then_some(Primitive::Float64);
        Primitive::parse(name).or_else(number).map(Self::from)
    }

    /// Whether values are numbers.
    pub fn is_number(&self) -> bool {
        self.primitive().is_some_and(Primitive::is_numeric)
    }

    /// Whether values are integers.
    pub fn is_integer(&self) -> bool {
        self.integer_range().is_some()
    }

    /// Whether values are text: String and the types written as text.
    pub fn is_text(&self) -> bool {
        self.primitive().is_some_and(Primitive::is_textual)
    }

    /// Inclusive range of an integer type.
    pub fn integer_range(&self) -> Option<(i128, i128)> {
        self.primitive()?.integer_range()
    }
}

/// Ties the built-in types to the variants of the same name.
macro_rules! built_in {
    ($($name:ident)*) => {
        impl From<Primitive> for DataType {
            fn from(primitive: Primitive) -> Self {
                match primitive {
                    $(Primitive::$name => Self::$name,)*
                }
            }
        }

        impl DataType {
            /// The built-in type it is. `None`: an enum, a complex type or a list.
            pub fn primitive(&self) -> Option<Primitive> {
                match self {
                    $(Self::$name => Some(Primitive::$name),)*
                    Self::Enum(_) | Self::Complex(_) | Self::List(_) => None,
                }
            }
        }
    };
}

built_in! {
    String Boolean Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float32 Float64
    Urn Arn Uri DateTime Date Duration Json
}

impl fmt::Display for DataType {
    /// Canonical spelling: `Int32`, `DateTime`, `[Float32]`, the type name of an enum or complex type.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enum(ty) => out.write_str(&ty.name),
            Self::Complex(ty) => out.write_str(&ty.name),
            Self::List(item) => write!(out, "[{item}]"),
            built_in => built_in.primitive().map_or(Ok(()), |primitive| out.write_str(primitive.as_str())),
        }
    }
}
