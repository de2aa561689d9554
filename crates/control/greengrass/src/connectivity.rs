//! Where client devices find their core: connectivity information, core certificates, the discovery document
//! (control-plane-api 6.5).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_shadows::ShadowId;
use marram_store::{Snapshot, params};
use serde_json::{Value, json};

use crate::core::own_thing;
use crate::place;
use crate::{Greengrass, fault};

/// Certificates a core may put.
const MAX_AUTHORITIES: usize = 10;
/// Longest certificate, in characters.
const MAX_PEM: usize = 16 << 10;

struct Known {
    info: Value,
    version: i64,
    authorities: Value,
}

fn find(snapshot: &Snapshot<'_>, realm: &Realm, thing: &str) -> Result<Option<Known>, CallError> {
    snapshot.query_opt(
        "SELECT info, version, authorities FROM gg_connectivity WHERE account = $1 AND region = $2 AND thing = $3",
        params![realm.account, realm.region, thing],
        |row| {
            Ok(Known {
                info: serde_json::from_str(row.text(0)?).unwrap_or_default(),
                version: row.get(1)?,
                authorities: serde_json::from_str(row.text(2)?).unwrap_or_default(),
            })
        },
    )
}

/// Callers with a signature are decided over on the connectivity resource, devices on their thing (control-plane-api 3.7, 6.4).
fn permitted(ctx: &CallContext, input: &Value) -> Result<(marram_identity::Grant, Realm, String), ApiError> {
    let realm = place::realm(ctx);
    let thing = input["thingName"].as_str().unwrap_or_default().to_owned();
    let resource = match ctx.principal.device_things() {
        Some(_) => realm.arn(format_args!("thing/{thing}")),
        None => place::arn(&realm, &format!("/greengrass/things/{thing}/connectivityInfo")),
    };
    let grant = ctx.authorize(ctx.operation.iam_action, &resource, |_| {})?;
    own_thing(ctx, &thing, ctx.operation.iam_action)?;
    Ok((grant, realm, thing))
}

/// `GetConnectivityInfo`.
pub(crate) async fn get(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, thing) = permitted(ctx, &input)?;
    drop(grant);
    let known = ctx.read(|snapshot| {
        if marram_registry::find_thing(snapshot, &realm, &thing)?.is_none() {
            return Err(fault::field("ThingName", format!("Thing {thing} cannot be found.")).into());
        }
        find(snapshot, &realm, &thing)
    })?;
    let info = known.map_or_else(|| json!([]), |known| known.info);
    Ok(json!({"connectivityInfo": info, "message": ""}))
}

/// `UpdateConnectivityInfo`: replaces the list and tells the core by the version in the shadow of `{core}-gci`.
pub(crate) async fn update(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, thing) = permitted(ctx, &input)?;
    let (info, at, name) = (input["connectivityInfo"].clone(), realm.clone(), thing.clone());
    let version = ctx
        .commit(grant, move |tx| {
            if marram_registry::find_thing(tx, &at, &name)?.is_none() {
                return Err(fault::field("ThingName", format!("Thing {name} cannot be found.")).into());
            }
            let version = find(tx, &at, &name)?.map_or(0, |known| known.version) + 1;
            tx.execute(
                "INSERT INTO gg_connectivity (account, region, thing, info, version, authorities)
                 VALUES ($1, $2, $3, $4, $5, '[]')
                 ON CONFLICT (account, region, thing) DO UPDATE SET info = excluded.info, version = excluded.version",
                params![at.account, at.region, name, info.to_string(), version],
            )?;
            Ok(version)
        })
        .await?;
    let shadow = format!("{thing}-gci");
    // Names whose companion would be too long have no shadow to tell.
    if let Ok(thing) = shadow.parse() {
        let body = json!({"state": {"desired": {"version": version.to_string()}}});
        greengrass.parts.shadows.update(&realm, &ShadowId { thing, name: None }, body).await?;
    }
    Ok(json!({"version": version.to_string(), "message": ""}))
}

/// `PutCertificateAuthorities` (control-plane-api 6.2; the path is our own): what client devices will trust.
pub(crate) async fn put_authorities(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let thing = input["coreDeviceThingName"].as_str().unwrap_or_default().to_owned();
    own_thing(ctx, &thing, ctx.operation.iam_action)?;
    let certificates = input["coreDeviceCertificates"].as_array().cloned().unwrap_or_default();
    let well_formed = |pem: &Value| {
        pem.as_str()
            .is_some_and(|pem| pem.len() <= MAX_PEM && pem.trim_start().starts_with("-----BEGIN CERTIFICATE-----"))
    };
    if certificates.is_empty() || certificates.len() > MAX_AUTHORITIES || !certificates.iter().all(well_formed) {
        return Err(fault::field("coreDeviceCertificates", "One to ten certificates in PEM are required."));
    }
    ctx.commit(grant, move |tx| {
        tx.execute(
            "INSERT INTO gg_connectivity (account, region, thing, info, version, authorities)
             VALUES ($1, $2, $3, '[]', 0, $4)
             ON CONFLICT (account, region, thing) DO UPDATE SET authorities = excluded.authorities",
            params![realm.account, realm.region, thing, Value::Array(certificates).to_string()],
        )?;
        Ok(json!({}))
    })
    .await
}

/// `Discover`: one group for each core the device is associated with. Inner keys as both generations of SDKs read them.
pub(crate) async fn discover(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    let thing = input["thingName"].as_str().unwrap_or_default();
    drop(ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("thing/{thing}")), |_| {})?);
    own_thing(ctx, thing, ctx.operation.iam_action)?;
    let groups = ctx.read(|snapshot| {
        let cores = snapshot.query_all(
            "SELECT core FROM gg_client_device WHERE account = $1 AND region = $2 AND thing = $3 ORDER BY core LIMIT 100",
            params![realm.account, realm.region, thing],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )?;
        let mut groups = Vec::new();
        for core in cores {
            let known = find(snapshot, &realm, &core)?;
            let Some(known) = known else { continue };
            let connectivity: Vec<Value> = known
                .info
                .as_array()
                .into_iter()
                .flatten()
                .map(|place| {
                    json!({
                        "Id": place["id"].as_str().unwrap_or_default(),
                        "HostAddress": place["hostAddress"].as_str().unwrap_or_default(),
                        "PortNumber": place["portNumber"].as_i64().unwrap_or(8883),
                        "Metadata": place["metadata"].as_str().unwrap_or_default(),
                    })
                })
                .collect();
            // A core that cannot be found or not be trusted is of no use to the device.
            if connectivity.is_empty() || known.authorities.as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            groups.push(json!({
                "GGGroupId": format!("greengrassV2-coreDevice-{core}"),
                "Cores": [{"thingArn": realm.arn(format_args!("thing/{core}")), "Connectivity": connectivity}],
                "CAs": known.authorities,
            }));
        }
        Ok::<_, CallError>(groups)
    })?;
    if groups.is_empty() {
        let words = "The thing provided for discovery was not found";
        return Err(fault::not_found("discovery information of thing", thing).with("errorMessage", words));
    }
    Ok(json!({"document": json!({"GGGroups": groups}).to_string()}))
}
