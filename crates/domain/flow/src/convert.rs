//! A value of one property becoming a value of another (TG 5.5): coercion, mapping chains, field by field.
//!
//! Which way applies was decided when the flow was checked; this is only its execution.

use std::borrow::Cow;
use std::sync::Arc;

use marram_expr::{DataType, Expr, Object, PropertyType, Scope, Value};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::fault::{self, Fault};
use crate::scope;

/// How a value is converted to its target property.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Conversion {
    /// Assignment coercion (TG 4.6).
    #[default]
    Coerce,
    /// Through mappings, first to last.
    Mappings(Vec<Hop>),
    /// Complex to complex by equal field names.
    Fields(Vec<FieldConversion>),
}

/// One mapping applied in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// URN of the mapping, for messages.
    pub mapping: SmolStr,
    /// Name of the source in the rules.
    pub alias: SmolStr,
    /// Property the rules yield.
    pub target: Arc<PropertyType>,
    /// In order.
    pub rules: Vec<HopRule>,
}

/// A rule of a mapping (TG 5.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HopRule {
    /// If `guard` holds for the source, the target is `value`; the first that holds wins.
    Value {
        /// Over the source alias.
        guard: Expr,
        /// Literal or enum member of the target.
        value: Expr,
    },
    /// The target (empty `path`) or one of its fields is `source`.
    Field {
        /// Over the source alias.
        source: Expr,
        /// Field names below the target.
        path: Vec<SmolStr>,
        /// To the field's property.
        conversion: Conversion,
    },
}

/// How one field of a complex value is converted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldConversion {
    /// Field of the target.
    pub field: SmolStr,
    /// How.
    pub conversion: Conversion,
}

impl Conversion {
    /// `value` as a value of `target`. Null stays null.
    ///
    /// # Errors
    /// `TG.TypeError` when it cannot become one, `TG.MappingGap` when no rule of a mapping matches.
    pub fn apply(&self, value: Value, target: &PropertyType) -> Result<Value, Fault> {
        if value.is_null() {
            return Ok(value);
        }
        let value = match self {
            Self::Coerce => value,
            Self::Mappings(hops) => hops.iter().try_fold(value, |value, hop| hop.apply(value))?,
            Self::Fields(fields) => by_field(&value, fields, target)?,
        };
        scope::coerce(&value, target)
    }
}

fn by_field(value: &Value, fields: &[FieldConversion], target: &PropertyType) -> Result<Value, Fault> {
    let DataType::Complex(shape) = &target.data_type else {
        return Err(Fault::new(fault::TYPE_ERROR, format!("{} has no fields", target.data_type)));
    };
    let mut object = Object::new();
    for field in fields {
        let Some(declared) = shape.field(&field.field) else { continue };
        let given = scope::field(value, &field.field);
        object.insert(declared.name.clone(), field.conversion.apply(given, &declared.property)?);
    }
    Ok(Value::object(object))
}

/// What a rule sees: the source under its alias, and the members of enums at both ends.
struct RuleScope<'a> {
    alias: &'a str,
    source: &'a Value,
    target: &'a PropertyType,
}

impl Scope for RuleScope<'_> {
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>> {
        if name.eq_ignore_ascii_case(self.alias) {
            return Some(Cow::Borrowed(self.source));
        }
        let own = match self.source {
            Value::Enum(member) => scope::enum_name(&member.ty, name),
            _ => None,
        };
        own.or_else(|| match &self.target.data_type {
            DataType::Enum(ty) => scope::enum_name(ty, name),
            _ => None,
        })
        .map(Cow::Owned)
    }
}

impl Hop {
    fn apply(&self, source: Value) -> Result<Value, Fault> {
        let scope = RuleScope { alias: &self.alias, source: &source, target: &self.target };
        let mut object = Object::new();
        let mut guarded = false;
        for rule in &self.rules {
            match rule {
                HopRule::Value { guard, value } => {
                    guarded = true;
                    if scope::test(guard, &scope)? {
                        return scope::coerce(&scope::eval(value, &scope)?, &self.target);
                    }
                }
                HopRule::Field { source, path, conversion } => {
                    let value = scope::eval(source, &scope)?;
                    let [field, deeper @ ..] = path.as_slice() else {
                        return conversion.apply(value, &self.target);
                    };
                    let property = field_property(&self.target, path);
                    let value = match &property {
                        Some(property) => conversion.apply(value, property)?,
                        None => value,
                    };
                    insert_path(&mut object, field, deeper, value);
                }
            }
        }
        if guarded {
            return Err(Fault::new(fault::MAPPING_GAP, format!("no rule of `{}` matches", self.mapping)));
        }
        scope::coerce(&Value::object(object), &self.target)
    }
}

/// The property at `path` below `target`.
fn field_property(target: &PropertyType, path: &[SmolStr]) -> Option<Arc<PropertyType>> {
    let DataType::Complex(shape) = &target.data_type else { return None };
    let [name, deeper @ ..] = path else { return None };
    let property = &shape.field(name)?.property;
    if deeper.is_empty() { Some(Arc::clone(property)) } else { field_property(property, deeper) }
}

fn insert_path(object: &mut Object, field: &SmolStr, deeper: &[SmolStr], value: Value) {
    let value = match deeper {
        [] => value,
        [next, rest @ ..] => {
            let mut inner = match object.get(field) {
                Some(Value::Object(inner)) => (**inner).clone(),
                _ => Object::new(),
            };
            insert_path(&mut inner, next, rest, value);
            Value::object(inner)
        }
    };
    object.insert(field.clone(), value);
}
