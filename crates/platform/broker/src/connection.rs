//! One attached connection, driven by polling: what wakes it, what it does then, and in which order.
//!
//! Each turn: obey signals; read and work through what is there; send acknowledgements that became due; move
//! deliveries from the inbox to the write buffer; write once. While nothing happens the connection owns no buffer:
//! those of a turn are borrowed from the thread.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use marram_mqtt::session::{InboundAliases, OutboundAliases};
use marram_mqtt::{ConnAck, Disconnect, Packet, PacketId, ReasonCode, Topic, Version, encode_puback};
use marram_mqtt_net::{ReadBuffer, Transport};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Sleep;

use crate::authorize::{ConnectAttributes, SessionAuthority};
use crate::broker::{Core, epoch_secs};
use crate::budget::Class;
use crate::connect::farewell;
use crate::deliver::Batch;
use crate::inbound::PublishEntry;
use crate::lifecycle::{self, DisconnectReason, Subject};
use crate::message::Message;
use crate::outbound::ReceiveEntry;
use crate::session::{Delivery, Session, Signal};
use crate::store::{Position, Record};
use crate::sweep;
use crate::tenant::World;
use crate::topic_cache::TopicCache;

/// Bytes gathered before a write, as long as there is room.
const WRITE_CHUNK: usize = 64 * 1024;
/// Bytes gathered before a write when there is none.
const WRITE_CHUNK_MIN: usize = 4 * 1024;
/// Chunks of unwritten bytes above which nothing more is read: the peer does not take our answers.
const UNWRITTEN_MAX: usize = 4;
/// Reads in one turn before others get theirs.
const READS_PER_TURN: u32 = 4;
/// A buffer of this size or less is not worth keeping for the thread.
const POOLED_MIN: usize = 4 * 1024;

/// A will and how long it waits.
#[derive(Debug)]
pub(crate) struct PendingWill {
    pub(crate) message: Box<Message>,
    pub(crate) delay_secs: u32,
}

/// Why and how a connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) reason: DisconnectReason,
    /// What a v5 client is told.
    pub(crate) code: Option<ReasonCode>,
    pub(crate) will: bool,
}

impl End {
    pub(crate) fn lost() -> Self {
        Self { reason: DisconnectReason::ConnectionLost, code: None, will: true }
    }

    pub(crate) fn told(reason: DisconnectReason, code: ReasonCode) -> Self {
        Self { reason, code: Some(code), will: true }
    }

    /// The client broke the protocol or a limit.
    pub(crate) fn client_error(code: ReasonCode) -> Self {
        Self::told(DisconnectReason::ClientError, code)
    }
}

/// An answer that cannot be sent yet, or waits behind one.
pub(crate) enum Owed {
    /// PUBACK once the position is durable.
    PubAck(Position, PacketId),
    /// Any other answer once the position is durable.
    Packet(Position, Box<Packet>),
    /// PUBACK with the reason an interceptor decides on.
    Decision(PacketId, oneshot::Receiver<ReasonCode>),
    /// Retained messages, once the SUBACK before them is out.
    Retained(Vec<Delivery>),
}

/// A publisher's wait for a full receiver.
struct Patience {
    receiver: Arc<Session>,
    /// What the receiver had read when the period began.
    taken: u64,
    until: Pin<Box<Sleep>>,
}

pub(crate) struct Connection<T> {
    pub(crate) core: Arc<Core>,
    pub(crate) world: Arc<World>,
    pub(crate) session: Arc<Session>,
    pub(crate) authority: Arc<dyn SessionAuthority>,
    pub(crate) transport: T,
    pub(crate) version: Version,
    /// The session was asked to outlive the connection, so DISCONNECT may change for how long.
    pub(crate) expiry_asked: bool,
    pub(crate) number: u64,
    pub(crate) id: uuid::Uuid,
    pub(crate) send_packet_maximum: usize,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    pub(crate) will: Option<PendingWill>,
    pub(crate) read: ReadBuffer,
    /// Work stopped before all packets of `read` were through.
    pub(crate) leftover: bool,
    pub(crate) out: BytesMut,
    /// Bytes of `out` that are counted.
    unwritten: usize,
    /// Taken from the inbox, not yet looked at.
    pub(crate) backlog: VecDeque<Delivery>,
    /// As many QoS 1 messages wait for the window as may.
    pub(crate) window_blocked: bool,
    pub(crate) owed: VecDeque<Owed>,
    /// Recorded messages the client acknowledged in this batch.
    pub(crate) settled: Vec<u64>,
    pub(crate) batch: Batch,
    /// When the packets at hand were read: one look at the clock per batch.
    pub(crate) read_at: Instant,
    pub(crate) published: TopicCache<PublishEntry>,
    pub(crate) received: TopicCache<ReceiveEntry>,
    pub(crate) in_aliases: Option<Box<InboundAliases<Topic>>>,
    pub(crate) out_aliases: Option<Box<OutboundAliases>>,
    patience: Option<Box<Patience>>,
    pub(crate) pace: Option<Box<crate::pace::Pace>>,
}

thread_local! {
    /// Empty buffers between turns.
    static BUFFERS: RefCell<(BytesMut, BytesMut)> = RefCell::default();
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(
        core: Arc<Core>,
        world: Arc<World>,
        session: Arc<Session>,
        authority: Arc<dyn SessionAuthority>,
        transport: T,
    ) -> Self {
        let pace = core.options.quotas.as_ref().map(|quotas| Box::new(crate::pace::Pace::new(quotas.clone())));
        Self {
            core,
            world,
            session,
            authority,
            transport,
            version: Version::V4,
            expiry_asked: false,
            number: 0,
            id: uuid::Uuid::nil(),
            send_packet_maximum: usize::MAX,
            permit: None,
            will: None,
            read: ReadBuffer::default(),
            leftover: false,
            out: BytesMut::new(),
            unwritten: 0,
            backlog: VecDeque::new(),
            window_blocked: false,
            owed: VecDeque::new(),
            settled: Vec::new(),
            batch: Batch::default(),
            read_at: Instant::now(),
            published: TopicCache::default(),
            received: TopicCache::default(),
            in_aliases: None,
            out_aliases: None,
            patience: None,
            pace,
        }
    }

    /// CONNACK, then what a resumed session still has unacknowledged.
    pub(crate) fn greet(&mut self, connack: ConnAck, position: Position) {
        self.answer(position, Packet::ConnAck(Box::new(connack)));
        self.resend();
    }

    /// Sends an answer once `position` is durable and all answers before it went out.
    pub(crate) fn answer(&mut self, position: Position, packet: Packet) {
        if position == 0 && self.owed.is_empty() {
            self.encode(&packet);
        } else {
            self.owed.push_back(Owed::Packet(position, Box::new(packet)));
        }
    }

    fn encode(&mut self, packet: &Packet) {
        if let Err(error) = packet.encode(self.version, &mut self.out) {
            tracing::error!(%error, "an answer of ours cannot be written");
        }
    }

    /// One turn; ready when the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.borrow_buffers();
        let turn = self.turn(cx);
        self.return_buffers();
        self.count_unwritten();
        turn
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut reads = 0;
        loop {
            if let Some(end) = self.obey() {
                return Poll::Ready(end);
            }
            let mut progress = false;
            if self.may_read(cx) {
                // Packets may be left over from a time when we were not allowed to go on. They come first: what is read
                // besides would pile up in front of a receiver that is waited for again and again.
                let leftover = std::mem::take(&mut self.leftover);
                if !leftover {
                    match self.transport.poll_read(cx, &mut self.read) {
                        Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(End::lost()),
                        Poll::Ready(Ok(_)) => {
                            reads += 1;
                            progress = true;
                            self.session.last_heard.store(self.core.clock.now(), Ordering::Relaxed);
                        }
                        Poll::Pending => {}
                    }
                }
                if progress || leftover {
                    let worked = self.work();
                    self.batch.finish(&self.core);
                    match worked {
                        // After what was left over there may be more to read, though that was not one whole packet.
                        Ok(any) => progress |= any || leftover,
                        Err(end) => return Poll::Ready(end),
                    }
                }
            }
            match self.pay(cx) {
                Ok(any) => progress |= any,
                Err(end) => return Poll::Ready(end),
            }
            progress |= self.fill();
            let was_full = !self.has_room();
            match self.transport.poll_write(cx, &mut self.out) {
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(_)) => return Poll::Ready(End::lost()),
            }
            progress |= was_full && self.has_room();
            if reads >= READS_PER_TURN {
                cx.waker().wake_by_ref();
                self.session.park(cx.waker(), false);
                return Poll::Pending;
            }
            if progress {
                continue;
            }
            // With the window and what waits for it full, the next PUBACK wakes us, not the next message.
            let wants_mail = self.backlog.is_empty() && self.has_room() && !self.window_blocked;
            if self.session.park(cx.waker(), wants_mail) {
                return Poll::Pending;
            }
        }
    }

    /// Whether deliveries may be taken from the inbox.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < self.chunk()
    }

    /// Bytes to gather before a write: clients that do not read keep this much each.
    pub(crate) fn chunk(&self) -> usize {
        let budget = self.core.queue_limits.budget;
        budget.share(Class::Fleeting, false).clamp(WRITE_CHUNK_MIN, WRITE_CHUNK)
    }

    /// Counts what waits for the socket.
    fn count_unwritten(&mut self) {
        let unwritten = if self.out.is_empty() { 0 } else { self.out.capacity() };
        if unwritten != self.unwritten {
            let grown = unwritten as isize - self.unwritten as isize;
            self.core.queue_limits.budget.add(Class::Fleeting, grown);
            self.unwritten = unwritten;
        }
    }

    /// Whether more packets may be worked through now. If not, the waker is registered with what it waits for.
    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.out.len() > UNWRITTEN_MAX * self.chunk() || !self.may_owe() {
            return false;
        }
        if let Some(pace) = &mut self.pace
            && pace.poll_ready(cx).is_pending()
        {
            return false;
        }
        if let Some(receiver) = self.batch.congested.take() {
            let until = Box::pin(tokio::time::sleep(self.core.options.patience));
            self.patience = Some(Box::new(Patience { taken: receiver.taken(), receiver, until }));
        }
        self.is_patience_over(cx)
    }

    /// Whether no full receiver is waited for any more: it has room, or it stands still.
    fn is_patience_over(&mut self, cx: &mut Context<'_>) -> bool {
        let limits = self.core.queue_limits;
        while let Some(patience) = &mut self.patience {
            if !patience.receiver.wait_for_room(limits, cx.waker()) {
                break;
            }
            if patience.until.as_mut().poll(cx).is_pending() {
                return false;
            }
            let taken = patience.receiver.taken();
            if taken - patience.taken < limits.pull().bytes {
                patience.receiver.mark_stalled();
                break;
            }
            patience.taken = taken;
            patience.until.as_mut().reset(tokio::time::Instant::now() + limits.patience);
        }
        self.patience = None;
        true
    }

    /// CP 5.2: with this many publishes unanswered we stop reading.
    pub(crate) fn may_owe(&self) -> bool {
        self.owed.len() < usize::from(self.core.options.session.receive_maximum.get())
    }

    /// Sends the answers that are due, in order.
    fn pay(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        const SERVER: End =
            End { reason: DisconnectReason::ServerError, code: Some(ReasonCode::UNSPECIFIED_ERROR), will: true };
        let mut any = false;
        while let Some(first) = self.owed.front_mut() {
            let decided = match first {
                Owed::PubAck(position, _) | Owed::Packet(position, _) => match self.core.poll_durable(*position, cx) {
                    Poll::Pending => return Ok(any),
                    Poll::Ready(Ok(())) => ReasonCode::SUCCESS,
                    Poll::Ready(Err(_)) => return Err(SERVER),
                },
                Owed::Retained(_) => ReasonCode::SUCCESS,
                Owed::Decision(_, receiver) => match Pin::new(receiver).poll(cx) {
                    Poll::Pending => return Ok(any),
                    Poll::Ready(reason) => reason.unwrap_or(ReasonCode::UNSPECIFIED_ERROR),
                },
            };
            any = true;
            match self.owed.pop_front() {
                Some(Owed::PubAck(_, packet_id)) => encode_puback(&mut self.out, packet_id),
                Some(Owed::Packet(_, packet)) => self.encode(&packet),
                Some(Owed::Retained(deliveries)) => self.deliver_retained(deliveries),
                Some(Owed::Decision(packet_id, _)) => self.decided(packet_id, decided)?,
                None => break,
            }
        }
        Ok(any)
    }

    /// Leaves retained messages for this very session.
    fn deliver_retained(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            // Nobody is to be woken: this turn looks into the inbox before it ends.
            self.session.push(delivery, self.core.queue_limits, false);
        }
    }

    /// Queues retained messages behind the answer to the SUBSCRIBE that wants them.
    pub(crate) fn answer_retained(&mut self, deliveries: Vec<Delivery>) {
        if self.owed.is_empty() {
            self.deliver_retained(deliveries);
        } else if !deliveries.is_empty() {
            self.owed.push_back(Owed::Retained(deliveries));
        }
    }

    /// The answer to a QoS 1 publish that is not a plain success: 3.1.1 has no words for it but closing.
    fn decided(&mut self, packet_id: PacketId, reason: ReasonCode) -> Result<(), End> {
        if !reason.is_error() {
            encode_puback(&mut self.out, packet_id);
            return Ok(());
        }
        if self.version == Version::V4 {
            return Err(End::told(DisconnectReason::ServerError, reason));
        }
        self.encode(&Packet::PubAck(marram_mqtt::Ack::new(packet_id, reason)));
        Ok(())
    }

    /// Obeys orders from outside.
    fn obey(&mut self) -> Option<End> {
        let signals = self.session.signals();
        if signals == 0 {
            return None;
        }
        let is_set = |signal: Signal| signals & signal as u32 != 0;
        if self.session.newest.load(Ordering::Acquire) > self.number {
            return Some(End::told(DisconnectReason::DuplicateClientId, ReasonCode::SESSION_TAKEN_OVER));
        }
        if is_set(Signal::Shutdown) {
            return Some(End::told(DisconnectReason::ServerInitiated, ReasonCode::SERVER_SHUTTING_DOWN));
        }
        if is_set(Signal::Disconnect) {
            return Some(End::told(DisconnectReason::ApiInitiated, ReasonCode::ADMINISTRATIVE_ACTION));
        }
        if is_set(Signal::KeepAlive) {
            return Some(End::told(DisconnectReason::KeepAliveTimeout, ReasonCode::KEEP_ALIVE_TIMEOUT));
        }
        if is_set(Signal::Expired) {
            return Some(End::told(DisconnectReason::ForbiddenAccess, ReasonCode::NOT_AUTHORIZED));
        }
        if is_set(Signal::Reauthorize) {
            self.published.clear();
            self.received.clear();
            let persistent = self.session.standing().expiry_secs > 0;
            let attributes = ConnectAttributes { persistent, last_will: self.will.is_some() };
            if !self.authority.connect(&self.session.client_id, attributes).is_allow() {
                return Some(End::told(DisconnectReason::ForbiddenAccess, ReasonCode::NOT_AUTHORIZED));
            }
            let ends_at = self.authority.valid_until().map_or(0, |until| self.core.clock.at(until));
            self.session.ends_at.store(ends_at, Ordering::Relaxed);
        }
        if is_set(Signal::Idle) {
            self.published.clear();
            self.received.clear();
            self.batch = Batch::default();
            self.backlog.shrink_to_fit();
            self.owed.shrink_to_fit();
            self.session.shrink();
        }
        None
    }

    fn borrow_buffers(&mut self) {
        BUFFERS.with_borrow_mut(|(read, out)| {
            if self.read.bytes.is_empty() {
                self.read.bytes = std::mem::take(read);
            }
            if self.out.is_empty() {
                self.out = std::mem::take(out);
            }
        });
    }

    fn return_buffers(&mut self) {
        BUFFERS.with_borrow_mut(|(read, out)| {
            if self.read.bytes.is_empty() {
                give_back(&mut self.read.bytes, read);
            }
            if self.out.is_empty() {
                give_back(&mut self.out, out);
            }
        });
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { client_id: &self.session.client_id, authority: &*self.authority, connection: self.id }
    }

    /// Leaves: the session first, so that a successor does not wait for our socket; then the will, the event and the
    /// last packet.
    pub(crate) async fn finish(mut self, end: End) {
        self.core.metrics.disconnects.increment();
        lifecycle::disconnected(&self.core, &self.world, &self.subject(), end.reason);
        let mut out = std::mem::take(&mut self.out);
        if let (Version::V5, Some(code)) = (self.version, end.code) {
            let packet = Packet::Disconnect(Disconnect::new(code));
            if let Err(error) = packet.encode(self.version, &mut out) {
                tracing::error!(%error, "a DISCONNECT of ours cannot be written");
            }
        }
        tracing::debug!(client_id = %self.session.client_id, reason = end.reason.name(), "mqtt connection over");
        let will = self.will.take().filter(|_| end.will);
        let expiry_secs = self.session.standing().expiry_secs;
        let unsent = std::mem::take(&mut self.backlog);
        self.session.put_back(unsent.into_iter());
        self.session.go_offline();
        if expiry_secs == 0 {
            if let Some(will) = will {
                self.core.publish_will(&self.world, *will.message);
            }
            self.core.forget_will(&self.world, &self.session);
            sweep::close(&self.core, &self.world, &self.session);
        } else {
            self.linger(will, expiry_secs);
        }
        drop(self.permit.take());
        farewell(&mut self.transport, out).await;
    }

    /// The session outlives the connection.
    fn linger(&self, will: Option<PendingWill>, expiry_secs: u32) {
        let now = self.core.clock.now();
        let (at_once, later) = match will {
            Some(will) if will.delay_secs > 0 => (None, Some((will.message, now.saturating_add(will.delay_secs)))),
            Some(will) => (Some(will.message), None),
            None => (None, None),
        };
        let waits = later.is_some();
        {
            let mut standing = self.session.standing();
            standing.expires_at = Some(now.saturating_add(expiry_secs));
            standing.pending_will = later;
        }
        if let Some(message) = at_once {
            self.core.publish_will(&self.world, *message);
        }
        if !waits {
            self.core.forget_will(&self.world, &self.session);
        }
        let session = self.session.number.load(Ordering::Acquire);
        self.core.record(Record::SessionDetached { session, at_secs: epoch_secs() });
    }
}

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        self.core.queue_limits.budget.add(Class::Fleeting, -(self.unwritten as isize));
    }
}

/// Keeps a large empty buffer for the thread's next turn.
fn give_back(mine: &mut BytesMut, pool: &mut BytesMut) {
    let buffer = std::mem::take(mine);
    if pool.capacity() < POOLED_MIN && buffer.capacity() >= POOLED_MIN {
        *pool = buffer;
    }
}
