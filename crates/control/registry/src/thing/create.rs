//! `CreateThing`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::{BillingGroupName, ThingName, ThingTypeName, Timestamp, random_id_bytes};
use serde_json::{Value, json};

use super::{check_type, index_attributes};
use crate::attribute::{self, AttributeChange, Attributes, MAX_WITH_TYPE, MAX_WITHOUT_TYPE};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

struct NewThing {
    realm: Realm,
    name: ThingName,
    id: String,
    arn: String,
    type_name: Option<ThingTypeName>,
    attributes: Attributes,
    now: Timestamp,
}

/// Creates a thing. Repeated with the same type and attributes it answers the existing one; with others it is refused.
pub(crate) async fn create_thing(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    let arn = realm.thing_arn(&name);
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |_| ())?;
    if let Some(group) = input.parse_opt::<BillingGroupName>("billingGroupName")? {
        return Err(ApiError::not_found(format!("Billing group {group} cannot be found.")));
    }
    let type_name: Option<ThingTypeName> = input.parse_opt("thingTypeName")?;
    let attributes = AttributeChange::read(input.object("attributePayload"))?
        .map(|change| change.apply(Attributes::new()))
        .unwrap_or_default();
    attribute::check_count(&attributes, if type_name.is_some() { MAX_WITH_TYPE } else { MAX_WITHOUT_TYPE })?;
    let id = uuid::Builder::from_random_bytes(random_id_bytes()).into_uuid().to_string();
    let thing = NewThing { realm, name, id, arn, type_name, attributes, now: ctx.now };
    ctx.commit(grant, move |tx| insert(tx, &thing)).await
}

fn insert(tx: &mut Tx<'_>, thing: &NewThing) -> Result<Value, CallError> {
    let NewThing { realm, name, id, arn, type_name, attributes, now } = thing;
    if let Some(type_name) = type_name {
        check_type(tx, realm, type_name)?;
    }
    let column = attribute::to_column(attributes);
    let inserted = tx.execute(
        "INSERT INTO iot_thing (account, region, name, id, type, attributes, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7) ON CONFLICT (account, region, name) DO NOTHING",
        params![realm.account, realm.region, name, id, type_name, column, now],
    )?;
    if inserted == 0 {
        let existing = super::get(tx, realm, name.as_str())?;
        let same = existing.type_name.as_deref() == type_name.as_ref().map(ThingTypeName::as_str)
            && existing.attributes == column;
        if !same {
            return Err(ApiError::already_exists(format!(
                "Thing {name} already exists in account with different attributes"
            ))
            .with("resourceId", name.as_str())
            .with("resourceArn", arn.as_str())
            .into());
        }
        return Ok(answer(name, arn, &existing.id));
    }
    index_attributes(tx, realm, name, attributes)?;
    Ok(answer(name, arn, id))
}

fn answer(name: &ThingName, arn: &str, id: &str) -> Value {
    json!({"thingName": name.as_str(), "thingArn": arn, "thingId": id})
}
