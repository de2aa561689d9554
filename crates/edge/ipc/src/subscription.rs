//! One open stream of events: a bounded queue that its connection drains (CR 6.10).
//!
//! A subscriber that reads too slowly loses its oldest events, counted and logged, and holds nobody up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marram_eventstream::rpc;

use crate::connection::Connection;
use crate::operation::Operation;

/// Events a subscriber may lag behind (CR 6.10).
pub(crate) const MAX_EVENTS: usize = 1000;
/// Bytes a subscriber may lag behind (CR 6.10); one larger event is kept if it is alone.
pub(crate) const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Queues above this are given back when they run empty, so that idle subscriptions stay small.
const KEEP_CAPACITY: usize = 8;

/// A frame encoded once, shared by all who receive it; its stream id is filled in when it is sent.
pub(crate) type Event = Arc<[u8]>;

/// A stream that carries events.
pub(crate) struct Subscription {
    pub(crate) connection: Arc<Connection>,
    pub(crate) stream: u32,
    pub(crate) operation: Operation,
    /// Messages of the component itself are left out (CR 6.10).
    pub(crate) others_only: bool,
    /// What the policy was asked for: the filter of a topic, a component name, ...
    pub(crate) resource: Arc<str>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    events: VecDeque<Event>,
    bytes: usize,
    dropped: u64,
    /// Stands in its connection's list of subscriptions with events.
    listed: bool,
    /// Nothing is accepted any more.
    closed: bool,
}

/// What is left after draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Empty,
    More,
    /// The source ended: the stream is to be closed.
    Ended,
}

impl Subscription {
    pub(crate) fn new(
        connection: Arc<Connection>,
        stream: u32,
        operation: Operation,
        resource: Arc<str>,
        others_only: bool,
    ) -> Arc<Self> {
        Arc::new(Self { connection, stream, operation, others_only, resource, pending: Mutex::default() })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event; answers how many old ones had to go.
    pub(crate) fn push(self: &Arc<Self>, event: &Event) -> u64 {
        let mut pending = self.pending();
        if pending.closed {
            return 0;
        }
        let before = pending.dropped;
        let share = self.connection.share();
        let is_full = |pending: &Pending| {
            pending.events.len() >= MAX_EVENTS
                || pending.bytes + event.len() > MAX_BYTES
                || share.is_some_and(|share| !share.has_room(event.len()))
        };
        while !pending.events.is_empty() && is_full(&pending) {
            let Some(oldest) = pending.events.pop_front() else { break };
            pending.bytes -= oldest.len();
            pending.dropped += 1;
            if let Some(share) = share {
                share.unqueue(oldest.len());
            }
        }
        // Nothing of its own is left, and what waits on other streams of the caller fills its part.
        let is_lost = share.is_some_and(|share| !share.has_room(event.len()));
        pending.dropped += u64::from(is_lost);
        let dropped = pending.dropped - before;
        // The first loss is told at once, later ones now and then.
        let tell = dropped > 0 && (before == 0 || before / 10_000 != pending.dropped / 10_000);
        let total = pending.dropped;
        if !is_lost {
            pending.bytes += event.len();
            pending.events.push_back(Arc::clone(event));
            if let Some(share) = share {
                share.queue(event.len());
            }
        }
        let list = !is_lost && !std::mem::replace(&mut pending.listed, true);
        drop(pending);
        if tell {
            let component = self.connection.caller_name();
            tracing::warn!(component, resource = %self.resource, dropped = total, "a subscriber reads too slowly");
        }
        if list {
            self.connection.list(Arc::clone(self));
        }
        dropped
    }

    /// The source has no more events: the stream ends after those that are queued.
    pub(crate) fn end(self: &Arc<Self>) {
        let mut pending = self.pending();
        pending.closed = true;
        let list = !std::mem::replace(&mut pending.listed, true);
        drop(pending);
        if list {
            self.connection.list(Arc::clone(self));
        }
    }

    /// Drops what is queued and accepts nothing more; the stream is gone.
    pub(crate) fn close(&self) {
        let mut pending = self.pending();
        pending.closed = true;
        pending.events = VecDeque::new();
        self.taken(std::mem::take(&mut pending.bytes));
    }

    /// These bytes do not wait any more.
    fn taken(&self, bytes: usize) {
        if let Some(share) = self.connection.share() {
            share.unqueue(bytes);
        }
    }

    /// Appends events to `out` until it holds `limit` bytes.
    pub(crate) fn drain(&self, out: &mut Vec<u8>, limit: usize) -> Rest {
        let mut pending = self.pending();
        while out.len() < limit {
            let Some(event) = pending.events.pop_front() else {
                pending.listed = false;
                if pending.events.capacity() > KEEP_CAPACITY {
                    pending.events = VecDeque::new();
                }
                return if pending.closed { Rest::Ended } else { Rest::Empty };
            };
            pending.bytes -= event.len();
            self.taken(event.len());
            rpc::write_for_stream(out, &event, self.stream);
        }
        Rest::More
    }
}
