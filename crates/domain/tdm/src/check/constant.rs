//! Whether a constant can be a value of a property, and what a value is statically (TG 4.6).

use std::sync::Arc;

use marram_diag::Span;
use marram_expr::{PropertyType, Value};
use serde_json::Value as Json;

use super::context::{Context, clip};
use crate::codes::*;
use crate::model::{TypeTable, Urn};

impl Context<'_> {
    /// The runtime type of a checked property.
    pub fn property_type(&self, id: &Urn) -> Option<Arc<PropertyType>> {
        let lookup = |id: &Urn| self.entity(id);
        let table = TypeTable::resumed(&lookup, self.types.take());
        let found = table.property(id);
        self.types.replace(table.into_made());
        found
    }

    /// TDM3010 unless `value` can be a value of `property`. A property that is not checked itself says nothing.
    pub fn check_constant(&mut self, value: &Json, property: &Urn, is_list: bool, at: Span) {
        let Some(ty) = self.property_type(property) else { return };
        if let Err(error) = ty.coerce_multi(&Value::from_json(value), is_list) {
            let message = format!("{} is no value of `{property}`: {}", clip(&value.to_string()), error.message);
            self.error(TDM3010, at, message);
        }
    }

    /// TDM3019 unless the literal text of an attribute can be a value of `property`.
    pub fn check_literal(&mut self, text: &str, property: &Urn, is_list: bool, at: Span) {
        let Some(ty) = self.property_type(property) else { return };
        if let Err(error) = ty.coerce_multi(&Value::string(text), is_list) {
            let message = format!("`{}` is no value of `{property}`: {}", clip(text), error.message);
            self.error(TDM3019, at, message);
        }
    }
}
