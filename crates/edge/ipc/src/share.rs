//! What one caller takes of the door through all of its connections: nobody takes what the others need (our limits).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use smol_str::SmolStr;

/// Bytes of events that wait for one caller, on whatever streams; a single event is kept if it is alone.
pub(crate) const MAX_QUEUED: usize = 32 * 1024 * 1024;
/// Bytes of the topics and filters that one caller subscribes to.
pub(crate) const MAX_RESOURCES: usize = 16 * 1024 * 1024;

/// One caller's part.
#[derive(Debug, Default)]
pub(crate) struct Share {
    connections: AtomicUsize,
    queued: AtomicUsize,
    resources: AtomicUsize,
}

impl Share {
    /// Whether `more` bytes of events may be queued.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        let queued = self.queued.load(Ordering::Relaxed);
        queued == 0 || queued + more <= MAX_QUEUED
    }

    pub(crate) fn queue(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unqueue(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether another subscription of this length may be opened.
    pub(crate) fn may_subscribe(&self, bytes: usize) -> bool {
        self.resources.load(Ordering::Relaxed) + bytes <= MAX_RESOURCES
    }

    pub(crate) fn subscribed(&self, bytes: usize) {
        self.resources.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unsubscribed(&self, bytes: usize) {
        self.resources.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The parts of all callers that have connections.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<HashMap<SmolStr, Arc<Share>>>);

impl Shares {
    /// The caller's part, with one more connection; none when it has `limit` of them.
    pub(crate) fn enter(&self, caller: &SmolStr, limit: usize) -> Option<Arc<Share>> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(caller.clone()).or_default();
        if share.connections.load(Ordering::Relaxed) >= limit {
            return None;
        }
        share.connections.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(share))
    }

    /// One connection of the caller is gone.
    pub(crate) fn leave(&self, caller: &SmolStr) {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.get(caller).is_some_and(|share| share.connections.fetch_sub(1, Ordering::Relaxed) == 1) {
            shares.remove(caller);
        }
    }
}
