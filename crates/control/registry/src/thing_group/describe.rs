//! `DescribeThingGroup`.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_types::GroupName;
use serde_json::{Value, json};

use super::{ancestors, conditions, get};
use crate::attribute;
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Answers a group's properties, its parent and the path from its root.
pub(crate) async fn describe_thing_group(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: GroupName = input.parse("thingGroupName")?;
    let arn = realm.thing_group_arn(name.as_str());
    let tags = conditions(ctx, &realm, &name)?;
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = tags)?);
    let (group, path) = ctx.read(|snapshot| {
        let group = get(snapshot, &realm, name.as_str())?;
        let path = ancestors(snapshot, &realm, &group)?;
        Ok((group, path))
    })?;
    let mut metadata = json!({"creationDate": group.created_at.epoch_seconds()});
    if let Some(parent) = &group.parent {
        metadata["parentGroupName"] = parent.as_str().into();
        metadata["rootToParentThingGroups"] = path
            .iter()
            .map(|ancestor| json!({"groupName": ancestor, "groupArn": realm.thing_group_arn(ancestor)}))
            .collect();
    }
    let mut properties = json!({"attributePayload": {"attributes": attribute::column_value(&group.attributes)}});
    if let Some(description) = &group.description {
        properties["thingGroupDescription"] = description.as_str().into();
    }
    Ok(json!({
        "thingGroupName": name.as_str(),
        "thingGroupId": group.id,
        "thingGroupArn": arn,
        "version": group.version,
        "thingGroupProperties": properties,
        "thingGroupMetadata": metadata,
    }))
}
