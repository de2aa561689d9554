//! Taking in local recipes and artifacts (CR 1.1, 4.5).

use std::path::{Path, PathBuf};

use marram_deploy::{ErrorCode, Failure};

use super::recipes;
use crate::Inner;
use crate::disk::{read_failure, write_failure};

/// Most recipes of a folder (our limit).
const MAX_FILES: usize = 1_000;

/// Takes in every recipe of a folder: `*.yaml`, `*.yml`, `*.json` that are not empty. One bad file fails all. Files that are in the
/// store stay what they were taken in as: only who gives one again changes that.
pub(crate) async fn recipe_folder(inner: &Inner, folder: &Path) -> Result<(), Failure> {
    for path in entries(folder)? {
        let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !matches!(extension.as_str(), "yaml" | "yml" | "json") || !path.is_file() {
            continue;
        }
        let size = std::fs::metadata(&path).map_err(|error| read_failure(&path, &error))?.len();
        if size == 0 {
            continue;
        }
        if size > marram_recipe::MAX_RECIPE as u64 {
            let cause = format!("{} is larger than {} bytes", path.display(), marram_recipe::MAX_RECIPE);
            return Err(Failure::new(ErrorCode::RecipeParseError, cause));
        }
        let bytes = std::fs::read(&path).map_err(|error| read_failure(&path, &error))?;
        let reading = marram_recipe::read(&bytes);
        let Some(recipe) = &reading.recipe else {
            let first = reading.errors().next().map(ToString::to_string).unwrap_or_default();
            let cause = format!("{}: {first}", path.display());
            return Err(Failure::new(ErrorCode::RecipeParseError, cause));
        };
        let _turn = inner.watch.turn(&recipe.name).await;
        recipes::save(inner.disk.as_ref(), &inner.settings.root, recipe, None).await?;
    }
    Ok(())
}

/// Takes in a tree `<component>/<version>/<file>`; links and deeper folders are left out.
pub(crate) async fn artifact_folder(inner: &Inner, folder: &Path) -> Result<(), Failure> {
    for component in entries(folder)? {
        for version in entries_if_folder(&component)? {
            for file in entries_if_folder(&version)? {
                let is_file = std::fs::symlink_metadata(&file).is_ok_and(|facts| facts.is_file());
                let (Some(name), Some(number)) = (name_of(&component), name_of(&version)) else { continue };
                let is_named = marram_recipe::check_component_name(name).is_ok();
                if !is_file || !is_named || number.parse::<marram_version::Version>().is_err() {
                    continue;
                }
                copy(inner, &file, name, number).await?;
            }
        }
    }
    Ok(())
}

async fn copy(inner: &Inner, file: &Path, component: &str, version: &str) -> Result<(), Failure> {
    let Some(name) = name_of(file) else { return Ok(()) };
    let folder = super::artifact_folder(&inner.settings.root, component, version);
    std::fs::create_dir_all(&folder).map_err(|error| write_failure(&folder, &error))?;
    let to = folder.join(name);
    let bytes = std::fs::read(file).map_err(|error| read_failure(file, &error))?;
    // whoever gives a file again means it to take the place of the old one, whatever was known of that
    let _turn = inner.watch.turn(component).await;
    let digest = super::sha256_base64(&bytes);
    inner.ports.disk.step("import").await;
    inner.ports.disk.write(&to, bytes.into()).await.map_err(|error| write_failure(&to, &error))?;
    super::artifacts::remember(inner, component, version, name, &digest).await
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| !name.starts_with('.'))
}

fn entries_if_folder(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir());
    if is_folder { entries(path) } else { Ok(Vec::new()) }
}

/// Entries sorted by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read = std::fs::read_dir(folder).map_err(|error| read_failure(folder, &error))?;
    let mut all: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).take(MAX_FILES).collect();
    all.sort();
    Ok(all)
}
