//! Core devices: what they reported, what they run, who is connected to them (control-plane-api 7.4).

mod clients;
mod read;
mod verify;

pub(crate) use clients::{associate, client_devices, disassociate};
pub(crate) use read::{delete, effective, get, groups_of, installed, list, thing_groups};
pub(crate) use verify::{verify_association, verify_identity};

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::{Snapshot, Tx, params};
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::{fault, place, tag};

/// Hears of deleted core devices inside the transaction that deletes them.
pub trait CoreWatch: Send + Sync + std::fmt::Debug {
    /// The core device is gone; its thing may still be there. An error undoes the deletion.
    ///
    /// # Errors
    /// The store's.
    fn on_core_deleted(&self, tx: &mut Tx<'_>, realm: &Realm, thing: &str, now: Timestamp) -> Result<(), CallError>;
}

/// A core device's row.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) thing: String,
    version: String,
    platform: String,
    architecture: String,
    runtime: String,
    status: String,
    updated_at: Timestamp,
}

/// The runtime that takes deployments from jobs alone, also those to itself (control-plane-api 7.3).
pub(crate) const LISTENS_TO_JOBS: &str = "aws_nucleus_lite";

const COLUMNS: &str = "SELECT thing, version, platform, architecture, runtime, status, updated_at FROM gg_core";

impl Core {
    fn read(row: &marram_store::Row<'_>) -> Result<Core, CallError> {
        Ok(Core {
            thing: row.get(0)?,
            version: row.get(1)?,
            platform: row.get(2)?,
            architecture: row.get(3)?,
            runtime: row.get(4)?,
            status: row.get(5)?,
            updated_at: row.get(6)?,
        })
    }

    /// Whether a deployment to this core must come as a job: it has no eye for its shadow.
    pub(crate) fn listens_to_jobs(&self) -> bool {
        self.runtime == LISTENS_TO_JOBS
    }

    /// The version that the nucleus says it has.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    fn summary(&self) -> Value {
        json!({
            "coreDeviceThingName": self.thing, "status": self.status,
            "lastStatusUpdateTimestamp": self.updated_at.epoch_seconds(), "platform": self.platform,
            "architecture": self.architecture, "runtime": self.runtime,
        })
    }
}

pub(crate) fn find(snapshot: &Snapshot<'_>, realm: &Realm, thing: &str) -> Result<Option<Core>, CallError> {
    snapshot.query_opt(
        &format!("{COLUMNS} WHERE account = $1 AND region = $2 AND thing = $3"),
        params![realm.account, realm.region, thing],
        Core::read,
    )
}

/// A device may speak of the things its certificate is attached to, and of no other (control-plane-api 6.4).
///
/// # Errors
/// `AccessDeniedException` for devices; callers of another kind were decided over by their policies.
pub(crate) fn own_thing(ctx: &CallContext, thing: &str, action: &str) -> Result<(), ApiError> {
    match ctx.principal.device_things() {
        Some(things) if !things.iter().any(|own| own == thing) => Err(ApiError::not_authorized(
            &ctx.principal.arn,
            action,
            &place::realm(ctx).arn(format_args!("thing/{thing}")),
            false,
        )),
        _ => Ok(()),
    }
}

/// The core device in the input, once the caller may do the operation on it.
fn permitted(ctx: &CallContext, input: &Value) -> Result<(marram_identity::Grant, Realm, String), ApiError> {
    let realm = place::realm(ctx);
    let thing = input["coreDeviceThingName"].as_str().unwrap_or_default().to_owned();
    let tags = ctx.read(|snapshot| tag::of(snapshot, &realm, &format!("coreDevices:{thing}")))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &place::core_device(&realm, &thing), |conditions| {
        conditions.resource_tags(tag::pairs(&tags));
    })?;
    Ok((grant, realm, thing))
}

fn known(ctx: &CallContext, realm: &Realm, thing: &str) -> Result<Core, ApiError> {
    ctx.read(|snapshot| find(snapshot, realm, thing))?.ok_or_else(|| fault::not_found("coreDevice", thing))
}
