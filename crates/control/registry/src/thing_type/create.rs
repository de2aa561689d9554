//! `CreateThingType`.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use marram_types::ThingTypeName;
use serde_json::{Value, json};

use super::{find, read_properties, resource};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;
use crate::tag;

/// Creates a type. Repeated with the same properties it answers the existing one.
pub(crate) async fn create_thing_type(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingTypeName = input.parse("thingTypeName")?;
    let arn = realm.thing_type_arn(&name);
    let tags = tag::read_tags(&input)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |conditions| {
        conditions.request_tags(tag::pairs(&tags));
    })?;
    let properties = Value::Object(read_properties(input.object("thingTypeProperties"))?);
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let id = match find(tx, &realm, &name)? {
            Some(existing) if existing.properties == properties => existing.id,
            Some(_) => {
                return Err(ApiError::already_exists(format!(
                    "Thing type {name} already exists in account with different properties"
                ))
                .with("resourceId", name.as_str())
                .with("resourceArn", arn)
                .into());
            }
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                tx.execute(
                    "INSERT INTO iot_thing_type (account, region, name, id, properties, deprecated_at, created_at)
                     VALUES ($1, $2, $3, $4, $5, NULL, $6)",
                    params![realm.account, realm.region, name, id, properties.to_string(), now],
                )?;
                tag::insert_tags(tx, &realm, &resource(&name), &tags)?;
                id
            }
        };
        Ok(json!({"thingTypeName": name.as_str(), "thingTypeArn": arn, "thingTypeId": id}))
    })
    .await
}
