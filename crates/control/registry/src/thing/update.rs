//! `UpdateThing`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::{ThingName, ThingTypeName};
use serde_json::{Value, json};

use super::{check_type, index_attributes, unindex_attributes};
use crate::attribute::{self, AttributeChange, MAX_WITH_TYPE, MAX_WITHOUT_TYPE};
use crate::change::Change;
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

struct Update {
    realm: Realm,
    name: ThingName,
    type_name: Option<ThingTypeName>,
    remove_type: bool,
    attributes: Option<AttributeChange>,
    expected_version: Option<i64>,
}

/// Changes attributes and type; every accepted update raises the version by one.
pub(crate) async fn update_thing(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.thing_arn(&name), |_| ())?;
    let update = Update {
        type_name: input.parse_opt("thingTypeName")?,
        remove_type: input.flag("removeThingType"),
        attributes: AttributeChange::read(input.object("attributePayload"))?,
        expected_version: input.integer("expectedVersion"),
        realm,
        name,
    };
    if update.remove_type && update.type_name.is_some() {
        return Err(ApiError::invalid_request("thingTypeName and removeThingType cannot be used together"));
    }
    let changes = registry.changes().clone();
    ctx.commit(grant, move |tx| {
        let change = Change::Thing(update.realm.clone(), update.name.to_string());
        apply(tx, update)?;
        changes.announce(tx, change);
        Ok(json!({}))
    })
    .await
}

fn apply(tx: &mut Tx<'_>, update: Update) -> Result<(), CallError> {
    let Update { realm, name, type_name, remove_type, attributes, expected_version } = update;
    let thing = super::get(tx, &realm, name.as_str())?;
    if let Some(expected) = expected_version
        && expected != thing.version
    {
        return Err(ApiError::version_conflict(format!(
            "The version of thing {name} is {}, not {expected}",
            thing.version
        ))
        .into());
    }
    if let Some(type_name) = &type_name {
        check_type(tx, &realm, type_name)?;
    }
    let old = attribute::from_column(&thing.attributes);
    let new = match attributes {
        Some(change) => change.apply(old.clone()),
        None => old.clone(),
    };
    let new_type = match (&type_name, remove_type) {
        (Some(name), _) => Some(name.to_string()),
        (None, true) => None,
        (None, false) => thing.type_name,
    };
    attribute::check_count(&new, if new_type.is_some() { MAX_WITH_TYPE } else { MAX_WITHOUT_TYPE })?;
    if new != old {
        unindex_attributes(tx, &realm, &name, &old)?;
        index_attributes(tx, &realm, &name, &new)?;
    }
    tx.execute(
        "UPDATE iot_thing SET type = $4, attributes = $5, version = $6 WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name, new_type, attribute::to_column(&new), thing.version + 1],
    )?;
    Ok(())
}
