//! Things: named devices with a type, attributes and attached principals (CP 4.4).

mod create;
mod delete;
mod describe;
mod list;
mod principal;
mod update;

pub(crate) use create::create_thing;
pub(crate) use delete::delete_thing;
pub(crate) use describe::describe_thing;
pub(crate) use list::list_things;
pub(crate) use principal::{
    EXCLUSIVE, attach_thing_principal, detach_thing_principal, list_principal_things, list_principal_things_v2,
    list_thing_principals, list_thing_principals_v2,
};
pub(crate) use update::update_thing;

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Snapshot, StoreError, Tx, params};
use marram_types::{ThingName, ThingTypeName};

use crate::attribute::Attributes;
use crate::realm::Realm;
use crate::thing_type;

/// A thing's row without its name.
#[derive(Debug, Clone)]
pub(crate) struct ThingRow {
    /// UUID.
    pub(crate) id: String,
    /// Name of its type.
    pub(crate) type_name: Option<String>,
    /// Attributes as stored: a JSON object.
    pub(crate) attributes: String,
    /// 1 at creation, +1 per accepted update.
    pub(crate) version: i64,
}

impl Realm {
    /// `arn:…:thing/{name}`.
    pub(crate) fn thing_arn(&self, name: &ThingName) -> String {
        self.arn(format_args!("thing/{name}"))
    }
}

/// A thing, if there is one by that name.
pub(crate) fn find(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<ThingRow>, CallError> {
    snapshot.query_opt(
        "SELECT id, type, attributes, version FROM iot_thing WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
        |row| Ok(ThingRow { id: row.get(0)?, type_name: row.get(1)?, attributes: row.get(2)?, version: row.get(3)? }),
    )
}

/// A thing as other services see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundThing {
    /// Its ARN.
    pub arn: String,
    /// Its attributes by name.
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// Looks a thing up for another service, through that service's snapshot or transaction.
///
/// # Errors
/// The store's failure.
pub fn find_thing(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<FoundThing>, CallError> {
    let Some(row) = find(snapshot, realm, name)? else { return Ok(None) };
    let attributes = serde_json::from_str(&row.attributes)
        .map_err(|error| StoreError::Corrupt(format!("attributes of thing {name}: {error}")))?;
    Ok(Some(FoundThing { arn: realm.arn(format_args!("thing/{name}")), attributes }))
}

/// A thing that must be there.
pub(crate) fn get(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<ThingRow, CallError> {
    find(snapshot, realm, name)?.ok_or_else(|| ApiError::not_found(format!("Thing {name} cannot be found.")).into())
}

/// The searchable copy of a thing's attributes, which ListThings filters by.
fn index_attributes(
    tx: &mut Tx<'_>,
    realm: &Realm,
    name: &ThingName,
    attributes: &Attributes,
) -> Result<(), CallError> {
    for (attribute, value) in attributes {
        tx.execute(
            "INSERT INTO iot_thing_attribute (account, region, attribute, value, thing) VALUES ($1, $2, $3, $4, $5)",
            params![realm.account, realm.region, attribute, value, name],
        )?;
    }
    Ok(())
}

fn unindex_attributes(
    tx: &mut Tx<'_>,
    realm: &Realm,
    name: &ThingName,
    attributes: &Attributes,
) -> Result<(), CallError> {
    for (attribute, value) in attributes {
        tx.execute(
            "DELETE FROM iot_thing_attribute
             WHERE account = $1 AND region = $2 AND attribute = $3 AND value = $4 AND thing = $5",
            params![realm.account, realm.region, attribute, value, name],
        )?;
    }
    Ok(())
}

/// A type that things may be given: it exists and is not deprecated.
fn check_type(snapshot: &Snapshot<'_>, realm: &Realm, name: &ThingTypeName) -> Result<(), CallError> {
    let row = thing_type::get(snapshot, realm, name)?;
    if row.deprecated_at.is_some() {
        return Err(ApiError::invalid_request(format!(
            "Cannot associate a thing with the deprecated thing type {name}"
        ))
        .into());
    }
    Ok(())
}
