//! `DescribeThing`.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_types::ThingName;
use serde_json::{Value, json};

use crate::attribute;
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Answers a thing's type, attributes and version.
pub(crate) async fn describe_thing(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    let arn = realm.thing_arn(&name);
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |_| ())?);
    let thing = ctx.read(|snapshot| super::get(snapshot, &realm, name.as_str()))?;
    let mut answer = json!({
        "thingName": name.as_str(),
        "defaultClientId": name.as_str(),
        "thingId": thing.id,
        "thingArn": arn,
        "attributes": attribute::column_value(&thing.attributes),
        "version": thing.version,
    });
    if let Some(type_name) = thing.type_name {
        answer["thingTypeName"] = type_name.into();
    }
    Ok(answer)
}
