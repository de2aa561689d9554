//! `DeleteThing`.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::{ThingName, Timestamp};
use serde_json::{Value, json};

use super::unindex_attributes;
use crate::attribute;
use crate::input::Input;
use crate::membership::MembershipWatches;
use crate::realm::Realm;
use crate::service::Registry;

/// Deletes a thing and its group memberships; one that does not exist is deleted already. Shadows stay.
pub(crate) async fn delete_thing(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.thing_arn(&name), |_| ())?;
    let expected = input.integer("expectedVersion");
    let (memberships, now) = (Arc::clone(registry.memberships()), ctx.now);
    ctx.commit(grant, move |tx| {
        delete(tx, &realm, &name, expected, &memberships, now)?;
        Ok(json!({}))
    })
    .await
}

fn delete(
    tx: &mut Tx<'_>,
    realm: &Realm,
    name: &ThingName,
    expected: Option<i64>,
    memberships: &MembershipWatches,
    now: Timestamp,
) -> Result<(), CallError> {
    let Some(thing) = super::find(tx, realm, name.as_str())? else { return Ok(()) };
    if let Some(expected) = expected
        && expected != thing.version
    {
        return Err(ApiError::version_conflict(format!(
            "The version of thing {name} is {}, not {expected}",
            thing.version
        ))
        .into());
    }
    let attached = tx.query_opt(
        "SELECT 1 FROM iot_thing_principal WHERE account = $1 AND region = $2 AND thing = $3 LIMIT 1",
        params![realm.account, realm.region, name],
        |row| Ok::<_, CallError>(row.get::<i64>(0)?),
    )?;
    if attached.is_some() {
        return Err(ApiError::invalid_request(format!(
            "Cannot delete. Thing {name} is still attached to one or more principals"
        ))
        .into());
    }
    unindex_attributes(tx, realm, name, &attribute::from_column(&thing.attributes))?;
    memberships.leave_all(tx, realm, name.as_str(), now)?;
    tx.execute(
        "DELETE FROM iot_thing WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
    )?;
    Ok(())
}
