//! `DescribeThingType` and `ListThingTypes`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, params};
use marram_types::ThingTypeName;
use serde_json::{Value, json};

use super::{TypeRow, conditions, get};
use crate::input::Input;
use crate::page::Style;
use crate::realm::Realm;
use crate::service::Registry;

/// Answers a type's properties and dates.
pub(crate) async fn describe_thing_type(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingTypeName = input.parse("thingTypeName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let arn = realm.thing_type_arn(&name);
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = tags)?);
    let row = ctx.read(|snapshot| get(snapshot, &realm, &name))?;
    Ok(json!({
        "thingTypeName": name.as_str(),
        "thingTypeId": row.id,
        "thingTypeArn": arn,
        "thingTypeMetadata": row.metadata(),
        "thingTypeProperties": row.properties,
    }))
}

/// Lists types by name; `thingTypeName` narrows to one.
pub(crate) async fn list_thing_types(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let only = input.text("thingTypeName").unwrap_or("");
    let page = registry.tokens().page(ctx, &input, Style::NextToken, &[only])?;
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(
            "SELECT name, id, properties, deprecated_at, created_at FROM iot_thing_type
             WHERE account = $1 AND region = $2 AND name > $3 AND ($5 = '' OR name = $5) ORDER BY name LIMIT $4",
            params![realm.account, realm.region, page.after(0), page.fetch(), only],
            |row: &Row<'_>| {
                let name: ThingTypeName = row.parse(0)?;
                let type_ = TypeRow::read(row, 1)?;
                let item = json!({
                    "thingTypeName": name.as_str(),
                    "thingTypeArn": realm.thing_type_arn(&name),
                    "thingTypeMetadata": type_.metadata(),
                    "thingTypeProperties": type_.properties,
                });
                Ok::<_, CallError>(([name.to_string()], item))
            },
        )
    })?;
    Ok(page.answer("thingTypes", rows))
}
