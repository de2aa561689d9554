//! One process per data directory: an exclusively locked file, released by the kernel when its holder dies.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::StoreError;

/// Holds the lock as long as it lives.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Makes the directory (0700) when missing and locks it.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let io = |error: io::Error| StoreError::Io(format!("{}: {error}", dir.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let file = private_file(&dir.join("store.lock")).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }
}

/// Opens or creates a file that only its owner can read (0600).
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
