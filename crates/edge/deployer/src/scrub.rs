//! Looks whether artifacts of what is deployed were changed since they were taken in (SEC-157): at every start, and weekly.

use std::time::Duration;

use marram_deploy::Failure;
use marram_version::Version;

use crate::store::{artifacts, recipes};
use crate::{Inner, prepare};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Looks for ever; a finding is an error in the log.
pub(crate) async fn run(inner: &Inner) {
    loop {
        for failure in look(inner).await {
            tracing::error!(%failure, "a deployed component was tampered with");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What is not as it was, over all deployed components.
pub(crate) async fn look(inner: &Inner) -> Vec<Failure> {
    let platform = prepare::platform(inner);
    let mut found = Vec::new();
    for (name, tree) in prepare::deployed(inner) {
        let version = tree.get("version").and_then(|version| version.as_str()?.parse::<Version>().ok());
        let Some(version) = version.filter(|_| marram_deploy::builtin(&name).is_none()) else { continue };
        let looked = match recipes::load(&inner.settings.root, &name, &version) {
            Ok(recipe) => match recipe.manifest_for(&platform) {
                Some(manifest) => artifacts::verify(inner, &recipe, manifest).await,
                None => Ok(()),
            },
            Err(failure) => Err(failure),
        };
        found.extend(looked.err());
    }
    found
}
