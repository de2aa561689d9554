//! Values of the expression language: null, Booleans, ten numeric types, text, lists, objects, enum members, occurrences.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::types::{ComplexType, EnumType};

/// A value. Cheap to clone: everything that can be large is shared.
///
/// `urn`, `arn`, `uri`, `datetime`, `date` and `duration` values are [`Value::String`] in the canonical form of their type;
/// the property they belong to tells them apart (TG 1.4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// `null`; also what a missing field is.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// 8-bit signed integer.
    Int8(i8),
    /// 16-bit signed integer.
    Int16(i16),
    /// 32-bit signed integer, the type of short integer literals.
    Int32(i32),
    /// 64-bit signed integer.
    Int64(i64),
    /// 8-bit unsigned integer, alias `byte`.
    UInt8(u8),
    /// 16-bit unsigned integer.
    UInt16(u16),
    /// 32-bit unsigned integer.
    UInt32(u32),
    /// 64-bit unsigned integer.
    UInt64(u64),
    /// IEEE 754 single.
    Float32(f32),
    /// IEEE 754 double, the type of literals with a fraction.
    Float64(f64),
    /// Unicode text.
    String(SmolStr),
    /// A list; its elements need not share a type.
    List(Arc<Vec<Value>>),
    /// A JSON object, dynamically typed, members in the order received.
    Object(Arc<Object>),
    /// A value with declared fields (an EntityType value, TG 1.4).
    Complex(Arc<ComplexValue>),
    /// A member of an enum.
    Enum(EnumValue),
    /// What a bare `lastEvent` is: an event that happened (TG 4.7).
    Occurrence(Arc<Occurrence>),
}

/// An ordered string-keyed map. Lookup is exact first, then a unique match ignoring ASCII case (TG 4.4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Object {
    entries: Vec<(SmolStr, Value)>,
}

/// A value of a complex property: its declared type and the fields received, undeclared ones included (open world).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComplexValue {
    /// The declared shape.
    pub ty: Arc<ComplexType>,
    /// Declared fields under their declared spelling, then extra fields as received.
    pub fields: Object,
}

/// One member of an enum type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnumValue {
    /// The enum.
    pub ty: Arc<EnumType>,
    /// Index into `ty.members`.
    pub member: usize,
}

/// One occurrence of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Event name as the capability spells it.
    pub event: SmolStr,
    /// Name of the thing that emitted it.
    pub thing: SmolStr,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// The decoded payload; null when the event declares none.
    pub payload: Value,
}

impl Value {
    /// A text value.
    pub fn string(text: impl Into<SmolStr>) -> Self {
        Self::String(text.into())
    }

    /// A list value.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    /// An object value.
    pub fn object(object: Object) -> Self {
        Self::Object(Arc::new(object))
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is one of the ten numeric types.
    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float32(_) | Self::Float64(_))
    }

    /// Whether this is one of the eight integer types.
    pub fn is_integer(&self) -> bool {
        self.as_i128().is_some()
    }

    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The exact value of an integer of any width.
    pub fn as_i128(&self) -> Option<i128> {
        Some(match *self {
            Self::Int8(n) => n.into(),
            Self::Int16(n) => n.into(),
            Self::Int32(n) => n.into(),
            Self::Int64(n) => n.into(),
            Self::UInt8(n) => n.into(),
            Self::UInt16(n) => n.into(),
            Self::UInt32(n) => n.into(),
            Self::UInt64(n) => n.into(),
            _ => return None,
        })
    }

    /// The nearest double of any number.
    pub fn as_f64(&self) -> Option<f64> {
        Some(match *self {
            Self::Float32(n) => n.into(),
            Self::Float64(n) => n,
            Self::Int64(n) => n as f64,
            Self::UInt64(n) => n as f64,
            Self::Int8(n) => n.into(),
            Self::Int16(n) => n.into(),
            Self::Int32(n) => n.into(),
            Self::UInt8(n) => n.into(),
            Self::UInt16(n) => n.into(),
            Self::UInt32(n) => n.into(),
            _ => return None,
        })
    }

    /// The name of the value's type as diagnostics show it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "Boolean",
            Self::Int8(_) => "Int8",
            Self::Int16(_) => "Int16",
            Self::Int32(_) => "Int32",
            Self::Int64(_) => "Int64",
            Self::UInt8(_) => "UInt8",
            Self::UInt16(_) => "UInt16",
            Self::UInt32(_) => "UInt32",
            Self::UInt64(_) => "UInt64",
            Self::Float32(_) => "Float32",
            Self::Float64(_) => "Float64",
            Self::String(_) => "String",
            Self::List(_) => "list",
            Self::Object(_) => "Json",
            Self::Complex(value) => &value.ty.name,
            Self::Enum(value) => &value.ty.name,
            Self::Occurrence(_) => "occurrence",
        }
    }
}

impl Object {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// The member `name`: exact match, else the only member equal to it ignoring ASCII case.
    pub fn get(&self, name: &str) -> Option<&Value> {
        if let Some((_, value)) = self.entries.iter().find(|(key, _)| key == name) {
            return Some(value);
        }
        let mut near = self.entries.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (near.next(), near.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// The member spelled exactly `name`.
    pub fn get_exact(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Sets member `name` (exact spelling), keeping its position when it exists.
    pub fn insert(&mut self, name: impl Into<SmolStr>, value: Value) {
        let name = name.into();
        match self.entries.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.entries.push((name, value)),
        }
    }

    /// Appends a member without looking for an equal name. For builders that know the names are distinct.
    pub(crate) fn push(&mut self, name: SmolStr, value: Value) {
        self.entries.push((name, value));
    }

    /// Replaces the value of the member at index `at`.
    pub(crate) fn replace_at(&mut self, at: usize, value: Value) {
        if let Some((_, old)) = self.entries.get_mut(at) {
            *old = value;
        }
    }

    /// Members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SmolStr, &Value)> {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Into<SmolStr>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Self {
        let mut object = Self::new();
        for (name, value) in members {
            object.insert(name, value);
        }
        object
    }
}

impl EnumValue {
    /// The member's name as declared.
    pub fn name(&self) -> &SmolStr {
        &self.ty.members[self.member].name
    }

    /// The member's integer value.
    pub fn number(&self) -> i32 {
        self.ty.members[self.member].value
    }
}

impl PartialEq for EnumValue {
    /// Two members are equal when their enum and name are.
    fn eq(&self, other: &Self) -> bool {
        self.ty.id.eq_ignore_ascii_case(&other.ty.id) && self.name().eq_ignore_ascii_case(other.name())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int32(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int64(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float64(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::string(value)
    }
}
