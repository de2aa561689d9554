//! `UpdateThingGroup`.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use marram_types::GroupName;
use serde_json::{Value, json};

use super::{conditions, get};
use crate::attribute::{self, AttributeChange, MAX_WITH_TYPE};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Changes description and attributes; answers the new version.
pub(crate) async fn update_thing_group(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: GroupName = input.parse("thingGroupName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.thing_group_arn(name.as_str()), |c| *c = tags)?;
    let properties = input.object("thingGroupProperties");
    let change = AttributeChange::read(properties.and_then(|p| p.get("attributePayload")).and_then(Value::as_object))?;
    let description =
        properties.and_then(|p| p.get("thingGroupDescription")).and_then(Value::as_str).map(str::to_owned);
    let expected = input.integer("expectedVersion");
    ctx.commit(grant, move |tx| {
        let group = get(tx, &realm, name.as_str())?;
        if let Some(expected) = expected
            && expected != group.version
        {
            return Err(ApiError::version_conflict(format!(
                "The version of thing group {name} is {}, not {expected}",
                group.version
            ))
            .into());
        }
        let mut attributes = attribute::from_column(&group.attributes);
        if let Some(change) = change {
            attributes = change.apply(attributes);
        }
        attribute::check_count(&attributes, MAX_WITH_TYPE)?;
        let version = group.version + 1;
        tx.execute(
            "UPDATE iot_thing_group SET description = $4, attributes = $5, version = $6
             WHERE account = $1 AND region = $2 AND name = $3",
            params![
                realm.account,
                realm.region,
                name,
                description.or(group.description),
                attribute::to_column(&attributes),
                version
            ],
        )?;
        Ok(json!({"version": version}))
    })
    .await
}
