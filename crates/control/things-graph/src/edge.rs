//! The target GREENGRASS (TG 7.1, 7.4, 7.5): flows as a component of an ordinary deployment.
//!
//! Everything deployed to one target stands in one member of the flow component's configuration, written anew each time:
//! a core that slept through ten revisions is right after the last one.

pub(crate) mod artifact;
mod group;
mod leave;
mod report;
mod topics;

use marram_aws_api::ApiError;
use marram_flow_runtime::package;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, params};
use marram_tdm::model::Urn;
use serde_json::{Map, Value};

use crate::instance::{self, Group, Status, set_status};
use crate::ports::{FlowComponent, FlowTarget, Sent};
use crate::realm::Realm;
use crate::service::ThingsGraph;

pub use group::GroupMembers;
pub(crate) use report::holders;
pub use topics::CoreTopics;

/// The component that runs flows on a core.
const COMPONENT: &str = "marram.FlowRuntime";
/// Its version.
const COMPONENT_VERSION: &str = "1.0.0";
/// Member beside the packages: active certificates of the bound things, which the core's broker lets in (TG 7.4).
const DEVICES_MEMBER: &str = "devices";
/// Hexadecimal digits of a deployment's member in the configuration.
const MEMBER_DIGITS: usize = 32;

/// Sends a deployment whose snapshot is stored to its target; afterwards it waits for the cores' word.
pub(crate) async fn deploy(
    service: &ThingsGraph,
    ctx: &CallContext,
    realm: &Realm,
    urn: &Urn,
    group: &Group,
) -> Result<Sent, ApiError> {
    match send(service, ctx, realm, urn, group, true).await {
        Ok(sent) => {
            let (row_realm, row_urn, now) = (realm.clone(), urn.clone(), service.now());
            service
                .system(realm)
                .commit("SystemInstanceStatusChanged", move |tx| report::settle(tx, &row_realm, &row_urn, now))
                .await?;
            sent.ok_or_else(ApiError::internal)
        }
        Err(error) => {
            note(service, realm, urn, Status::Failed).await?;
            Err(error)
        }
    }
}

/// Takes a deployment out of its target. It is gone at once when no core has it, and when the target is gone.
pub(crate) async fn undeploy(
    service: &ThingsGraph,
    ctx: &CallContext,
    realm: &Realm,
    urn: &Urn,
    group: &Group,
) -> Result<(), ApiError> {
    let port = service.inner.greengrass.get().ok_or_else(unavailable)?;
    if ctx.read(|s| port.resolve(s, realm, &group.name))?.is_some() {
        send(service, ctx, realm, urn, group, false).await?;
    } else {
        left(service, realm, urn).await?;
    }
    discard(service, ctx, realm, urn, group).await;
    let is_held = ctx.read(|s| match instance::find(s, realm, urn)? {
        Some(found) => Ok::<_, CallError>(!holders(s, &**port, &*service.inner.things, realm, &found)?.is_empty()),
        None => Ok(false),
    })?;
    if !is_held {
        note(service, realm, urn, Status::DeletedInTarget).await?;
    }
    Ok(())
}

/// Puts the artifact of a deployment into its bucket, as the caller (TG 7.3).
pub(crate) async fn store(
    service: &ThingsGraph,
    ctx: &CallContext,
    realm: &Realm,
    group: &Group,
    packed: Packed,
) -> Result<(), ApiError> {
    let port = service.inner.greengrass.get().ok_or_else(unavailable)?;
    let Packed { urn, key, bytes } = packed;
    port.store(ctx, &group.bucket, &key, bytes).await.map_err(|error| not_writable(&group.bucket, &error))?;
    let row_realm = realm.clone();
    service
        .system(realm)
        .commit_unrecorded(move |tx| {
            tx.execute(
                "UPDATE tg_instance SET artifact = $4 WHERE account = $1 AND region = $2 AND urn_key = $3",
                params![row_realm.account, row_realm.region, urn.key(), key],
            )?;
            Ok::<_, CallError>(())
        })
        .await
}

/// An artifact on its way.
pub(crate) struct Packed {
    pub(crate) urn: Urn,
    pub(crate) key: String,
    pub(crate) bytes: Vec<u8>,
}

/// Removes the artifact of an undeployed deployment, unless another one has put its own there. A bucket that cannot be
/// written any more holds nobody up: the object is the customer's.
async fn discard(service: &ThingsGraph, ctx: &CallContext, realm: &Realm, urn: &Urn, group: &Group) {
    let Some(port) = service.inner.greengrass.get() else { return };
    let owned = ctx.read(|s| {
        s.query_opt(
            "SELECT i.artifact FROM tg_instance i WHERE i.account = $1 AND i.region = $2 AND i.urn_key = $3
             AND i.artifact IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tg_instance o WHERE o.account = $1
             AND o.region = $2 AND o.bucket = i.bucket AND o.artifact = i.artifact AND o.urn_key <> $3 AND o.in_target = 1)",
            params![realm.account, realm.region, urn.key()],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )
    });
    let removed = match owned {
        Ok(Some(key)) => port.discard(ctx, &group.bucket, &key).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = removed {
        tracing::warn!(deployment = %urn, %error, "the artifact of a deployment stays in its bucket");
    }
}

/// What the caller hears of a bucket that does not take artifacts.
pub(crate) fn not_writable(bucket: &str, error: &ApiError) -> ApiError {
    ApiError::invalid_request(format!("The bucket {bucket} cannot be written: {}", error.message))
}

fn unavailable() -> ApiError {
    ApiError::invalid_request("The target GREENGRASS is not available: no cores are served here")
}

/// A start found a deployment that was stored but not sent.
pub(crate) async fn interrupted(service: &ThingsGraph, realm: &Realm, urn: &Urn) -> Result<(), CallError> {
    tracing::warn!(deployment = %urn, "a deployment was interrupted before it was sent; deploy it again");
    Ok(note(service, realm, urn, Status::Failed).await?)
}

/// The group was deleted, and with it what was sent to it.
async fn left(service: &ThingsGraph, realm: &Realm, urn: &Urn) -> Result<(), ApiError> {
    let (row_realm, row_urn) = (realm.clone(), urn.clone());
    service
        .system(realm)
        .commit_unrecorded(move |tx| {
            tx.execute(
                "UPDATE tg_instance SET in_target = 0 WHERE account = $1 AND region = $2 AND urn_key = $3",
                params![row_realm.account, row_realm.region, row_urn.key()],
            )?;
            Ok::<_, CallError>(())
        })
        .await
}

async fn note(service: &ThingsGraph, realm: &Realm, urn: &Urn, status: Status) -> Result<(), ApiError> {
    let (row_realm, row_urn, now) = (realm.clone(), urn.clone(), service.now());
    service
        .system(realm)
        .commit("SystemInstanceStatusChanged", move |tx| set_status(tx, &row_realm, &row_urn, status, now))
        .await
}

/// Makes the target's next deployment, with or without `urn`; what else is in the target stays in it.
async fn send(
    service: &ThingsGraph,
    ctx: &CallContext,
    realm: &Realm,
    urn: &Urn,
    group: &Group,
    is_in_target: bool,
) -> Result<Option<Sent>, ApiError> {
    let port = service.inner.greengrass.get().ok_or_else(unavailable)?;
    // One at a time for each target: a deployment is made of what all instances of the target are.
    let lock = service.instance_lock(realm, &group.resource);
    let _serial = lock.lock().await;
    let found = ctx.read(|s| port.resolve(s, realm, &group.name))?;
    let target = found.filter(|target| target.resource == group.resource).ok_or_else(|| {
        ApiError::invalid_request(format!("The Greengrass group {} does not exist any more", group.name))
    })?;
    let packages = ctx.read(|s| {
        let mut packages = packages(s, realm, &group.resource, urn, is_in_target)?;
        for package in packages.values_mut() {
            let message = package::unsigned_bytes(package).ok_or_else(ApiError::internal)?;
            package::put_signature(package, &port.sign_package(&message));
        }
        if !packages.is_empty() {
            let devices = devices(s, realm, &group.resource, urn, is_in_target)?;
            packages.insert(DEVICES_MEMBER.to_owned(), Value::Object(devices));
        }
        Ok(packages)
    })?;
    let component = FlowComponent {
        name: COMPONENT,
        version: COMPONENT_VERSION,
        member: group.resource.clone(),
        value: (!packages.is_empty()).then_some(Value::Object(packages)),
    };
    let sent = port.send(ctx, &target, component).await?;
    let (row_realm, row_urn, row_sent, row_target) = (realm.clone(), urn.clone(), sent.clone(), target);
    service
        .system(realm)
        .commit("SystemInstanceSent", move |tx| {
            let FlowTarget { id, .. } = row_target;
            tx.execute(
                "UPDATE tg_instance SET in_target = $4, group_id = $5, group_version = COALESCE($6, group_version)
                 WHERE account = $1 AND region = $2 AND urn_key = $3",
                params![
                    row_realm.account,
                    row_realm.region,
                    row_urn.key(),
                    i64::from(is_in_target),
                    id,
                    row_sent.map(|sent| sent.revision)
                ],
            )?;
            Ok::<_, CallError>(())
        })
        .await?;
    Ok(sent)
}

/// Packages of everything in the target, `urn` counted in or out.
fn packages(
    s: &Snapshot<'_>,
    realm: &Realm,
    resource: &str,
    urn: &Urn,
    is_in_target: bool,
) -> Result<Map<String, Value>, CallError> {
    let rows = s.query_all(
        "SELECT id, snapshot, in_target FROM tg_instance
         WHERE account = $1 AND region = $2 AND group_resource = $3 AND snapshot IS NOT NULL ORDER BY urn_key",
        params![realm.account, realm.region, resource],
        |row| Ok::<_, CallError>((row.parse::<Urn>(0)?, row.get::<String>(1)?, row.get::<i64>(2)? != 0)),
    )?;
    let mut packages = Map::new();
    for (id, snapshot, was_in_target) in rows {
        let is_wanted = if id.key() == urn.key() { is_in_target } else { was_in_target };
        if !is_wanted {
            continue;
        }
        let sealed = serde_json::from_str(&snapshot)
            .map_err(|error| error.to_string())
            .and_then(|deployment| package::seal(&deployment, None).map_err(|error| error.to_string()));
        match sealed {
            Ok(package) => {
                let name = marram_types::CertificateId::of_der(id.key().as_bytes()).to_string();
                packages.insert(name.get(..MEMBER_DIGITS).unwrap_or(&name).to_owned(), package);
            }
            Err(error) if id.key() == urn.key() => {
                tracing::error!(deployment = %id, %error, "a snapshot cannot be packed");
                return Err(ApiError::internal().into());
            }
            Err(error) => tracing::error!(deployment = %id, %error, "a snapshot cannot be packed and is left out"),
        }
    }
    Ok(packages)
}

/// Ids of the active certificates of every thing bound in the target, by thing.
fn devices(
    s: &Snapshot<'_>,
    realm: &Realm,
    resource: &str,
    urn: &Urn,
    is_in_target: bool,
) -> Result<Map<String, Value>, CallError> {
    let rows = s.query_all(
        "SELECT urn_key, snapshot, in_target FROM tg_instance
         WHERE account = $1 AND region = $2 AND group_resource = $3 AND snapshot IS NOT NULL",
        params![realm.account, realm.region, resource],
        |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<i64>(2)? != 0)),
    )?;
    let place = realm.registry();
    let mut devices = Map::new();
    for (key, snapshot, was_in_target) in rows {
        let is_wanted = if key == urn.key() { is_in_target } else { was_in_target };
        let Some(deployment) =
            is_wanted.then(|| serde_json::from_str::<marram_flow_runtime::Deployment>(&snapshot).ok()).flatten()
        else {
            continue;
        };
        for thing in deployment.snapshot.site.things.keys() {
            let ids = marram_registry::active_certificates_of_thing(s, &place, thing)?;
            if !ids.is_empty() {
                devices.insert(thing.to_string(), ids.into());
            }
        }
    }
    Ok(devices)
}
