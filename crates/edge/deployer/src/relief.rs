//! A deployment that fills the disk: it ends, and what it brought gives back what it took (CR 4.8, 4.9).
//!
//! Only components that the deployment added, and only what they wrote since: a work folder outlives versions and removals of its
//! component (CR 9.1), so one that held something before is left as it is.

use std::path::{Path, PathBuf};

use marram_deploy::{ErrorCode, Failure};

use crate::disk::blocking;
use crate::prepare::Activation;
use crate::reserve::Space;
use crate::{Inner, usage};

/// The component's folders of its own, work first.
fn folders(root: &Path, component: &str) -> Option<[PathBuf; 2]> {
    // Checked when it was deployed; here it is what keeps other folders from being deleted.
    marram_recipe::check_component_name(component).ok()?;
    Some([root.join("work").join(component), root.join("private").join(component)])
}

/// Of components that are about to be added those that have nothing on the disk yet.
pub(crate) fn fresh<'a>(root: &Path, added: impl Iterator<Item = &'a str>) -> Vec<String> {
    let holds_nothing = |name: &&str| {
        let folder = folders(root, name).map(|[work, _]| std::fs::read_dir(work));
        folder.is_some_and(|folder| folder.map_or(true, |mut entries| entries.next().is_none()))
    };
    added.filter(holds_nothing).map(str::to_owned).collect()
}

/// Whether the disk became full under this deployment. One that began on a full disk may be the remedy: it goes on.
pub(crate) fn is_filled(inner: &Inner, activation: &Activation) -> bool {
    !activation.full_before && inner.ports.room.is_full()
}

/// What is found by [`is_filled`].
pub(crate) fn filled() -> Failure {
    let codes = [ErrorCode::ComponentUpdateError, ErrorCode::IoError, ErrorCode::DiskSpaceCritical];
    Failure::of(&codes, "the deployment filled the disk")
}

/// A failure under a deployment: on a disk that it filled, that is why, and who holds most is named.
pub(crate) async fn judged(inner: &Inner, activation: &Activation, failure: Failure) -> Failure {
    if !is_for_space(&failure) && !is_filled(inner, activation) {
        return failure;
    }
    let root = inner.settings.root.clone();
    let words = blocking(move || Space::of(&root).map(|space| usage::sentence(&root, &space))).await;
    let words = words.map(|words| format!("; {words}")).unwrap_or_default();
    let codes = if is_for_space(&failure) { failure.codes } else { filled().codes };
    Failure::of(&codes, format!("{}{words}", failure.cause))
}

fn is_for_space(failure: &Failure) -> bool {
    failure.codes.contains(&ErrorCode::DiskSpaceCritical)
}

/// Ends what the deployment brought and deletes what that wrote, before anything of the rollback is written. It can be repeated.
pub(crate) async fn relieve(inner: &Inner, activation: &Activation) {
    for name in &activation.added {
        inner.waiting(format!("{name}, which may fill the disk, to end"));
        if let Err(error) = inner.ports.nucleus.halt(name).await {
            tracing::debug!(component = name, %error, "nothing to end");
        }
    }
    empty(inner, activation).await;
}

/// Deletes what the components that the deployment added wrote.
pub(crate) async fn empty(inner: &Inner, activation: &Activation) {
    let root = &inner.settings.root;
    let fresh = activation.fresh.iter().filter_map(|name| folders(root, name)).flatten();
    // What stands in for `/tmp` does not outlive a start anyway.
    let components = activation.added.iter().filter(|name| marram_deploy::builtin(name).is_none());
    let private = components.filter_map(|name| folders(root, name)).map(|[_, private]| private);
    let doomed: Vec<PathBuf> = fresh.chain(private).collect();
    let delete = move || {
        for folder in doomed {
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(folder = %folder.display(), %error, "what a component wrote cannot be deleted");
                }
                _ => {}
            }
        }
    };
    blocking(delete).await;
}
