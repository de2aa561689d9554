//! Thing types: a description and up to three searchable attributes for many things (CP 4.4).

mod create;
mod delete;
mod list;
mod update;

pub(crate) use create::create_thing_type;
pub(crate) use delete::{delete_thing_type, deprecate_thing_type};
pub(crate) use list::{describe_thing_type, list_thing_types};
pub(crate) use update::update_thing_type;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues};
use marram_store::{Row, Snapshot, params};
use marram_types::{ThingTypeName, Timestamp};
use serde_json::{Map, Value, json};

use crate::realm::Realm;
use crate::tag;

/// Searchable attributes of a type (CP 4.4).
const MAX_SEARCHABLE: usize = 3;

/// A type's row without its name.
#[derive(Debug, Clone)]
pub(crate) struct TypeRow {
    /// UUID.
    pub(crate) id: String,
    /// `thingTypeProperties` as stored.
    pub(crate) properties: Value,
    /// When it was deprecated, if it is.
    pub(crate) deprecated_at: Option<Timestamp>,
    created_at: Timestamp,
}

impl TypeRow {
    /// Reads `id, properties, deprecated_at, created_at` from column `first` on.
    fn read(row: &Row<'_>, first: usize) -> Result<Self, CallError> {
        Ok(Self {
            id: row.get(first)?,
            properties: serde_json::from_str(row.text(first + 1)?).unwrap_or_default(),
            deprecated_at: row.get(first + 2)?,
            created_at: row.get(first + 3)?,
        })
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({
            "deprecated": self.deprecated_at.is_some(),
            "creationDate": self.created_at.epoch_seconds(),
        });
        if let Some(at) = self.deprecated_at {
            metadata["deprecationDate"] = at.epoch_seconds().into();
        }
        metadata
    }
}

impl Realm {
    /// `arn:…:thingtype/{name}`.
    fn thing_type_arn(&self, name: &ThingTypeName) -> String {
        self.arn(resource(name))
    }
}

fn resource(name: &ThingTypeName) -> String {
    format!("thingtype/{name}")
}

/// A type, if there is one by that name.
pub(crate) fn find(snapshot: &Snapshot<'_>, realm: &Realm, name: &ThingTypeName) -> Result<Option<TypeRow>, CallError> {
    snapshot.query_opt(
        "SELECT id, properties, deprecated_at, created_at FROM iot_thing_type
         WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
        |row| TypeRow::read(row, 0),
    )
}

/// A type that must be there.
pub(crate) fn get(snapshot: &Snapshot<'_>, realm: &Realm, name: &ThingTypeName) -> Result<TypeRow, CallError> {
    find(snapshot, realm, name)?
        .ok_or_else(|| ApiError::not_found(format!("Thing type {name} cannot be found.")).into())
}

/// Tags of the type at hand, for the authorizer.
fn conditions(ctx: &CallContext, realm: &Realm, name: &ThingTypeName) -> Result<ConditionValues, ApiError> {
    tag::resource_conditions(ctx, realm, &resource(name))
}

/// The `thingTypeProperties` of a request, in canonical form.
fn read_properties(properties: Option<&Map<String, Value>>) -> Result<Map<String, Value>, ApiError> {
    let mut kept = Map::new();
    let Some(properties) = properties else { return Ok(kept) };
    if let Some(description) = properties.get("thingTypeDescription").and_then(Value::as_str) {
        kept.insert("thingTypeDescription".to_owned(), description.into());
    }
    if let Some(attributes) = properties.get("searchableAttributes").and_then(Value::as_array) {
        let mut names: Vec<&str> = attributes.iter().filter_map(Value::as_str).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > MAX_SEARCHABLE {
            return Err(ApiError::invalid_request(format!(
                "A thing type has at most {MAX_SEARCHABLE} searchable attributes"
            )));
        }
        kept.insert("searchableAttributes".to_owned(), names.into());
    }
    if let Some(mqtt5) = properties.get("mqtt5Configuration").filter(|value| value.is_object()) {
        kept.insert("mqtt5Configuration".to_owned(), mqtt5.clone());
    }
    Ok(kept)
}
