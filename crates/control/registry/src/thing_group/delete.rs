//! `DeleteThingGroup`.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::{GroupName, Timestamp};
use serde_json::{Value, json};

use super::{conditions, find, resource};
use crate::change::Change;
use crate::input::Input;
use crate::membership::MembershipWatches;
use crate::realm::Realm;
use crate::service::Registry;
use crate::tag;

/// Deletes a group without children; its things stay, its policies no longer reach them. One that does not exist is
/// deleted already.
pub(crate) async fn delete_thing_group(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: GroupName = input.parse("thingGroupName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.thing_group_arn(name.as_str()), |c| *c = tags)?;
    let expected = input.integer("expectedVersion");
    let changes = registry.changes().clone();
    let (memberships, now) = (Arc::clone(registry.memberships()), ctx.now);
    ctx.commit(grant, move |tx| {
        delete(tx, &realm, &name, expected, &memberships, now)?;
        changes.announce(tx, Change::Group(realm, name.to_string()));
        Ok(json!({}))
    })
    .await
}

fn delete(
    tx: &mut Tx<'_>,
    realm: &Realm,
    name: &GroupName,
    expected: Option<i64>,
    memberships: &MembershipWatches,
    now: Timestamp,
) -> Result<(), CallError> {
    let Some(group) = find(tx, realm, name.as_str())? else { return Ok(()) };
    if let Some(expected) = expected
        && expected != group.version
    {
        return Err(ApiError::version_conflict(format!(
            "The version of thing group {name} is {}, not {expected}",
            group.version
        ))
        .into());
    }
    let child = tx.query_opt(
        "SELECT name FROM iot_thing_group WHERE account = $1 AND region = $2 AND parent = $3 LIMIT 1",
        params![realm.account, realm.region, name],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    if child.is_some() {
        return Err(ApiError::invalid_request(format!(
            "Cannot delete thing group {name} when there are still child groups attached to it"
        ))
        .into());
    }
    memberships.empty_group(tx, realm, name.as_str(), now)?;
    for (table, column, key) in
        [("iot_policy_attachment", "target", resource(name.as_str())), ("iot_thing_group", "name", name.to_string())]
    {
        tx.execute(
            &format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND {column} = $3"),
            params![realm.account, realm.region, key],
        )?;
    }
    tag::delete_tags(tx, realm, &resource(name.as_str()))
}
