//! Recipes on disk: `packages/recipes/<hash of name>@<version>.recipe.yaml` and its metadata (CR 4.12).
//!
//! The text is JSON, which is YAML. The metadata remembers where a recipe came from and its digest, so that a changed
//! file is found out before it is used (CR 9.4).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use marram_deploy::{ErrorCode, Failure};
use marram_recipe::Recipe;
use marram_version::Version;
use serde::{Deserialize, Serialize};

use super::{name_hash, sha256_base64};
use crate::disk::{Disk, read_failure, write_failure};

/// Beside a recipe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    /// ARN in the control plane; none for a local recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_version_arn: Option<String>,
    /// SHA-256 of the recipe file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe_digest: Option<String>,
    /// SHA-256 of artifacts that came without a digest, as they were when they were taken in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub artifact_digests: BTreeMap<String, String>,
}

pub(super) fn stem(root: &Path, name: &str, version: &str) -> PathBuf {
    root.join("packages/recipes").join(format!("{}@{version}", name_hash(name)))
}

pub(super) fn with_suffix(stem: &Path, suffix: &str) -> PathBuf {
    let mut text = stem.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

pub(crate) fn recipe_path(root: &Path, name: &str, version: &str) -> PathBuf {
    with_suffix(&stem(root, name, version), ".recipe.yaml")
}

pub(crate) fn metadata_path(root: &Path, name: &str, version: &str) -> PathBuf {
    with_suffix(&stem(root, name, version), ".metadata.json")
}

/// Stores a recipe; `arn` is none for a local one. Known digests of artifacts stay.
pub(crate) async fn save(disk: &dyn Disk, root: &Path, recipe: &Recipe, arn: Option<&str>) -> Result<(), Failure> {
    let version = recipe.version.to_string();
    let text = recipe.to_json().to_string().into_bytes();
    let path = recipe_path(root, &recipe.name, &version);
    let digest = sha256_base64(&text);
    let old = metadata(root, &recipe.name, &version).unwrap_or_default();
    let is_there = || std::fs::read(&path).is_ok_and(|stored| stored == text);
    if old.recipe_digest.as_ref() == Some(&digest) && old.component_version_arn.as_deref() == arn && is_there() {
        return Ok(());
    }
    // the metadata goes first: a recipe without its digest would be trusted, one with another digest is not
    let metadata = Metadata {
        component_version_arn: arn.map(str::to_owned),
        recipe_digest: Some(digest),
        artifact_digests: old.artifact_digests,
    };
    save_metadata(disk, root, &recipe.name, &version, &metadata).await?;
    disk.step("recipe").await;
    disk.write(&path, text.into()).await.map_err(|error| write_failure(&path, &error))
}

pub(crate) async fn save_metadata(
    disk: &dyn Disk,
    root: &Path,
    name: &str,
    version: &str,
    metadata: &Metadata,
) -> Result<(), Failure> {
    let path = metadata_path(root, name, version);
    let text = serde_json::to_vec(metadata).expect("metadata is plain data");
    disk.step("metadata").await;
    disk.write(&path, text.into()).await.map_err(|error| write_failure(&path, &error))
}

pub(crate) fn metadata(root: &Path, name: &str, version: &str) -> Option<Metadata> {
    let text = std::fs::read(metadata_path(root, name, version)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Loads a stored recipe and checks that it is the one that was stored.
pub(crate) fn load(root: &Path, name: &str, version: &Version) -> Result<Arc<Recipe>, Failure> {
    let version = version.to_string();
    let path = recipe_path(root, name, &version);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::new(
                ErrorCode::LocalRecipeNotFound,
                format!("there is no recipe of {name} {version}"),
            ));
        }
        Err(error) => return Err(read_failure(&path, &error)),
    };
    let corrupted = |why: &str| {
        Failure::new(ErrorCode::LocalRecipeCorrupted, format!("the stored recipe of {name} {version} {why}"))
    };
    let digest = metadata(root, name, &version).and_then(|metadata| metadata.recipe_digest);
    if digest.is_some_and(|digest| digest != sha256_base64(&text)) {
        return Err(corrupted("was changed after it was stored"));
    }
    let recipe = marram_recipe::read(&text).recipe.ok_or_else(|| corrupted("cannot be read"))?;
    if recipe.name != name || recipe.version.to_string() != version {
        return Err(corrupted("is that of another component"));
    }
    Ok(Arc::new(recipe))
}

/// Versions of a component whose recipes are stored, in no order.
pub(crate) fn versions(root: &Path, name: &str) -> Vec<Version> {
    let prefix = format!("{}@", name_hash(name));
    let Ok(entries) = std::fs::read_dir(root.join("packages/recipes")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name();
            file.to_str()?.strip_prefix(&prefix)?.strip_suffix(".recipe.yaml")?.parse().ok()
        })
        .collect()
}
