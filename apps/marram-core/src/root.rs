//! The root directory: its folders and their modes (CR 9.1).

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Folders below the root and their modes. The root itself and what component users pass through can be entered by all.
const FOLDERS: [(&str, u32); 13] = [
    ("alts", 0o700),
    ("bin", 0o755),
    ("cli_ipc_info", 0o755),
    ("config", 0o700),
    ("deployments", 0o700),
    ("logs", 0o700),
    ("packages", 0o755),
    ("packages/recipes", 0o700),
    ("packages/artifacts", 0o755),
    ("packages/artifacts-unarchived", 0o755),
    ("private", 0o711),
    ("telemetry", 0o700),
    ("work", 0o755),
];

/// The root cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// It cannot be made or read.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read what must be private.
    #[error("{path} can be read by others (mode {mode:04o}): run `chmod go-rwx` on it and check who read it")]
    Exposed {
        /// Where.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Makes what is missing; answers the absolute path.
pub(crate) fn prepare(root: &Path) -> Result<PathBuf, RootError> {
    make(root, 0o755)?;
    let root = fs::canonicalize(root).map_err(|source| RootError::Io { path: root.to_owned(), source })?;
    // Looked at before anything is made or mended below it.
    let config = root.join("config");
    if config.exists() {
        refuse_exposed(&config)?;
    }
    for (folder, mode) in FOLDERS {
        make(&root.join(folder), mode)?;
    }
    Ok(root)
}

/// Fails when group or others have any right on `path`.
pub(crate) fn refuse_exposed(path: &Path) -> Result<(), RootError> {
    let found = fs::metadata(path).map_err(|source| RootError::Io { path: path.to_owned(), source })?;
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 { Err(RootError::Exposed { path: path.to_owned(), mode }) } else { Ok(()) }
}

/// Empties what stands in for `/tmp` of components: like it, it does not outlive a start.
pub(crate) fn clear_private(root: &Path) {
    for entry in fs::read_dir(root.join("private")).into_iter().flatten().flatten() {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "a private folder cannot be removed");
        }
    }
}

/// Tells this root from others on the host: 16 hexadecimal digits.
pub(crate) fn id(root: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, root.as_os_str().as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

fn make(path: &Path, mode: u32) -> Result<(), RootError> {
    let io = |source| RootError::Io { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(io)?;
    // The umask may have taken bits away; a folder that exists may have too many.
    let present = fs::metadata(path).map_err(io)?.mode() & 0o7777;
    let wanted = if mode == 0o700 { 0o700 } else { present | mode };
    if present != wanted {
        fs::set_permissions(path, Permissions::from_mode(wanted)).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 9.1: modes as listed; a readable `config` stops the start.
    #[test]
    fn the_layout_has_the_listed_modes_and_exposure_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = prepare(&dir.path().join("new/root")).unwrap();
        for (folder, mode) in FOLDERS {
            assert_eq!(fs::metadata(root.join(folder)).unwrap().mode() & 0o7777, mode, "{folder}");
        }
        fs::set_permissions(root.join("logs"), Permissions::from_mode(0o755)).unwrap();
        prepare(&root).unwrap();
        assert_eq!(fs::metadata(root.join("logs")).unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(root.join("config"), Permissions::from_mode(0o750)).unwrap();
        let error = prepare(&root).unwrap_err();
        assert!(matches!(&error, RootError::Exposed { mode: 0o750, .. }), "{error}");
    }
}
