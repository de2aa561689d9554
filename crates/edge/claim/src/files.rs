//! What a claim leaves on the disk, each file whole or not there.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::ClaimError;

pub(crate) const SECRET: u32 = 0o600;
pub(crate) const OPEN: u32 = 0o644;

/// A folder whose files are durable when a call returns.
#[derive(Debug, Clone)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the folder, for its owner alone.
    pub(crate) fn make(&self) -> Result<(), ClaimError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|source| ClaimError::File { path: self.0.clone(), source })
    }

    /// Puts a file in place of an old one.
    pub(crate) fn write(&self, name: &str, mode: u32, text: &str) -> Result<(), ClaimError> {
        let path = self.path(name);
        let fresh = self.path(&format!("{name}.new"));
        let write = || {
            if fresh.exists() {
                fs::remove_file(&fresh)?;
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            fs::File::open(&self.0)?.sync_all()
        };
        write().map_err(|source| ClaimError::File { path: path.clone(), source })
    }

    /// The text of a file; none when it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, ClaimError> {
        match read(&self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(ClaimError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The content of a JSON file; none when it is not there or is not ours.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClaimError> {
        Ok(self.read(name)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), ClaimError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ClaimError::File { path, source }),
            _ => Ok(()),
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<String, ClaimError> {
    fs::read_to_string(path).map_err(|source| ClaimError::File { path: path.to_owned(), source })
}
