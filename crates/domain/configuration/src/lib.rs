//! The configuration tree: timestamps per leaf, merge and reset, provenance.
//!
//! One tree holds everything a core remembers (CR 3): interior nodes are maps with case-insensitive keys, leaves are
//! null, text, number, boolean or list. Every node knows when it was written, every leaf also by whom. Writes answer
//! the [`Change`]s they made; whoever owns a tree makes those durable and tells the watchers. Nothing here does I/O.
//!
//! ```text
//! write.rs    the write rule, merge, replace, remove       (CR 3.1, 3.4)
//! update.rs   reset -> defaults -> merge, IPC updates      (CR 3.3, 3.5)
//! export.rs   JSON with and without times
//! tlog.rs     reading the log of the original              (CR 3.7)
//! ```

mod change;
mod export;
mod key;
mod node;
mod tlog;
mod update;
mod write;

pub use change::{Change, ChangeKind, Event};
pub use export::ImportError;
pub use key::Key;
pub use node::{Explained, Interior, Leaf, Node, Origin, Tree};
pub use tlog::{Imported, TlogError, read_tlog};
pub use update::{ConfigurationUpdate, Pointer, Update, UpdateError};
pub use write::{Behavior, Mode, Write};

/// Time of a recipe's default: older than anything a person or component writes (CR 3.1).
pub const DEFAULT_TIME: i64 = 1;
/// Deepest place of a tree; deeper writes are refused at the doors (our limit, that of the JSON reader).
pub const MAX_DEPTH: usize = 100;
/// Values that a component's own updates may bring its configuration to (our limit): every one is kept in memory, with its story,
/// and on the disk.
pub const MAX_UPDATED_LEAVES: usize = 10_000;
/// Bytes of names and values that a component's own updates may bring its configuration to (our limit), a sixteenth of what an
/// answer holds (CR 6.2).
pub const MAX_UPDATED_BYTES: usize = 1024 * 1024;
