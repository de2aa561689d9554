//! The first tree of a core: a configuration file, or the log of the original runtime (CR 3.7, 5.5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use marram_configuration::{Change, Origin, Tree, Write, read_tlog};
use serde_json::Value;

/// Where the original keeps its log, best first (CR 3.7).
const LOGS: [&str; 4] = ["config.tlog", "config.tlog~", "bootstrap.tlog", "bootstrap.tlog~"];

/// A configuration file beyond this is a mistake.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImportFileError {
    /// It cannot be read.
    #[error("configuration file {file}: {source}")]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a YAML (or JSON) map.
    #[error("configuration file {file}: {cause}")]
    Malformed {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: String,
    },
}

/// The tree of an original runtime's root, from the first of its logs that can be read.
pub fn first_tree(config_dir: &Path) -> Option<Tree> {
    // A crash while the original shortened its log leaves the whole one under this name.
    let old = config_dir.join("config.tlog.old");
    let files = std::iter::once(old).chain(LOGS.iter().map(|name| config_dir.join(name)));
    for file in files {
        let Ok(bytes) = fs::read(&file) else { continue };
        match read_tlog(&bytes) {
            Ok(imported) if imported.entries > 0 => {
                tracing::info!(
                    file = %file.display(), entries = imported.entries, cut_bytes = imported.cut_bytes,
                    "configuration of another runtime taken over"
                );
                return Some(imported.tree);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(file = %file.display(), %error, "configuration log passed over"),
        }
    }
    None
}

/// The text of a configuration file and the map that it is.
///
/// # Errors
/// [`ImportFileError`].
pub fn read_file(file: &Path) -> Result<(String, Value), ImportFileError> {
    let io = |source| ImportFileError::Io { file: file.to_owned(), source };
    let malformed = |cause: String| ImportFileError::Malformed { file: file.to_owned(), cause };
    let found = fs::metadata(file).map_err(io)?;
    if found.len() > FILE_MAX_BYTES {
        return Err(malformed("is larger than 16 MiB".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(io)?;
    let value: Value = serde_saphyr::from_str(&text).map_err(|error| malformed(one_line(&error.to_string())))?;
    if !value.is_object() {
        return Err(malformed("is not a map".to_owned()));
    }
    Ok((text, value))
}

/// Merges a configuration file into `tree`, with the file's time.
///
/// # Errors
/// [`ImportFileError`]; the tree did not change.
pub fn merge_file(tree: &mut Tree, file: &Path) -> Result<Vec<Change>, ImportFileError> {
    let (_, value) = read_file(file)?;
    let found = fs::metadata(file).map_err(|source| ImportFileError::Io { file: file.to_owned(), source })?;
    let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = modified.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(1);
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let nowhere: &[&str] = &[];
    Ok(tree.merge(nowhere, &value, &Write::new(time, Origin::File(name.into()))))
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
