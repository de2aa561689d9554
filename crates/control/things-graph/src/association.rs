//! Which device entity a thing implements: associate, dissociate, search (TG 7.8).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, Need};
use marram_store::{Snapshot, params};
use marram_tdm::model::{EntityKind, Metatype, Urn};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::input::read;
use crate::realm::{Realm, urn};
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Associate {
    thing_name: String,
    entity_id: String,
    namespace_version: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dissociate {
    thing_name: String,
    entity_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchThings {
    entity_id: String,
    namespace_version: Option<i64>,
}

/// The device entity a thing implements.
pub(crate) fn device_of(s: &Snapshot<'_>, realm: &Realm, thing: &str) -> Result<Option<Urn>, CallError> {
    s.query_opt(
        "SELECT device_id FROM tg_association WHERE account = $1 AND region = $2 AND thing = $3",
        params![realm.account, realm.region, thing],
        |row| Ok(row.parse(0)?),
    )
}

/// `iotthingsgraph:<Operation>` and the dependent actions of TG 11.1.
fn authorize(ctx: &CallContext, realm: &Realm, thing: &str) -> Result<marram_identity::Grant, ApiError> {
    let thing_arn = format!("arn:{}:iot:{}:{}:thing/{thing}", realm.partition, realm.region, realm.account);
    ctx.authorize_all([
        Need { action: ctx.operation.iam_action, resource: "*", conditions: Default::default() },
        Need { action: "iot:DescribeThing", resource: &thing_arn, conditions: Default::default() },
    ])
}

/// `AssociateEntityToThing`: a new association replaces the old one.
pub(crate) async fn associate(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: Associate = read(input)?;
    let realm = Realm::of(ctx);
    let grant = authorize(ctx, &realm, &request.thing_name)?;
    let id = urn(&request.entity_id)?;
    if id.metatype() != Metatype::Device {
        return Err(ApiError::invalid_request(format!("{id} is not a Device")));
    }
    let view = ctx.read(|s| service.inner.catalog.view(s, &realm, request.namespace_version))?;
    let device = view.find(&id).map(|(entity, _)| entity.id.clone());
    let device = device.ok_or_else(|| ApiError::not_found(format!("Entity {id} does not exist")))?;
    let (service, now) = (service.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let name = &request.thing_name;
        if service.inner.things.find(tx, &realm, name)?.is_none() {
            return Err(ApiError::not_found(format!("Thing {name} does not exist")).into());
        }
        tx.execute(
            "INSERT INTO tg_association (account, region, thing, device_key, device_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (account, region, thing) DO UPDATE SET device_key = excluded.device_key,
             device_id = excluded.device_id, created_at = excluded.created_at",
            params![realm.account, realm.region, name, device.key(), device.as_str(), now],
        )?;
        Ok(json!({}))
    })
    .await
}

/// `DissociateEntityFromThing`: only a DEVICE can be associated.
pub(crate) async fn dissociate(_: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: Dissociate = read(input)?;
    let realm = Realm::of(ctx);
    let grant = authorize(ctx, &realm, &request.thing_name)?;
    if request.entity_type != "DEVICE" {
        return Err(ApiError::invalid_request("Only a DEVICE can be dissociated from a thing"));
    }
    ctx.commit(grant, move |tx| {
        let removed = tx.execute(
            "DELETE FROM tg_association WHERE account = $1 AND region = $2 AND thing = $3",
            params![realm.account, realm.region, request.thing_name],
        )?;
        if removed == 0 {
            return Err(ApiError::not_found(format!("Thing {} has no association", request.thing_name)).into());
        }
        Ok(json!({}))
    })
    .await
}

/// `SearchThings`: of a device its things, of a model the things of every device that implements it; by name.
pub(crate) fn search(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: SearchThings = read(input)?;
    let realm = Realm::of(ctx);
    let id = urn(&request.entity_id)?;
    let page = service.inner.tokens.page(ctx, input)?;
    let rows = ctx.read(|s| {
        let view = service.inner.catalog.view(s, &realm, request.namespace_version)?;
        let Some((entity, _)) = view.find(&id) else {
            return Err(ApiError::not_found(format!("Entity {id} does not exist")).into());
        };
        let is_wanted = |device: &Urn| match entity.kind {
            EntityKind::Device(_) => *device == entity.id,
            EntityKind::DeviceModel(_) => match view.find(device).map(|(entity, _)| &entity.kind) {
                Some(EntityKind::Device(implementation)) => implementation.model == entity.id,
                _ => false,
            },
            _ => false,
        };
        if !matches!(entity.kind, EntityKind::Device(_) | EntityKind::DeviceModel(_)) {
            return Err(ApiError::invalid_request(format!("{id} is neither a Device nor a DeviceModel")).into());
        }
        let mut rows = Vec::new();
        s.query_each(
            "SELECT thing, device_id FROM tg_association WHERE account = $1 AND region = $2 AND thing > $3 ORDER BY thing",
            params![realm.account, realm.region, page.after_text()],
            |row| {
                let (thing, device): (String, Urn) = (row.get(0)?, row.parse(1)?);
                // The thing may be gone: its association went with it.
                if is_wanted(&device) && let Some(facts) = service.inner.things.find(s, &realm, &thing)? {
                    rows.push((thing.clone(), json!({ "thingArn": facts.arn, "thingName": thing })));
                }
                Ok::<_, CallError>(rows.len() <= page.limit)
            },
        )?;
        Ok(rows)
    })?;
    Ok(page.answer("things", rows))
}
