//! Room on the disk that a core keeps for its own writes: whoever fills the disk does not keep the core from working (CR 4.8).

use std::fmt::Debug;

/// The disk below the root, as far as the core's own writes go.
pub trait Room: Debug + Send + Sync {
    /// Whether no room is left but what is kept.
    fn is_full(&self) -> bool;

    /// Bytes that are kept.
    fn kept_bytes(&self) -> u64;

    /// Called when a write of the core's own failed: gives the kept room up until the answer is dropped, and lets no component write
    /// meanwhile; what is left of it is taken back then. None: the disk is not full, or nothing is kept. Blocks for some milliseconds.
    fn open(&self) -> Option<Box<dyn Send>>;
}

/// A disk without an end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Endless;

impl Room for Endless {
    fn is_full(&self) -> bool {
        false
    }

    fn kept_bytes(&self) -> u64 {
        0
    }

    fn open(&self) -> Option<Box<dyn Send>> {
        None
    }
}
