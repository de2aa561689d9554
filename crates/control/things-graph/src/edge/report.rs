//! What cores say of their deployments, and what that makes of the status (TG 7.5).

use marram_flow_runtime::replica::{Report, ReportedState};
use marram_identity::CallError;
use marram_store::{Snapshot, Tx, params};
use marram_tdm::model::Urn;
use marram_types::Timestamp;

use crate::instance::{self, Instance, Status, set_status};
use crate::ports::{GreengrassTarget, Things};
use crate::realm::Realm;

/// Longest reason that is kept, characters.
const REASON_CHARS: usize = 300;

/// Cores that said that they have the deployment and did not say since that it is gone. One that is no core of the target any more, or
/// whose thing was deleted, has nothing to confirm: nobody waits for its word.
pub(crate) fn holders(
    s: &Snapshot<'_>,
    port: &dyn GreengrassTarget,
    things: &dyn Things,
    realm: &Realm,
    instance: &Instance,
) -> Result<Vec<String>, CallError> {
    let Some(group) = &instance.group else { return Ok(Vec::new()) };
    let mut found = s.query_all(
        "SELECT thing FROM tg_core_report WHERE account = $1 AND region = $2 AND urn_key = $3 ORDER BY thing",
        params![realm.account, realm.region, instance.id.key()],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    let mut there = Vec::new();
    for thing in found.drain(..) {
        if things.find(s, realm, &thing)?.is_some() && port.includes(s, realm, &group.resource, &thing)? {
            there.push(thing);
        }
    }
    Ok(there)
}

/// Ends what only waited for the word of cores that are not there any more.
pub(super) fn release(
    tx: &mut Tx<'_>,
    port: &dyn GreengrassTarget,
    things: &dyn Things,
    realm: &Realm,
    keys: &[String],
    now: Timestamp,
) -> Result<(), CallError> {
    for key in keys {
        let Ok(urn) = Urn::parse(key) else { continue };
        let Some(found) = instance::find(tx, realm, &urn)? else { continue };
        if found.status == Status::PendingDelete && holders(tx, port, things, realm, &found)?.is_empty() {
            set_status(tx, realm, &urn, Status::DeletedInTarget, now)?;
        }
    }
    Ok(())
}

/// Keys of the deployments that a core said that it has.
pub(super) fn told_by(s: &Snapshot<'_>, realm: &Realm, thing: &str) -> Result<Vec<String>, CallError> {
    s.query_all(
        "SELECT urn_key FROM tg_core_report WHERE account = $1 AND region = $2 AND thing = $3",
        params![realm.account, realm.region, thing],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )
}

/// Forgets what a core said.
pub(super) fn forget(tx: &mut Tx<'_>, realm: &Realm, thing: &str) -> Result<(), CallError> {
    tx.execute(
        "DELETE FROM tg_core_report WHERE account = $1 AND region = $2 AND thing = $3",
        params![realm.account, realm.region, thing],
    )?;
    Ok(())
}

/// The deployment `id` if `thing` is one of its cores.
pub(super) fn deployment_of_core(
    s: &Snapshot<'_>,
    port: &dyn GreengrassTarget,
    realm: &Realm,
    id: &str,
    thing: &str,
) -> Result<Option<Instance>, CallError> {
    let Ok(urn) = Urn::parse(id) else { return Ok(None) };
    let Some(found) = instance::find(s, realm, &urn)? else { return Ok(None) };
    let Some(group) = &found.group else { return Ok(None) };
    let is_core = port.includes(s, realm, &group.resource, thing)? || reported_by(s, realm, &urn, thing)?;
    Ok(is_core.then_some(found))
}

/// A core that left the group since may still tell how it ended.
fn reported_by(s: &Snapshot<'_>, realm: &Realm, urn: &Urn, thing: &str) -> Result<bool, CallError> {
    let found = s.query_opt(
        "SELECT 1 FROM tg_core_report WHERE account = $1 AND region = $2 AND urn_key = $3 AND thing = $4",
        params![realm.account, realm.region, urn.key(), thing],
        |row| Ok::<_, CallError>(row.get::<i64>(0)?),
    )?;
    Ok(found.is_some())
}

/// Takes a core's report over the one before.
pub(super) fn apply(
    tx: &mut Tx<'_>,
    port: &dyn GreengrassTarget,
    things: &dyn Things,
    realm: &Realm,
    thing: &str,
    report: &Report,
    now: Timestamp,
) -> Result<(), CallError> {
    let mut own = Vec::new();
    for entry in &report.deployments {
        if let Some(found) = deployment_of_core(tx, port, realm, &entry.id, thing)? {
            own.push((found, entry));
        }
    }
    let mut before = told_by(tx, realm, thing)?;
    forget(tx, realm, thing)?;
    for (found, entry) in &own {
        let state = match entry.state {
            ReportedState::Deployed => "DEPLOYED",
            ReportedState::Failed => "FAILED",
        };
        let message: Option<String> =
            entry.message.as_ref().map(|message| message.chars().take(REASON_CHARS).collect());
        tx.execute(
            "INSERT INTO tg_core_report (account, region, urn_key, thing, sha256, state, message, reported_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            params![realm.account, realm.region, found.id.key(), thing, entry.sha256, state, message, now],
        )?;
        let is_present = sent_hash(tx, realm, &found.id)?.is_some_and(|hash| hash == entry.sha256);
        let next = match (found.status, entry.state) {
            (Status::DeployInProgress | Status::Failed, ReportedState::Deployed) if found.is_in_target => {
                Status::DeployedInTarget
            }
            (Status::DeployInProgress | Status::DeployedInTarget, ReportedState::Failed) => Status::Failed,
            _ => continue,
        };
        if is_present {
            if let Some(message) = &message {
                tracing::warn!(deployment = %found.id, %thing, %message, "a core refused a deployment");
            }
            set_status(tx, realm, &found.id, next, now)?;
        }
    }
    before.retain(|key| !own.iter().any(|(found, _)| found.id.key() == key));
    release(tx, port, things, realm, &before, now)
}

/// The status of a deployment that was just sent: what cores said of this snapshot already counts. A core may have been faster than
/// the note that it was sent, and one that runs the very same snapshot since before has nothing new to say.
pub(super) fn settle(tx: &mut Tx<'_>, realm: &Realm, urn: &Urn, now: Timestamp) -> Result<(), CallError> {
    set_status(tx, realm, urn, Status::DeployInProgress, now)?;
    let Some(hash) = sent_hash(tx, realm, urn)? else { return Ok(()) };
    let last = tx.query_opt(
        "SELECT state FROM tg_core_report WHERE account = $1 AND region = $2 AND urn_key = $3 AND sha256 = $4
         ORDER BY reported_at DESC LIMIT 1",
        params![realm.account, realm.region, urn.key(), hash],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    match last.as_deref() {
        Some("DEPLOYED") => set_status(tx, realm, urn, Status::DeployedInTarget, now),
        Some(_) => set_status(tx, realm, urn, Status::Failed, now),
        None => Ok(()),
    }
}

/// Hash of the snapshot that was sent last.
fn sent_hash(s: &Snapshot<'_>, realm: &Realm, urn: &Urn) -> Result<Option<String>, CallError> {
    let found = s.query_opt(
        "SELECT snapshot_sha256 FROM tg_instance WHERE account = $1 AND region = $2 AND urn_key = $3",
        params![realm.account, realm.region, urn.key()],
        |row| Ok::<_, CallError>(row.get::<Option<String>>(0)?),
    )?;
    Ok(found.flatten())
}
