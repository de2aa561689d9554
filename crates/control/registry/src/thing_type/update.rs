//! `UpdateThingType`: the description and the MQTT 5 propagation; searchable attributes are fixed at creation.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use marram_types::ThingTypeName;
use serde_json::{Value, json};

use super::{conditions, get, read_properties};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Changes what of a type may change.
pub(crate) async fn update_thing_type(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingTypeName = input.parse("thingTypeName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.thing_type_arn(&name), |c| *c = tags)?;
    let wanted = read_properties(input.object("thingTypeProperties"))?;
    ctx.commit(grant, move |tx| {
        let mut properties = get(tx, &realm, &name)?.properties;
        for (member, value) in wanted {
            if member == "searchableAttributes" && properties.get(&member) != Some(&value) {
                return Err(ApiError::invalid_request("Searchable attributes of a thing type cannot be changed").into());
            }
            properties[member] = value;
        }
        tx.execute(
            "UPDATE iot_thing_type SET properties = $4 WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, name, properties.to_string()],
        )?;
        Ok(json!({}))
    })
    .await
}
