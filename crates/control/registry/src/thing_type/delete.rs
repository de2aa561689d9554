//! `DeprecateThingType` and `DeleteThingType`.

use std::time::Duration;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use marram_types::ThingTypeName;
use serde_json::{Value, json};

use super::{conditions, get, resource};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;
use crate::tag;

/// How long a type must have been deprecated before it can be deleted (CP 4.4).
const DEPRECATED_FOR: Duration = Duration::from_secs(5 * 60);

/// Deprecates a type, or takes that back.
pub(crate) async fn deprecate_thing_type(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingTypeName = input.parse("thingTypeName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.thing_type_arn(&name), |c| *c = tags)?;
    let undo = input.flag("undoDeprecate");
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let row = get(tx, &realm, &name)?;
        // Deprecating again keeps the first date, which the five minutes count from.
        let at = if undo { None } else { row.deprecated_at.or(Some(now)) };
        tx.execute(
            "UPDATE iot_thing_type SET deprecated_at = $4 WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, name, at],
        )?;
        Ok(json!({}))
    })
    .await
}

/// Deletes a type that has been deprecated for five minutes and that no thing has.
pub(crate) async fn delete_thing_type(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingTypeName = input.parse("thingTypeName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.thing_type_arn(&name), |c| *c = tags)?;
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let row = get(tx, &realm, &name)?;
        let refuse = |why: String| CallError::from(ApiError::invalid_request(why));
        let Some(deprecated_at) = row.deprecated_at else {
            return Err(refuse(format!("Thing type {name} must be deprecated before it can be deleted")));
        };
        if now.since(deprecated_at) < DEPRECATED_FOR {
            return Err(refuse(format!("Thing type {name} can be deleted 5 minutes after it was deprecated")));
        }
        let used = tx.query_opt(
            "SELECT 1 FROM iot_thing WHERE account = $1 AND region = $2 AND type = $3 LIMIT 1",
            params![realm.account, realm.region, name],
            |row| Ok::<_, CallError>(row.get::<i64>(0)?),
        )?;
        if used.is_some() {
            return Err(refuse(format!("Thing type {name} is still used by things")));
        }
        tag::delete_tags(tx, &realm, &resource(&name))?;
        tx.execute(
            "DELETE FROM iot_thing_type WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, name],
        )?;
        Ok(json!({}))
    })
    .await
}
