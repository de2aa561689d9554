//! Live streams: server-sent events of one session (the contract's "Live").
//!
//! A stream is a task of its own. It never waits for its reader: pieces go through a bounded channel, what does not fit is
//! counted, and the reader is told (`lost`) as soon as there is room again. So a slow browser delays neither the broker nor
//! the flows nor another browser. A stream ends when its session ends or its permission is gone.

mod executions;
mod mqtt;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use marram_aws_api::ApiError;
use marram_http::ResponseBody;
use marram_identity::{CallContext, CallFacts, TlsDetails};
use marram_types::RequestId;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::request::Asked;
use crate::session::Session;

/// Streams a session may have open.
const MAX_STREAMS: usize = 8;
/// Pieces that may wait for a reader; a piece is [`PIECE_BYTES`] and one event at most.
const MAX_PIECES: usize = 32;
/// A piece this large is sent before more is added to it.
const PIECE_BYTES: usize = 64 << 10;
/// Time between signs of life. What a stream may is looked at as often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One place among a session's streams.
struct Place(Arc<Session>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whose stream it is, and what may be asked in its name.
pub(crate) struct Watcher {
    console: Console,
    session: Arc<Session>,
    facts: CallFacts,
    _place: Place,
}

/// The writing end of a stream.
pub(crate) struct Events {
    pieces: mpsc::Sender<Bytes>,
    /// Events written into `piece`, which waits to be sent.
    piece: BytesMut,
    in_piece: u64,
    lost: u64,
}

impl Console {
    /// A place for a stream, and its two ends.
    ///
    /// # Errors
    /// `LimitExceededException` when the session has enough of them.
    fn open_stream(&self, asked: &Asked<'_>, person: &Person) -> Result<(Watcher, Events, ResponseBody), ApiError> {
        let session = Arc::clone(&person.session);
        let streams = &session.streams;
        let take = |count: usize| (count < MAX_STREAMS).then_some(count + 1);
        if streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(fault::too_many_streams(MAX_STREAMS));
        }
        let place = Place(Arc::clone(&session));
        let context = self.context(asked, person)?;
        let facts = CallFacts {
            region: context.region.clone(),
            request_id: RequestId::fresh(),
            source_ip: context.source_ip,
            user_agent: context.user_agent.clone(),
            now: context.now,
            operation: context.operation,
            request_parameters: Value::Null,
            tls: TlsDetails::default(),
        };
        let (pieces, receiver) = mpsc::channel(MAX_PIECES);
        let mut events = Events { pieces, piece: BytesMut::new(), in_piece: 0, lost: 0 };
        events.add("ready", &json!({}));
        events.flush();
        let watcher = Watcher { console: self.clone(), session, facts, _place: place };
        Ok((watcher, events, ResponseBody::open(receiver)))
    }
}

impl Watcher {
    /// A context with what the person may now; `None` once the session has ended or the user is gone.
    fn context(&self) -> Option<CallContext> {
        let inner = &self.console.inner;
        let now = self.console.now();
        let session = inner.sessions.peek(&self.session.hash, now)?;
        let principal = session.principal(&inner.identity)?;
        let facts = CallFacts { now, request_id: RequestId::fresh(), ..self.facts.clone() };
        Some(inner.identity.context(principal, facts))
    }

    /// Resolves when somebody ended the session.
    async fn over(&self) {
        // An error means that the session is gone altogether.
        let _ = self.session.over().wait_for(|over| *over).await;
    }

    /// Whether the person may do this now.
    fn may(&self, action: &str, resource: &str) -> bool {
        self.context().is_some_and(|context| context.may(action, resource, |_| {}))
    }
}

impl Events {
    /// Adds an event to the piece under way; a large piece is sent.
    fn add(&mut self, event: &str, data: &Value) {
        self.piece.extend_from_slice(format!("event: {event}\ndata: {data}\n\n").as_bytes());
        self.in_piece += 1;
        if self.piece.len() >= PIECE_BYTES {
            self.flush();
        }
    }

    /// Counts events that were lost before they came here.
    fn missed(&mut self, count: u64) {
        self.lost += count;
    }

    /// Sends what was added, or counts it as lost.
    fn flush(&mut self) {
        if self.lost > 0 {
            let told = format!("event: lost\ndata: {}\n\n", json!({"count": self.lost}));
            if self.pieces.try_send(Bytes::from(told)).is_ok() {
                self.lost = 0;
            }
        }
        if self.piece.is_empty() {
            return;
        }
        let piece = self.piece.split().freeze();
        let count = std::mem::take(&mut self.in_piece);
        // After a loss nothing may come before its telling.
        if self.lost > 0 || self.pieces.try_send(piece).is_err() {
            self.lost += count;
        }
    }

    /// A sign of life, and of death: `false` when the reader has gone.
    fn beat(&mut self) -> bool {
        // A reader that has not read the last one needs no further sign.
        let _ = self.pieces.try_send(Bytes::from_static(b": heartbeat\n\n"));
        self.flush();
        !self.pieces.is_closed()
    }
}

/// Ticks of a stream's heart; the first comes after a whole interval.
async fn heart() -> Interval {
    let mut heart = interval(HEARTBEAT);
    heart.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heart.tick().await;
    heart
}
