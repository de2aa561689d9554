//! Whether the files of a component are those that were taken in, asked before anything of it is started (CR 1.6, SEC-157).

use crate::Later;

/// Why nothing of a component is to be started. Each tells which file, what is the matter with it, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A file is not what it was: trying again does not help.
    #[error("{0}")]
    Changed(String),
    /// It cannot be read now.
    #[error("{0}")]
    Unreadable(String),
}

/// Knows what the files of component versions have to be.
pub trait Files: Send + Sync {
    /// Compares recipe, artifacts and what was unpacked with what was taken in. Cheap when nothing was touched since the last time.
    fn verify<'a>(&'a self, component: &'a str, version: &'a str) -> Later<'a, (), FilesError>;
}
