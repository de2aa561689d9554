//! Client devices of a core (control-plane-api 7.4).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::find_thing;
use marram_store::params;
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::permitted;
use crate::page::Page;
use crate::{Greengrass, fault};

/// Entries of a batch (control-plane-api 10.4).
const MAX_BATCH: usize = 100;

fn entries(input: &Value) -> Result<Vec<String>, ApiError> {
    let entries: Vec<String> = input["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["thingName"].as_str().unwrap_or_default().to_owned())
        .collect();
    if entries.len() > MAX_BATCH {
        return Err(fault::field("entries", format!("A batch has at most {MAX_BATCH} entries.")));
    }
    Ok(entries)
}

/// `BatchAssociateClientDeviceWithCoreDevice`: things that are not there are told one by one.
pub(crate) async fn associate(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, core) = permitted(ctx, &input)?;
    let (entries, now) = (entries(&input)?, ctx.now);
    ctx.commit(grant, move |tx| {
        if find_thing(tx, &realm, &core)?.is_none() {
            return Err(fault::not_found("coreDevice", &core).into());
        }
        let mut errors = Vec::new();
        for thing in entries {
            if find_thing(tx, &realm, &thing)?.is_none() {
                let message = format!("Thing {thing} cannot be found.");
                errors.push(json!({"thingName": thing, "code": "ResourceNotFoundException", "message": message}));
                continue;
            }
            tx.execute(
                "INSERT INTO gg_client_device (account, region, core, thing, associated_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (account, region, core, thing) DO NOTHING",
                params![realm.account, realm.region, core, thing, now],
            )?;
        }
        Ok(json!({"errorEntries": errors}))
    })
    .await
}

/// `BatchDisassociateClientDeviceFromCoreDevice`.
pub(crate) async fn disassociate(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, core) = permitted(ctx, &input)?;
    let entries = entries(&input)?;
    ctx.commit(grant, move |tx| {
        if find_thing(tx, &realm, &core)?.is_none() {
            return Err(fault::not_found("coreDevice", &core).into());
        }
        let mut errors = Vec::new();
        for thing in entries {
            if find_thing(tx, &realm, &thing)?.is_none() {
                let message = format!("Thing {thing} cannot be found.");
                errors.push(json!({"thingName": thing, "code": "ResourceNotFoundException", "message": message}));
                continue;
            }
            tx.execute(
                "DELETE FROM gg_client_device WHERE account = $1 AND region = $2 AND core = $3 AND thing = $4",
                params![realm.account, realm.region, core, thing],
            )?;
        }
        Ok(json!({"errorEntries": errors}))
    })
    .await
}

/// `ListClientDevicesAssociatedWithCoreDevice`.
pub(crate) async fn client_devices(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, core) = permitted(ctx, &input)?;
    drop(grant);
    let page = Page::of(ctx, &input, &[&core])?;
    let rows = ctx.read(|snapshot| {
        if find_thing(snapshot, &realm, &core)?.is_none() {
            return Err(fault::not_found("coreDevice", &core).into());
        }
        snapshot.query_all(
            "SELECT thing, associated_at FROM gg_client_device
             WHERE account = $1 AND region = $2 AND core = $3 AND thing > $4 ORDER BY thing LIMIT $5",
            params![realm.account, realm.region, core, page.after, page.fetch()],
            |row| {
                let thing: String = row.get(0)?;
                let at = row.get::<Timestamp>(1)?.epoch_seconds();
                Ok::<_, CallError>((thing.clone(), json!({"thingName": thing, "associationTimestamp": at})))
            },
        )
    })?;
    Ok(page.answer(ctx, "associatedClientDevices", rows))
}
