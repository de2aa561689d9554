//! Looks whether recipes and artifacts of what is deployed are as they were taken in (SEC-157): at every start of the core, weekly, after
//! deployments, and those of a component whenever it starts (CR 1.6).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use marram_deploy::Failure;
use marram_edge_ports::{ComponentState, StateChange};
use marram_version::Version;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::broadcast;

use crate::store::{artifact_folder, artifacts, recipes};
use crate::{Inner, lock, prepare};

/// Between two looks at everything.
const EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Name, length, inode and time of the last change (seconds, nanoseconds) of each file: who writes to one changes these.
type Facts = Vec<(OsString, u64, u64, i64, i64)>;

/// Looks for ever; a finding is an error in the log, and stands with the doctor until it is mended.
pub(crate) async fn run(inner: &Inner) {
    let (mut changes, mut news) = (inner.ports.nucleus.changes(), inner.news.subscribe());
    loop {
        // a medium that loses bits changes no facts: everything is read anew
        let mut good = BTreeMap::new();
        look(inner, &mut good).await;
        let end = tokio::time::sleep(EVERY);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                name = next_start(&mut changes) => match name {
                    Some(name) => {
                        if let Some(tree) = inner.ports.nucleus.get(&["services", &name]) {
                            look_at(inner, &name, &tree, &mut good).await;
                        }
                    }
                    None => look(inner, &mut good).await,
                },
                Ok(_) = news.recv() => look(inner, &mut good).await,
            }
        }
    }
}

/// The next component that starts; none when some were missed.
async fn next_start(changes: &mut broadcast::Receiver<StateChange>) -> Option<SmolStr> {
    loop {
        match changes.recv().await {
            Ok(change) if change.to == ComponentState::Starting => return Some(change.component),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return None,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn look(inner: &Inner, good: &mut BTreeMap<SmolStr, Facts>) {
    let deployed = prepare::deployed(inner);
    lock(&inner.tampered).retain(|name, _| deployed.contains_key(name));
    good.retain(|name, _| deployed.contains_key(name));
    for (name, tree) in deployed {
        look_at(inner, &name, &tree, good).await;
    }
}

/// Reads the files of a component unless they are as they were when they were `good`.
async fn look_at(inner: &Inner, name: &SmolStr, tree: &Value, good: &mut BTreeMap<SmolStr, Facts>) {
    let version = tree.get("version").and_then(|version| version.as_str()?.parse::<Version>().ok());
    let Some(version) = version.filter(|_| marram_deploy::builtin(name).is_none()) else { return };
    let facts = facts(inner, name, &version.to_string());
    if good.get(name) == Some(&facts) {
        return;
    }
    match verify(inner, name, &version).await {
        Ok(()) => {
            good.insert(name.clone(), facts);
            lock(&inner.tampered).remove(name);
        }
        Err(failure) => {
            tracing::error!(component = %name, %failure, "a deployed component was tampered with");
            good.remove(name);
            lock(&inner.tampered).insert(name.clone(), failure.to_string());
        }
    }
}

async fn verify(inner: &Inner, name: &str, version: &Version) -> Result<(), Failure> {
    let recipe = recipes::load(&inner.settings.root, name, version)?;
    match recipe.manifest_for(&prepare::platform(inner)) {
        Some(manifest) => artifacts::verify(inner, &recipe, manifest).await,
        None => Ok(()),
    }
}

fn facts(inner: &Inner, name: &str, version: &str) -> Facts {
    let root = &inner.settings.root;
    let files = std::fs::read_dir(artifact_folder(root, name, version)).into_iter().flatten().flatten();
    let files = files.map(|file| file.path());
    let mut all: Facts = files
        .chain([recipes::recipe_path(root, name, version), recipes::metadata_path(root, name, version)])
        .filter_map(|path| {
            let facts = std::fs::metadata(&path).ok()?;
            Some((path.file_name()?.to_owned(), facts.len(), facts.ino(), facts.ctime(), facts.ctime_nsec()))
        })
        .collect();
    all.sort();
    all
}
