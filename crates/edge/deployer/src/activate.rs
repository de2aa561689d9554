//! From prepared to running, or back (CR 4.9, 4.10).
//!
//! ```text
//! Bootstrapping --steps done, restart?--> Activating --all up, obsolete gone--> Done
//!       | a step failed                       | a component broke
//!       v                                     v
//!   RollingBack (steps of the old set) --> RollingBack --old set up--> Done
//! ```
//!
//! Each stage is written before its first effect and can be repeated: a bootstrap step that was cut off runs again,
//! applying the same tree twice changes nothing, and a removed component stays removed.

use std::path::PathBuf;

use marram_deploy::{DetailedStatus, ErrorCode, Failure};
use marram_edge_ports::{ApplyMode, BootstrapOutcome, ComponentState, PortError, Provenance};
use serde_json::Value;

use crate::disk::{read_failure, write_failure};
use crate::patience::Patience;
use crate::prepare::{Activation, SERVICES};
use crate::record::{Record, Stage, StoredFailure, folder_of};
use crate::settings::Restart;
use crate::{Inner, endpoints, fault, kept, lock, relief, update};

/// How a deployment ended.
#[derive(Debug)]
pub(crate) struct End {
    pub detailed: DetailedStatus,
    pub failure: Option<StoredFailure>,
    /// What the success left as it was.
    pub notes: Vec<String>,
}

impl End {
    pub fn failed(detailed: DetailedStatus, failure: &Failure) -> Self {
        Self { detailed, failure: Some(failure.report().into()), notes: Vec::new() }
    }
}

/// A step that could not be made durable: the stage stays, and is repeated later.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Interrupted(#[from] PortError);

fn activation_path(inner: &Inner, key: &str) -> PathBuf {
    folder_of(&inner.settings.root, key).join("activation.json")
}

fn snapshot_path(inner: &Inner, key: &str) -> PathBuf {
    folder_of(&inner.settings.root, key).join("rollback_snapshot.json")
}

/// Writes down what is about to happen: from here on the deployment survives a crash.
pub(crate) async fn commit(inner: &Inner, key: &str, activation: &Activation) -> Result<(), Failure> {
    let disk = inner.disk.as_ref();
    // the old state is what a rollback goes back to, so it comes first
    let path = snapshot_path(inner, key);
    let snapshot = inner.ports.nucleus.snapshot().to_string().into_bytes();
    disk.step("snapshot").await;
    disk.write(&path, snapshot.into()).await.map_err(|error| write_failure(&path, &error))?;
    let path = activation_path(inner, key);
    let text = serde_json::to_vec(activation).expect("an activation is plain data");
    disk.step("activation").await;
    disk.write(&path, text.into()).await.map_err(|error| write_failure(&path, &error))?;
    let stage =
        if activation.bootstrap.is_empty() && !activation.restarts { Stage::Activating } else { Stage::Bootstrapping };
    inner.update(key, |record| record.stage = stage).await.map_err(|error| fault::nucleus(&error))
}

pub(crate) fn load(inner: &Inner, key: &str) -> Result<Activation, Failure> {
    let path = activation_path(inner, key);
    let text = std::fs::read(&path).map_err(|error| read_failure(&path, &error))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::of(&[ErrorCode::IoError, ErrorCode::IoReadError], format!("{} is damaged: {error}", path.display()))
    })
}

/// Carries on from the record's stage to the end.
pub(crate) async fn carry_on(inner: &Inner, key: &str) -> Result<End, Interrupted> {
    let activation = match load(inner, key) {
        Ok(activation) => activation,
        Err(failure) => return Ok(End::failed(DetailedStatus::FailedUnableToRollback, &failure)),
    };
    loop {
        let Some(record) = lock(&inner.ledger).get(key).cloned() else {
            let gone = Failure::new(ErrorCode::DeploymentInterrupted, "the deployment is not remembered any more");
            return Ok(End::failed(DetailedStatus::FailedUnableToRollback, &gone));
        };
        match record.stage {
            Stage::Bootstrapping => bootstrap(inner, &record, &activation).await?,
            Stage::Activating => {
                if let Some(end) = activate(inner, &record, &activation).await? {
                    return Ok(end);
                }
            }
            _ => return roll_back(inner, &record, &activation).await,
        }
    }
}

/// Turns to the rollback, or says why the failed state stays.
async fn fail(
    inner: &Inner,
    record: &Record,
    activation: &Activation,
    failure: &Failure,
) -> Result<Option<End>, Interrupted> {
    let failure = &relief::judged(inner, activation, failure.clone()).await;
    if lock(&inner.told).is_worth_telling(&format!("{} {:?}", record.id, failure.codes)) {
        tracing::warn!(deployment = record.id, %failure, rollback = activation.rollback, "the deployment failed");
    }
    if activation.switch.is_some() && activation.rollback {
        endpoints::gave_up(inner, failure).await;
    }
    if !activation.rollback {
        if record.stage == Stage::Activating {
            keep_groups(inner, activation).await?;
        }
        return Ok(Some(End::failed(DetailedStatus::FailedRollbackNotRequested, failure)));
    }
    if failure.codes.contains(&ErrorCode::DiskSpaceCritical) {
        relief::relieve(inner, activation).await;
    }
    let stored = failure.report().into();
    inner
        .update(&record.key, |record| {
            record.stage = Stage::RollingBack;
            record.restarted = false;
            record.failure = Some(stored);
        })
        .await?;
    Ok(None)
}

async fn bootstrap(inner: &Inner, record: &Record, activation: &Activation) -> Result<(), Interrupted> {
    let mut wanted = Restart::Runtime;
    for name in &activation.bootstrap {
        if record.bootstrapped.contains(name) {
            continue;
        }
        let service = activation.services.get(name).cloned().unwrap_or_default();
        inner.waiting(format!("the bootstrap step of {name}"));
        inner.ports.disk.step("bootstrap").await;
        let failure = match inner.ports.nucleus.bootstrap(name, &service).await {
            Ok(BootstrapOutcome::Done | BootstrapOutcome::RestartRuntime) => None,
            Ok(BootstrapOutcome::RebootDevice) => {
                wanted = Restart::Device;
                None
            }
            Ok(BootstrapOutcome::Failed(code)) => {
                let cause = format!("the bootstrap step of {name} exited with code {code}");
                Some(Failure::of(&[ErrorCode::ComponentUpdateError, ErrorCode::ComponentBootstrapError], cause))
            }
            Ok(BootstrapOutcome::TimedOut) => {
                let cause = format!("the bootstrap step of {name} took too long");
                Some(Failure::of(&[ErrorCode::ComponentUpdateError, ErrorCode::ComponentBootstrapTimeout], cause))
            }
            Err(error) => Some(fault::nucleus(&error)),
        };
        let ran = name.clone();
        if let Some(failure) = failure {
            // whatever it did before it failed is undone as if it had run
            let failure = relief::judged(inner, activation, failure).await;
            let stored: StoredFailure = failure.report().into();
            tracing::warn!(deployment = record.id, %failure, "the deployment failed");
            return Ok(inner
                .update(&record.key, |record| {
                    record.bootstrapped.push(ran);
                    record.stage = Stage::RollingBack;
                    record.failure = Some(stored);
                })
                .await?);
        }
        inner.update(&record.key, |record| record.bootstrapped.push(ran)).await?;
    }
    if let Some(update) = &activation.update
        && let Err(failure) = update::install(inner, update).await
    {
        let stored: StoredFailure = failure.report().into();
        tracing::warn!(deployment = record.id, %failure, "the deployment failed");
        let turn_back = |record: &mut Record| {
            record.stage = Stage::RollingBack;
            record.failure = Some(stored);
        };
        return Ok(inner.update(&record.key, turn_back).await?);
    }
    inner
        .update(&record.key, |record| {
            record.stage = Stage::Activating;
            record.restarted = true;
        })
        .await?;
    if let Some(update) = &activation.update
        && let Err(failure) = update::turn(inner, update).await
    {
        // The stage repeats it, and then says what is wrong.
        tracing::warn!(deployment = record.id, %failure, "the loader cannot be told");
    }
    restart(inner, wanted).await;
    Ok(())
}

/// Asks for a restart and gives it time; an embedding that does not restart lets the deployment go on.
pub(crate) async fn restart(inner: &Inner, how: Restart) {
    inner.waiting("the restart of the runtime");
    (inner.ports.restart)(how);
    tokio::time::sleep(inner.settings.pace.restart_grace).await;
}

/// A core without a program that holds, or without its line, goes back whatever the document says; so does one whose deployment was
/// taken back.
fn always_back(activation: &Activation) -> Activation {
    Activation { rollback: true, ..activation.clone() }
}

/// One try at the new state; none when it turned to the rollback.
async fn activate(inner: &Inner, record: &Record, activation: &Activation) -> Result<Option<End>, Interrupted> {
    let nucleus = &inner.ports.nucleus;
    if let Some(update) = &activation.update
        && let Err(failure) = update::settle(inner, update).await
    {
        return fail(inner, record, &always_back(activation), &failure).await;
    }
    if let Some(switch) = &activation.switch {
        endpoints::remember(inner, &record.id, switch).await?;
    }
    let mut changes = nucleus.changes();
    inner.waiting("the new configuration to be written");
    let provenance =
        Provenance { deployment_id: activation.deployment_id.as_str().into(), defaults: activation.defaults.clone() };
    inner.ports.disk.step("apply").await;
    let mut notes = activation.notes.clone();
    let result = match nucleus.deploy(activation.services.clone(), activation.timestamp, provenance).await {
        Ok(()) => {
            // Before components that start now set more of it.
            notes.extend(kept::notes(inner, &activation.wishes));
            for name in &activation.tracked {
                if matches!(nucleus.state(name), Some((ComponentState::Broken, _))) {
                    nucleus.reinstall(name).await?;
                }
            }
            if let Some(switch) = &activation.switch
                && let Err(failure) = endpoints::settle(inner, switch).await
            {
                return fail(inner, record, &always_back(activation), &failure).await;
            }
            let is_canceled = || lock(&inner.ledger).get(&record.key).is_some_and(|record| record.canceled);
            let is_filled = || relief::is_filled(inner, activation);
            match come_up(inner, &activation.tracked, &mut changes, is_canceled, is_filled).await {
                Ok(()) => remove(inner, &activation.removed).await,
                Err(failure) if is_canceled() => {
                    return fail(inner, record, &always_back(activation), &failure).await;
                }
                Err(failure) => Err(failure),
            }
        }
        Err(error) => Err(fault::nucleus(&error)),
    };
    match result {
        Ok(()) => {
            keep_groups(inner, activation).await?;
            if activation.switch.is_some() {
                endpoints::made(inner).await;
            }
            for note in &notes {
                tracing::warn!(deployment = record.id, "{note}");
            }
            Ok(Some(End { detailed: DetailedStatus::Successful, failure: None, notes }))
        }
        Err(failure) => fail(inner, record, activation, &failure).await,
    }
}

async fn roll_back(inner: &Inner, record: &Record, activation: &Activation) -> Result<End, Interrupted> {
    let nucleus = &inner.ports.nucleus;
    let key = &record.key;
    let failure = record.failure.clone();
    let unable = |why: String| {
        let mut failure = record.failure.clone().unwrap_or_default();
        failure.cause = format!("{}; the rollback failed: {why}", failure.cause);
        End { detailed: DetailedStatus::FailedUnableToRollback, failure: Some(failure), notes: Vec::new() }
    };
    let snapshot: Value = match std::fs::read(snapshot_path(inner, key)).map(|text| serde_json::from_slice(&text)) {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(error)) => return Ok(unable(error.to_string())),
        Err(error) => return Ok(unable(error.to_string())),
    };
    // A life of this core that ended in between started them again.
    let is_for_space = failure
        .as_ref()
        .is_some_and(|failure| failure.stack.iter().any(|code| code == ErrorCode::DiskSpaceCritical.as_str()));
    if is_for_space {
        relief::relieve(inner, activation).await;
    }
    let mut changes = nucleus.changes();
    inner.waiting("the old configuration to be restored");
    inner.ports.disk.step("rollback").await;
    if let Err(error) = nucleus.apply(snapshot, activation.timestamp, ApplyMode::Rollback).await {
        return Ok(unable(error.to_string()));
    }
    if let Err(failure) = remove(inner, &activation.added).await {
        return Ok(unable(failure.cause));
    }
    if is_for_space {
        // Their `uninstall` may have written as well.
        relief::empty(inner, activation).await;
    }
    // what the new set's bootstrap did is undone by the old set's
    for name in record.bootstrapped.iter().filter(|name| activation.old.contains(name)) {
        let Some(service) = nucleus.get(&["services", name]) else { continue };
        if service
            .pointer("/lifecycle")
            .and_then(Value::as_object)
            .is_none_or(|lifecycle| !lifecycle.keys().any(|key| key.eq_ignore_ascii_case("bootstrap")))
        {
            continue;
        }
        inner.ports.disk.step("bootstrap of the old version").await;
        match nucleus.bootstrap(name, &service).await {
            Ok(BootstrapOutcome::Failed(code)) => {
                return Ok(unable(format!("the bootstrap step of {name} exited with code {code}")));
            }
            Ok(BootstrapOutcome::TimedOut) => return Ok(unable(format!("the bootstrap step of {name} took too long"))),
            Ok(_) => inner.update(key, |record| record.bootstrapped.retain(|ran| ran != name)).await?,
            Err(error) => return Ok(unable(error.to_string())),
        }
    }
    let turned = match &activation.update {
        Some(update) => match update::take_back(inner, update).await {
            Ok(turned) => turned,
            Err(failure) => return Ok(unable(failure.cause)),
        },
        None => false,
    };
    if turned || (activation.restarts && !record.restarted) {
        inner.update(key, |record| record.restarted = true).await?;
        restart(inner, Restart::Runtime).await;
    }
    if let Some(update) = &activation.update {
        let reason = failure.as_ref().map_or("its deployment was taken back", |failure| &failure.cause);
        update::settle_old(inner, update, reason);
    }
    for name in &activation.old {
        if matches!(nucleus.state(name), Some((ComponentState::Broken, _))) {
            nucleus.reinstall(name).await?;
        }
    }
    let awaited: Vec<String> = activation.old.iter().filter(|name| !activation.idle.contains(name)).cloned().collect();
    let is_abandoned = || lock(&inner.ledger).get(key).is_some_and(|record| record.abandoned);
    match come_up(inner, &awaited, &mut changes, is_abandoned, || false).await {
        Ok(()) => Ok(End { detailed: DetailedStatus::FailedRollbackComplete, failure, notes: Vec::new() }),
        Err(failure) => Ok(unable(failure.cause)),
    }
}

/// Waits until every component is FINISHED, or RUNNING and stays so for the settling time, and has what is desired of it; fails when one
/// breaks.
async fn come_up(
    inner: &Inner,
    names: &[String],
    changes: &mut tokio::sync::broadcast::Receiver<marram_edge_ports::StateChange>,
    is_canceled: impl Fn() -> bool,
    is_filled: impl Fn() -> bool,
) -> Result<(), Failure> {
    let mut patience = Patience::new(inner, names);
    let nucleus = &inner.ports.nucleus;
    loop {
        if is_filled() {
            return Err(relief::filled());
        }
        let (mut missing, mut absent) = (Vec::new(), Vec::new());
        let mut pause = inner.settings.pace.poll;
        for name in names {
            match nucleus.state(name) {
                Some((ComponentState::Broken, _)) => {
                    return Err(Failure::broken(name, nucleus.failure(name).as_deref()));
                }
                Some((ComponentState::Running | ComponentState::Finished, true)) => {
                    if let Some(left) = nucleus.settling(name) {
                        missing.push(format!("{name} (RUNNING since a moment ago)"));
                        pause = pause.min(left);
                    }
                }
                Some((state, _)) => missing.push(format!("{name} ({})", state.as_str())),
                None => {
                    missing.push(format!("{name} (not there)"));
                    absent.push(name.as_str());
                }
            }
        }
        if missing.is_empty() {
            inner.waiting_over();
            return Ok(());
        }
        let what = missing.join(", ");
        if is_canceled() {
            let cause = format!("it was canceled while these were not up: {what}");
            return Err(Failure::new(ErrorCode::DeploymentInterrupted, cause));
        }
        if let Some(failure) = patience.end(&what, &absent) {
            return Err(failure);
        }
        inner.waiting(format!("components to come up: {what}"));
        // a change wakes at once; the poll is for changes that were missed, for what settles, and for a cancel
        let _ = tokio::time::timeout(pause, changes.recv()).await;
    }
}

async fn remove(inner: &Inner, names: &[String]) -> Result<(), Failure> {
    for name in names {
        // an older program took components of such names in: what they stand for stays
        let is_own = SERVICES.iter().any(|own| own.eq_ignore_ascii_case(name));
        if is_own || inner.ports.nucleus.get(&["services", name]).is_none() {
            continue;
        }
        inner.waiting(format!("{name} to be removed"));
        inner.ports.disk.step("remove").await;
        inner.ports.nucleus.remove(name).await.map_err(|error| {
            Failure::of(
                &[ErrorCode::ComponentUpdateError, ErrorCode::RemoveComponentError],
                format!("component {name} cannot be removed: {error}"),
            )
        })?;
    }
    inner.waiting_over();
    Ok(())
}

/// Remembers what the groups ask for now (CR 4.6).
async fn keep_groups(inner: &Inner, activation: &Activation) -> Result<(), Interrupted> {
    for (key, value) in [
        ("GroupToRootComponents", &activation.group_roots),
        ("GroupToLastDeployment", &activation.group_last),
        ("GroupMembership", &activation.group_membership),
        ("ComponentToGroups", &activation.component_groups),
    ] {
        inner.ports.disk.step("groups").await;
        inner.ports.nucleus.put(&["services", "DeploymentService", key], value.clone()).await?;
    }
    Ok(())
}
