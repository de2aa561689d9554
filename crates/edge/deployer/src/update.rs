//! Updates of the runtime itself: a component whose artifact is the program (core-runtime 4.10).
//!
//! ```text
//! Bootstrapping: install beside --> Activating: turn, restart --> healthy? --> confirm --> the rest of the deployment
//!                                                                    | no, or the loader gave it up
//!                                                                    v
//!                                                        RollingBack: turn back, restart
//! ```
//!
//! Health is local (the IPC socket answers) and, when the core was connected before, the line to the control plane.

use std::path::{Path, PathBuf};
use std::time::Duration;

use marram_deploy::{ErrorCode, Failure, Resolution};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::disk::{blocking, read_failure, write_failure};
use crate::settings::Restart;
use crate::store::{artifact_folder, digest_file, retention, unpacked_folder};
use crate::{Inner, activate};

/// The component that carries the program.
pub(crate) const CORE: &str = "marram.Core";
/// Its artifact, or a file of that name in an unpacked one.
const FILE: &str = "marram-core";
/// `marram.update.confirmSeconds`: default and bounds.
const LIMIT_SECS: (u64, u64, u64) = (120, 5, 3600);
/// Characters of the digest that tell programs of the same version apart.
const DIGEST_CHARS: usize = 12;

/// A program to change to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    /// Its place.
    pub name: String,
    /// Where the artifact lies.
    pub program: PathBuf,
    /// What it has to confirm itself.
    pub limit_secs: u64,
    /// The line was up when the deployment was prepared, so it must be again.
    pub was_connected: bool,
}

fn trouble(cause: impl Into<String>) -> Failure {
    Failure::of(&[ErrorCode::ComponentUpdateError, ErrorCode::NucleusRestartFailure], cause)
}

/// The update that a set of components asks for, unless that program runs already.
pub(crate) async fn wanted(inner: &Inner, set: &Resolution) -> Result<Option<Update>, Failure> {
    let Some(resolved) = set.components.get(CORE) else { return Ok(None) };
    let version = resolved.version.to_string();
    let root = &inner.settings.root;
    let file = artifact_folder(root, CORE, &version).join(FILE);
    let file = if file.is_file() { Some(file) } else { find(&unpacked_folder(root, CORE, &version)) };
    let Some(file) = file else {
        let cause = format!("{CORE} {version} has no artifact {FILE}");
        return Err(Failure::new(ErrorCode::ComponentPackageLoadingError, cause));
    };
    let read = file.clone();
    let digest = blocking(move || digest_file(&read, "SHA-256")).await.map_err(|error| read_failure(&file, &error))?;
    let digest: String =
        digest.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(DIGEST_CHARS).collect();
    let name = format!("{version}-{digest}");
    let Some(program) = &inner.ports.program else {
        let deployed = inner.ports.nucleus.get(&["services", CORE, "version"]);
        if deployed.is_some_and(|deployed| deployed == version) {
            return Ok(None);
        }
        let cause = "the core was not started by its loader, so it cannot change its program";
        return Err(Failure::new(ErrorCode::LaunchDirectoryCorrupted, cause));
    };
    if program.running().as_ref() == Some(&name) {
        return Ok(None);
    }
    let (default, least, most) = LIMIT_SECS;
    let limit = inner.setting(&["marram", "update", "confirmSeconds"]).and_then(|value| value.as_u64());
    let was_connected = *inner.ports.messages.connection().borrow();
    let limit_secs = limit.unwrap_or(default).clamp(least, most);
    Ok(Some(Update { name, program: file, limit_secs, was_connected }))
}

fn find(folder: &Path) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    let own = entries.iter().find(|path| path.is_file() && path.ends_with(FILE)).cloned();
    own.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path)))
}

/// Copies the program into its place; nothing leads there yet.
pub(crate) async fn install(inner: &Inner, update: &Update) -> Result<(), Failure> {
    let Some(program) = inner.ports.program.clone() else { return Err(trouble("the loader is gone")) };
    inner.ports.disk.step("install the program").await;
    let (name, file) = (update.name.clone(), update.program.clone());
    blocking(move || program.install(&name, &file)).await.map_err(|error| write_failure(&update.program, &error))
}

/// Says that the next start is the new program's.
pub(crate) async fn turn(inner: &Inner, update: &Update) -> Result<(), Failure> {
    let Some(program) = &inner.ports.program else { return Err(trouble("the loader is gone")) };
    inner.ports.disk.step("turn to the program").await;
    let turned = program.turn_to(&update.name, Duration::from_secs(update.limit_secs));
    turned.map_err(|error| write_failure(&update.program, &error))
}

/// Whether the new program runs and holds. It confirms itself, or says why the deployment failed.
pub(crate) async fn settle(inner: &Inner, update: &Update) -> Result<(), Failure> {
    let Some(program) = &inner.ports.program else { return Err(trouble("the loader is gone")) };
    if program.running().as_ref() != Some(&update.name) {
        if let Some(reason) = program.returned(&update.name) {
            return Err(trouble(format!("the new program was given up: {reason}")));
        }
        // Cut off between the record and the turn.
        turn(inner, update).await?;
        activate::restart(inner, Restart::Runtime).await;
        return Err(trouble("the loader did not turn to the new program"));
    }
    // The loader's own limit comes later: a program that knows what is wrong tells it.
    let deadline = Instant::now() + Duration::from_secs(update.limit_secs) * 3 / 4;
    let connection = inner.ports.messages.connection();
    loop {
        let line = !update.was_connected || *connection.borrow();
        let local = program.is_up();
        if line && local {
            break;
        }
        let missing = if local { "the line to the control plane" } else { "the IPC socket" };
        if Instant::now() >= deadline {
            return Err(trouble(format!("the new program does not hold: {missing} did not come up")));
        }
        inner.waiting(format!("the new program: {missing}"));
        tokio::time::sleep(inner.settings.pace.poll.min(Duration::from_millis(250))).await;
    }
    inner.ports.disk.step("confirm the program").await;
    program.confirm().map_err(|error| write_failure(&update.program, &error))?;
    tracing::info!(program = update.name, "the new program holds");
    Ok(())
}

/// Turns back to the program before. Whether a restart is needed for it.
pub(crate) async fn take_back(inner: &Inner, update: &Update) -> Result<bool, Failure> {
    let Some(program) = &inner.ports.program else { return Ok(false) };
    if program.running().as_ref() != Some(&update.name) {
        return Ok(false);
    }
    let old = program.previous().ok_or_else(|| trouble("there is no program to go back to"))?;
    if let Some(reason) = program.returned(&old) {
        return Err(trouble(format!("the old program was given up: {reason}")));
    }
    inner.ports.disk.step("turn back to the program").await;
    program
        .turn_to(&old, Duration::from_secs(update.limit_secs))
        .map_err(|error| write_failure(&update.program, &error))?;
    Ok(true)
}

/// A program that came back by a rollback holds as well once the rollback is over; the one it takes the place of is known with the reason.
pub(crate) fn settle_old(inner: &Inner, update: &Update, reason: &str) {
    let Some(program) = &inner.ports.program else { return };
    let confirmed = program.confirm();
    let is_back = program.running().as_ref() != Some(&update.name);
    if let Err(error) = confirmed.and_then(|()| if is_back { program.give_up(&update.name, reason) } else { Ok(()) }) {
        tracing::error!(%error, "the program cannot be confirmed");
    }
}

/// Frees what an update that was taken back left: its program, and artifacts of [`CORE`] that no deployment in force has. A start does it
/// again, for a core may die here. Nothing may wait to be deployed.
pub(crate) async fn free(inner: &Inner) {
    let Some(program) = inner.ports.program.clone() else { return };
    inner.ports.disk.step("free the program").await;
    let root = inner.settings.root.clone();
    let kept = retention::kept(&inner.ports.nucleus.get(&["services"]).unwrap_or_default());
    let freed = blocking(move || {
        retention::clean_component(&root, CORE, &kept);
        program.free()
    });
    if let Err(error) = freed.await {
        tracing::warn!(%error, "the room of a program that was given up cannot be freed");
    }
}
