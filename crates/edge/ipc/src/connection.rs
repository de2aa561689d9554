//! One client: reads frames, starts operations, writes answers and events (CR 6.4, 6.5).
//!
//! The [`Driver`] is one future per connection. Each turn reads what is there into a buffer shared by all connections of the
//! thread, handles every complete frame, gathers answers and events, and writes them with one call: an idle connection owns
//! no buffers. [`Connection`] is the part that others reach: publishers, finished operations, policy changes.

mod driver;
mod outcome;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::task::AtomicWaker;
use marram_edge_ports::{Caller, CallerKind, PortError};
use marram_eventstream::rpc;
use marram_eventstream::{FLAG_TERMINATE_STREAM, MessageType};
use marram_types::SecretString;
use tokio::task::AbortHandle;

pub(crate) use driver::Driver;
pub(crate) use outcome::write_error;

use crate::operation::Feed;
use crate::server::Door;
use crate::share::Share;
use crate::subscription::{Rest, Subscription};

/// Room kept for answers from outside the driver.
const KEEP_CAPACITY: usize = 4096;

/// What others may do with a connection.
pub(crate) struct Connection {
    pub(crate) door: Arc<Door>,
    known: OnceLock<Known>,
    outbox: Mutex<Outbox>,
    streams: Mutex<HashMap<u32, Open>>,
    waker: AtomicWaker,
    /// Operations that run in tasks of their own.
    running: AtomicUsize,
}

/// Who is at the other end.
struct Known {
    caller: Caller,
    share: Arc<Share>,
    /// A component's, which opens nothing any more once its processes are gone.
    token: Option<Box<SecretString>>,
}

#[derive(Default)]
struct Outbox {
    /// Encoded answers from outside the driver.
    frames: Vec<u8>,
    /// Subscriptions with events, each once.
    ready: VecDeque<Arc<Subscription>>,
    /// The server ends the connection.
    ended: bool,
}

/// An open stream.
enum Open {
    /// Its operation runs.
    Waiting,
    /// A local topic.
    Topic(Arc<Subscription>),
    /// Events that a task brings.
    Fed(Box<(Arc<Subscription>, AbortHandle)>),
}

impl Connection {
    pub(crate) fn new(door: Arc<Door>) -> Arc<Self> {
        Arc::new(Self {
            door,
            known: OnceLock::new(),
            outbox: Mutex::default(),
            streams: Mutex::default(),
            waker: AtomicWaker::new(),
            running: AtomicUsize::new(0),
        })
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u32, Open>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is at the other end, once that is known.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.known.get().map(|known| &known.caller)
    }

    /// The caller's part of the door, once it is known.
    pub(crate) fn share(&self) -> Option<&Share> {
        self.known.get().map(|known| &*known.share)
    }

    /// Ends the connection when the token that opened it has become worthless: whoever holds it may not be a process of the
    /// component, where that is not checked (CR 6.1).
    pub(crate) fn end_if_revoked(&self) {
        let token = self.known.get().and_then(|known| known.token.as_ref());
        if token.is_some_and(|token| self.door.ports.identities.owner_of(token.expose()).is_none()) {
            self.end();
        }
    }

    /// The caller's name for log lines.
    pub(crate) fn caller_name(&self) -> &str {
        self.caller().map_or("", |caller| &caller.name)
    }

    /// Puts a subscription with events in line.
    pub(crate) fn list(&self, subscription: Arc<Subscription>) {
        let mut outbox = self.outbox();
        // A connection that is gone would keep itself alive through its own list.
        if !outbox.ended {
            outbox.ready.push_back(subscription);
            drop(outbox);
            self.waker.wake();
        }
    }

    /// Ends the connection after what is queued.
    pub(crate) fn end(&self) {
        self.outbox().ended = true;
        self.waker.wake();
    }

    /// How many streams are open.
    fn open_streams(&self) -> usize {
        self.streams().len()
    }

    /// Opens a stream of local messages.
    fn open_topic(self: &Arc<Self>, subscription: Arc<Subscription>) {
        self.door.topics.add(&subscription);
        self.opened(&subscription);
        self.streams().insert(subscription.stream, Open::Topic(subscription));
    }

    /// Opens a stream that `feed` fills; its response is written already.
    fn open_feed(self: &Arc<Self>, subscription: Arc<Subscription>, mut feed: Feed) {
        let stream = subscription.stream;
        let to = Arc::clone(&subscription);
        let task = tokio::spawn(async move {
            use futures_util::StreamExt as _;
            let mut frame = Vec::new();
            while let Some(event) = feed.next().await {
                frame.clear();
                let shape = to.connection.door.shapes.event(to.operation);
                match shape.write(&mut frame, 0, &event) {
                    Ok(()) => {
                        let dropped = to.push(&frame[..].into());
                        to.connection.door.counters.dropped(dropped);
                    }
                    Err(error) => tracing::warn!(operation = to.operation.name(), %error, "an event is lost"),
                }
            }
            to.end();
        });
        self.opened(&subscription);
        self.streams().insert(stream, Open::Fed(Box::new((subscription, task.abort_handle()))));
    }

    fn opened(&self, subscription: &Subscription) {
        self.door.counters.subscribed(1);
        if let Some(share) = self.share() {
            share.subscribed(subscription.resource.len());
        }
    }

    /// Forgets a stream, whoever wanted that; false if it was not open.
    fn close(&self, stream: u32) -> bool {
        let open = self.streams().remove(&stream);
        match open {
            None => false,
            Some(open) => {
                self.dispose(open);
                true
            }
        }
    }

    fn dispose(&self, open: Open) {
        let subscription = match open {
            Open::Waiting => return,
            Open::Topic(subscription) => {
                self.door.topics.remove(&subscription);
                subscription
            }
            Open::Fed(fed) => {
                fed.1.abort();
                fed.0
            }
        };
        subscription.close();
        self.door.counters.unsubscribed(1);
        if let Some(share) = self.share() {
            share.unsubscribed(subscription.resource.len());
        }
    }

    /// Ends a stream with an error.
    fn terminate(&self, stream: u32, error: &PortError) {
        if self.close(stream) {
            write_error(&mut self.outbox().frames, stream, error);
            self.waker.wake();
        }
    }

    /// Ends every subscription that the policies no longer grant (CR 6.9).
    pub(crate) fn recheck(&self) {
        let Some(caller) = self.caller().filter(|caller| caller.kind == CallerKind::Component) else { return };
        let denied: Vec<_> = {
            let streams = self.streams();
            let subscriptions = streams.values().filter_map(|open| match open {
                Open::Waiting => None,
                Open::Topic(subscription) => Some(subscription),
                Open::Fed(fed) => Some(&fed.0),
            });
            let check = |subscription: &&Arc<Subscription>| {
                self.door.recheck(caller, subscription.operation, &subscription.resource).err()
            };
            subscriptions.filter_map(|one| check(&one).map(|error| (one.stream, error))).collect()
        };
        for (stream, error) in denied {
            self.terminate(stream, &error);
        }
    }

    /// Everything the connection held is given back.
    fn abandon(&self) {
        let streams = std::mem::take(&mut *self.streams());
        for open in streams.into_values() {
            self.dispose(open);
        }
        *self.outbox() = Outbox { ended: true, ..Outbox::default() };
    }

    /// Appends what others left here, events until `out` holds `limit` bytes; whether the server ends the connection.
    fn collect(&self, out: &mut Vec<u8>, limit: usize) -> bool {
        let mut outbox = self.outbox();
        if !outbox.frames.is_empty() {
            out.append(&mut outbox.frames);
            outbox.frames.shrink_to(KEEP_CAPACITY);
        }
        let ended = outbox.ended;
        while out.len() < limit {
            let Some(subscription) = outbox.ready.pop_front() else { break };
            drop(outbox);
            match subscription.drain(out, limit) {
                Rest::Empty => outbox = self.outbox(),
                Rest::More => {
                    outbox = self.outbox();
                    outbox.ready.push_back(subscription);
                }
                Rest::Ended => {
                    if self.close(subscription.stream) {
                        write_end(out, subscription.stream);
                    }
                    outbox = self.outbox();
                }
            }
        }
        ended
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// The server's end of a subscription: an empty message with the flag (CR 6.5).
fn write_end(out: &mut Vec<u8>, stream: u32) {
    rpc::Template::new(MessageType::ApplicationMessage, FLAG_TERMINATE_STREAM, &[])
        .and_then(|template| template.write(out, stream, &[]))
        .expect("three short headers fit every limit");
}
