//! What was unpacked: `packages/recipes/<hash of name>@<version>.unpacked.json`, the digest of every file of every archive (CR 1.6).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use marram_deploy::Failure;
use serde::{Deserialize, Serialize};

use super::recipes;
use crate::disk::{Disk, write_failure};
use crate::integrity::Expected;

/// Content of one archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Digest of the archive, in the algorithm that its recipe names: a list of another archive means nothing.
    pub archive: String,
    /// SHA-256 of its files by relative path.
    pub files: BTreeMap<String, String>,
}

impl Record {
    /// What has to be in the folder it was unpacked into.
    pub fn expected(&self, folder: &Path) -> impl Iterator<Item = Expected> {
        self.files.iter().map(move |(name, digest)| Expected {
            path: folder.join(name),
            algorithm: "SHA-256".to_owned(),
            digest: Some(digest.clone()),
        })
    }
}

/// Records by the archive's file name.
pub(crate) type Records = BTreeMap<String, Record>;

fn path(root: &Path, component: &str, version: &str) -> PathBuf {
    recipes::with_suffix(&recipes::stem(root, component, version), ".unpacked.json")
}

/// What is recorded; nothing where there is no record that can be read, which is then made anew from the archives.
pub(crate) fn read(root: &Path, component: &str, version: &str) -> Records {
    let text = std::fs::read(path(root, component, version)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Forgets it; an error leaves it, and the archives are unpacked anew.
pub(crate) fn forget(root: &Path, component: &str, version: &str) {
    let _ = std::fs::remove_file(path(root, component, version));
}

pub(crate) async fn write(
    disk: &dyn Disk,
    root: &Path,
    component: &str,
    version: &str,
    records: &Records,
) -> Result<(), Failure> {
    let path = path(root, component, version);
    let text = serde_json::to_vec(records).expect("records are plain data");
    disk.step("unpacked").await;
    disk.write(&path, text.into()).await.map_err(|error| write_failure(&path, &error))
}
