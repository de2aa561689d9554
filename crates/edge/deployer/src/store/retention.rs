//! What goes after a deployment: all but the current and the previous version of each component (CR 4.12).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{name_hash, unpacked};

/// What the versions of components lie in, below the root.
const FOLDERS: [&str; 2] = ["packages/artifacts", "packages/artifacts-unarchived"];

/// Component versions to keep: those deployed, and the distinct one each had before.
pub(crate) fn kept(services: &Value) -> BTreeSet<(String, String)> {
    let mut kept = BTreeSet::new();
    for (name, tree) in services.as_object().into_iter().flatten() {
        for key in ["version", "previousVersion"] {
            if let Some(version) = tree.get(key).and_then(Value::as_str) {
                kept.insert((name.clone(), version.to_owned()));
            }
        }
    }
    kept
}

/// Deletes recipes, metadata, artifacts and unpacked archives of all other versions. What cannot be deleted stays for
/// the next time.
pub(crate) fn clean(root: &Path, kept: &BTreeSet<(String, String)>) {
    let stems: BTreeSet<String> = kept.iter().map(|(name, version)| format!("{}@{version}", name_hash(name))).collect();
    for path in entries(&root.join("packages/recipes")) {
        let name = name_of(&path);
        let stem =
            [".recipe.yaml", ".metadata.json", ".unpacked.json"].iter().find_map(|suffix| name.strip_suffix(suffix));
        if stem.is_none_or(|stem| !stems.contains(stem)) {
            let _ = std::fs::remove_file(&path);
        }
    }
    for folder in FOLDERS {
        for component in entries(&root.join(folder)) {
            for version in entries(&component) {
                if !kept.contains(&(name_of(&component), name_of(&version))) {
                    let _ = std::fs::remove_dir_all(&version);
                }
            }
            // goes only when it is empty
            let _ = std::fs::remove_dir(&component);
        }
    }
}

/// Deletes artifacts and unpacked archives of one component's other versions. Their recipes stay: what they name is fetched anew.
pub(crate) fn clean_component(root: &Path, name: &str, kept: &BTreeSet<(String, String)>) {
    for folder in FOLDERS {
        for version in entries(&root.join(folder).join(name)) {
            let number = name_of(&version);
            if !kept.contains(&(name.to_owned(), number.clone())) {
                // First the list of what was unpacked: without it nothing is missed.
                unpacked::forget(root, name, &number);
                let _ = std::fs::remove_dir_all(&version);
            }
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|read| read.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}
