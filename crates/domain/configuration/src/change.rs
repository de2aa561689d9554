//! What a write did, and how it looks to a watcher.

use smol_str::SmolStr;

/// What happened at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A leaf appeared.
    Initialized,
    /// A leaf has another value.
    Changed,
    /// A leaf or a whole subtree is gone; told once, for its top.
    Removed,
    /// A map appeared.
    InteriorAdded,
    /// Same value, newer time.
    TimestampUpdated,
}

/// One change of a tree. The tree already shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Keys from the root, as spelled in the tree.
    pub path: Vec<SmolStr>,
    /// What happened.
    pub kind: ChangeKind,
    /// Time of the write, milliseconds.
    pub time: i64,
}

/// The words of CR 3.1 for a watcher of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The watched leaf appeared.
    Initialized,
    /// The watched leaf changed.
    Changed,
    /// Something below changed or appeared.
    ChildChanged,
    /// The watched place, or something above it, is gone.
    Removed,
    /// Something below is gone.
    ChildRemoved,
    /// A map appeared at or below.
    InteriorAdded,
    /// Only a time moved, at or below.
    TimestampUpdated,
}

impl Change {
    /// What a watcher of `watched` (and all below) is told; none when it is none of its business.
    pub fn seen_from<S: AsRef<str>>(&self, watched: &[S]) -> Option<Event> {
        let shared = self.path.iter().zip(watched).take_while(|(a, b)| a.eq_ignore_ascii_case(b.as_ref())).count();
        if shared < watched.len() {
            return (self.kind == ChangeKind::Removed && shared == self.path.len()).then_some(Event::Removed);
        }
        let below = self.path.len() > watched.len();
        Some(match self.kind {
            ChangeKind::Initialized | ChangeKind::Changed if below => Event::ChildChanged,
            ChangeKind::Initialized => Event::Initialized,
            ChangeKind::Changed => Event::Changed,
            ChangeKind::Removed if below => Event::ChildRemoved,
            ChangeKind::Removed => Event::Removed,
            ChangeKind::InteriorAdded => Event::InteriorAdded,
            ChangeKind::TimestampUpdated => Event::TimestampUpdated,
        })
    }
}
