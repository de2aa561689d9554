//! A session: what the broker remembers of one client id, connected or not.
//!
//! Short locks, never held across an await: the *inbox*, where publishers leave
//! messages (a push each), and the *flight*, touched only by whoever is attached. A receiver that stops reading
//! fills its inbox and loses messages; it never holds a lock that a publisher waits for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use marram_mqtt::session::Window;
use marram_mqtt::{ClientId, QoS, SubscribeOptions, TopicFilter};
use tokio::sync::Semaphore;

use crate::budget::{Budget, Class};
use crate::message::Message;
use crate::stall::{Pull, Reputation};
use crate::store::SessionNo;

/// Places of an empty queue that are worth keeping.
const PLACES_KEPT: usize = 256;
/// What a place in a queue costs, bytes: queues grow by doubling.
const SLOT: isize = 2 * size_of::<Delivery>() as isize;

/// A message on its way to one session.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    /// QoS 0 or 1: the smaller of message and subscription.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Number in the durable session; 0 if the delivery is not recorded.
    pub(crate) sequence: u64,
}

impl Delivery {
    pub(crate) fn new(message: Arc<Message>, qos: QoS, retain: bool) -> Self {
        if let Some(budget) = message.charge.budget() {
            budget.add(qos.into(), SLOT);
        }
        Self { message, qos, retain, sequence: 0 }
    }

    /// What it counts against the limits of its own queue, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.message.weight()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(budget) = self.message.charge.budget() {
            budget.add(self.qos.into(), -SLOT);
        }
    }
}

/// Where publishers leave messages.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) queue: VecDeque<Delivery>,
    /// There may be QoS 0 messages in the queue.
    has_fleeting: bool,
    /// Somebody reads: a connection or a local client.
    pub(crate) online: bool,
    /// The session is gone: nothing is accepted any more.
    pub(crate) closed: bool,
    /// Next sequence number of a durable session.
    pub(crate) next_sequence: u64,
    waker: Option<Waker>,
    notified: bool,
    /// Publishers that wait for room.
    waiters: Vec<Waker>,
}

/// What happened to a pushed message.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// Somebody to wake once the batch is through.
    pub(crate) wake: Option<Waker>,
    /// The queue is above its mark: be patient with the publisher, not with the queue.
    pub(crate) congested: bool,
    /// Messages thrown away to make room, this one or older ones.
    pub(crate) dropped: u32,
    /// Those of them that were QoS 1.
    pub(crate) broken: u32,
    /// Sequence numbers of thrown away messages that were recorded.
    pub(crate) settled: Vec<u64>,
    /// Number under which the message has to be recorded.
    pub(crate) recorded: Option<(SessionNo, u64)>,
}

/// Sent or ready to send, by whoever is attached.
#[derive(Debug)]
pub(crate) struct Flight {
    /// QoS 1 messages the client has not acknowledged.
    pub(crate) window: Window<Delivery>,
    /// Taken out of the inbox, waiting for the window.
    pub(crate) waiting: VecDeque<Delivery>,
}

/// Subscriptions and the rest that changes rarely.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) subscriptions: Vec<(TopicFilter, SubscribeOptions)>,
    /// Will that waits for its delay, and the clock second it is due.
    pub(crate) pending_will: Option<(Box<Message>, u32)>,
    /// Seconds the session outlives its connection.
    pub(crate) expiry_secs: u32,
    /// Clock second at which the session ends unless a connection comes.
    pub(crate) expires_at: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_id: ClientId,
    inbox: Mutex<Inbox>,
    flight: Mutex<Flight>,
    standing: Mutex<Standing>,
    /// Bytes queued and not yet written to a socket, in inbox and flight.
    queued: AtomicUsize,
    /// Whether publishers wait for it when it is full.
    reputation: Reputation,
    /// One permit: whoever holds it is attached.
    pub(crate) attach: Arc<Semaphore>,
    /// Connections with a smaller number have to leave.
    pub(crate) newest: AtomicU64,
    /// Orders for the attached connection; see [`Signal`].
    signals: AtomicU32,
    /// Clock second of the last packet from the client.
    pub(crate) last_heard: AtomicU32,
    /// Clock seconds of silence that end the connection; 0: never.
    pub(crate) patience_secs: AtomicU32,
    /// Clock second at which the connection has to end; 0: never.
    pub(crate) ends_at: AtomicU32,
    /// Principal of the last connection.
    principal: Mutex<Arc<str>>,
    /// The store has a will of its client.
    pub(crate) will_kept: AtomicBool,
    /// Number in the store; 0 while the session is not persistent.
    pub(crate) number: AtomicU64,
    /// Clock second of the last word in the log about lost messages; 0: never.
    complained_at: AtomicU32,
}

/// Orders to the attached connection.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Signal {
    /// Silent for too long.
    KeepAlive = 1,
    /// Ask the authority again.
    Reauthorize = 2,
    /// Close: asked for through the API.
    Disconnect = 4,
    /// The broker shuts down.
    Shutdown = 8,
    /// Nothing happened for a while: give memory back.
    Idle = 16,
    /// A newer connection has the client id.
    TakenOver = 32,
    /// The certificate's validity is over.
    Expired = 64,
}

/// Milliseconds since the first call, and one.
fn now_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64 + 1
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in one connection stays there: the data is consistent between statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much a queue may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// What all queues together may hold.
    pub(crate) budget: &'static Budget,
    pub(crate) online_bytes: usize,
    pub(crate) offline_bytes: usize,
    /// How long a publisher waits for a full receiver before it looks whether that one moved.
    pub(crate) patience: Duration,
}

impl QueueLimits {
    /// Bytes the queue of a receiver may hold now: of QoS 0, and for QoS 1 before publishers wait.
    fn online(&self, class: Class, moving: bool) -> usize {
        self.online_bytes.min(self.budget.share(class, moving))
    }

    /// What a full receiver has to read to be waited for: a sixteenth of its queue, some 6 MB a second by default.
    pub(crate) fn pull(&self) -> Pull {
        Pull { bytes: self.online_bytes as u64 / 16, within: self.patience }
    }
}

impl Session {
    pub(crate) fn new(client_id: ClientId, window: usize) -> Self {
        Self {
            client_id,
            inbox: Mutex::default(),
            flight: Mutex::new(Flight { window: Window::new(window), waiting: VecDeque::new() }),
            standing: Mutex::default(),
            queued: AtomicUsize::new(0),
            reputation: Reputation::default(),
            attach: Arc::new(Semaphore::new(1)),
            newest: AtomicU64::new(0),
            signals: AtomicU32::new(0),
            last_heard: AtomicU32::new(0),
            patience_secs: AtomicU32::new(0),
            ends_at: AtomicU32::new(0),
            principal: Mutex::new("".into()),
            will_kept: AtomicBool::new(false),
            number: AtomicU64::new(0),
            complained_at: AtomicU32::new(0),
        }
    }

    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }

    pub(crate) fn flight(&self) -> MutexGuard<'_, Flight> {
        lock(&self.flight)
    }

    pub(crate) fn standing(&self) -> MutexGuard<'_, Standing> {
        lock(&self.standing)
    }

    pub(crate) fn principal(&self) -> Arc<str> {
        Arc::clone(&lock(&self.principal))
    }

    pub(crate) fn set_principal(&self, principal: &str) {
        *lock(&self.principal) = principal.into();
    }

    pub(crate) fn is_persistent(&self) -> bool {
        self.number.load(Ordering::Acquire) != 0
    }

    pub(crate) fn is_online(&self) -> bool {
        self.inbox().online
    }

    /// Whether somebody reads, and as fast as messages come.
    pub(crate) fn is_ready(&self, limits: QueueLimits) -> bool {
        let full = self.queued.load(Ordering::Relaxed) > limits.online(Class::Fleeting, true) / 4;
        !full && self.is_online()
    }

    /// Leaves a message for the session. `record`: a store is there to record QoS 1 messages of persistent sessions.
    pub(crate) fn push(&self, mut delivery: Delivery, limits: QueueLimits, record: bool) -> Pushed {
        let mut pushed = Pushed::default();
        let weight = delivery.weight();
        let number = self.number.load(Ordering::Relaxed);
        let mut inbox = self.inbox();
        if inbox.closed || (!inbox.online && (delivery.qos == QoS::AtMostOnce || number == 0)) {
            return pushed;
        }
        let queued = self.queued.load(Ordering::Relaxed);
        let moving = inbox.online && self.reputation.deserves_patience(now_ms);
        let class = Class::from(delivery.qos);
        let online = limits.online(class, moving);
        if delivery.qos == QoS::AtMostOnce {
            if queued + weight > online {
                pushed.dropped = 1;
                pushed.congested = moving;
                return pushed;
            }
            inbox.has_fleeting = true;
        } else {
            let room = limits.offline_bytes.min(limits.budget.share(class, moving));
            if queued + weight > room {
                let freed = self.make_room(&mut inbox, weight, &mut pushed);
                let left = queued - freed;
                // What a connection has taken cannot be dropped any more. One message reaches a reader in any case.
                let fits = freed >= weight || left + weight <= room || (moving && left == 0);
                if !fits {
                    pushed.dropped += 1;
                    pushed.broken += 1;
                    return pushed;
                }
            }
            if record && number != 0 {
                inbox.next_sequence += 1;
                delivery.sequence = inbox.next_sequence;
                pushed.recorded = Some((number, delivery.sequence));
            }
        }
        let queued = self.queued.fetch_add(weight, Ordering::Relaxed) + weight;
        pushed.congested = moving && queued > online / 2;
        inbox.queue.push_back(delivery);
        if !inbox.notified {
            inbox.notified = true;
            pushed.wake = inbox.waker.take();
        }
        pushed
    }

    /// Makes room for a QoS 1 message: first whatever is QoS 0 goes, then the oldest.
    fn make_room(&self, inbox: &mut Inbox, room: usize, pushed: &mut Pushed) -> usize {
        let mut freed = 0;
        if std::mem::take(&mut inbox.has_fleeting) {
            inbox.queue.retain(|delivery| {
                let keep = delivery.qos > QoS::AtMostOnce;
                if !keep {
                    freed += delivery.weight();
                    pushed.dropped += 1;
                }
                keep
            });
        }
        while freed < room {
            let Some(oldest) = inbox.queue.pop_front() else { break };
            freed += oldest.weight();
            pushed.dropped += 1;
            pushed.broken += 1;
            if oldest.sequence != 0 {
                pushed.settled.push(oldest.sequence);
            }
        }
        self.queued.fetch_sub(freed, Ordering::Relaxed);
        freed
    }

    /// Moves everything queued into `into`, which has to be empty.
    pub(crate) fn take(&self, into: &mut VecDeque<Delivery>) {
        let mut inbox = self.inbox();
        if !inbox.queue.is_empty() {
            if into.capacity() > PLACES_KEPT {
                *into = VecDeque::new();
            }
            std::mem::swap(&mut inbox.queue, into);
            inbox.has_fleeting = false;
        }
    }

    /// The reader goes to sleep: remembers whom to wake, by signals and, if it `wants_mail`, by the next message.
    /// `false`: do not sleep, there is mail or a signal.
    pub(crate) fn park(&self, waker: &Waker, wants_mail: bool) -> bool {
        let mut inbox = self.inbox();
        if wants_mail && !inbox.queue.is_empty() {
            return false;
        }
        inbox.notified = !wants_mail;
        match &inbox.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => inbox.waker = Some(waker.clone()),
        }
        // Signals are set before the inbox is locked to wake, so one of the two sides sees the other.
        self.signals.load(Ordering::Acquire) == 0
    }

    /// Puts deliveries back in front of everything queued: they were taken and not written.
    pub(crate) fn put_back(&self, deliveries: impl DoubleEndedIterator<Item = Delivery>) {
        let mut inbox = self.inbox();
        for delivery in deliveries.rev() {
            inbox.has_fleeting |= delivery.qos == QoS::AtMostOnce;
            inbox.queue.push_front(delivery);
        }
    }

    /// Bytes were written or given up. Wakes publishers that wait for room.
    pub(crate) fn release(&self, bytes: usize, limits: QueueLimits) {
        if bytes == 0 {
            return;
        }
        self.reputation.took(bytes, limits.pull(), now_ms);
        let queued = self.queued.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        if queued <= limits.online(Class::Fleeting, true) / 4 {
            let waiters = std::mem::take(&mut self.inbox().waiters);
            if !waiters.is_empty() {
                self.reputation.forgive();
            }
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// Whether a publisher should wait; if so it is woken when there is room.
    pub(crate) fn wait_for_room(&self, limits: QueueLimits, waker: &Waker) -> bool {
        let mut inbox = self.inbox();
        let full = self.queued.load(Ordering::Relaxed) > limits.online(Class::Fleeting, true) / 4;
        if !inbox.online || !full || !self.reputation.deserves_patience(now_ms) {
            return false;
        }
        if !inbox.waiters.iter().any(|known| known.will_wake(waker)) {
            inbox.waiters.push(waker.clone());
        }
        true
    }

    /// Bytes read by the receiver since the session began.
    pub(crate) fn taken(&self) -> u64 {
        self.reputation.taken()
    }

    /// A publisher waited in vain: nobody waits again for a while.
    pub(crate) fn mark_stalled(&self) {
        self.reputation.resent(now_ms());
    }

    /// Whether it may be logged again that messages of the session are lost: once a minute.
    pub(crate) fn may_complain(&self, now: u32) -> bool {
        const EVERY_SECS: u32 = 60;
        let last = self.complained_at.load(Ordering::Relaxed);
        (last == 0 || now.saturating_sub(last) >= EVERY_SECS)
            && self.complained_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Gives the attached connection an order.
    pub(crate) fn signal(&self, signal: Signal) {
        self.signals.fetch_or(signal as u32, Ordering::AcqRel);
        self.wake();
    }

    /// Wakes whoever is attached.
    pub(crate) fn wake(&self) {
        let waker = {
            let mut inbox = self.inbox();
            inbox.notified = true;
            inbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Orders given since the last call, as bits of [`Signal`].
    pub(crate) fn signals(&self) -> u32 {
        if self.signals.load(Ordering::Relaxed) == 0 { 0 } else { self.signals.swap(0, Ordering::AcqRel) }
    }

    /// Empties queue and window; what was recorded is returned by sequence number.
    pub(crate) fn discard_messages(&self) -> Vec<u64> {
        let mut settled = Vec::new();
        let mut flight = self.flight();
        let mut inbox = self.inbox();
        let flight = &mut *flight;
        for delivery in flight.window.drain().chain(flight.waiting.drain(..)).chain(inbox.queue.drain(..)) {
            if delivery.sequence != 0 {
                settled.push(delivery.sequence);
            }
        }
        self.queued.store(0, Ordering::Relaxed);
        settled
    }

    /// Nobody reads any more: QoS 0 messages are not kept, nor anything of a session that is not persistent.
    pub(crate) fn go_offline(&self) {
        let persistent = self.is_persistent();
        let mut freed = 0;
        let waiters = {
            let mut flight = self.flight();
            let mut inbox = self.inbox();
            inbox.online = false;
            inbox.waker = None;
            inbox.notified = false;
            // Messages that waited for the window were published before those in the inbox.
            for delivery in std::mem::take(&mut flight.waiting).into_iter().rev() {
                inbox.queue.push_front(delivery);
            }
            inbox.queue.retain(|delivery| {
                let keep = persistent && delivery.qos > QoS::AtMostOnce;
                freed += if keep { 0 } else { delivery.weight() };
                keep
            });
            inbox.queue.shrink_to_fit();
            std::mem::take(&mut inbox.waiters)
        };
        self.queued.fetch_sub(freed, Ordering::Relaxed);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Gives memory back that an idle session does not need.
    pub(crate) fn shrink(&self) {
        let mut flight = self.flight();
        flight.window.shrink();
        flight.waiting.shrink_to_fit();
        let mut inbox = self.inbox();
        inbox.queue.shrink_to_fit();
        inbox.waiters.shrink_to_fit();
    }

    /// Counts deliveries that came from the store.
    pub(crate) fn restore(&self, queue: impl Iterator<Item = (u64, Arc<Message>)>) {
        let mut inbox = self.inbox();
        for (sequence, message) in queue {
            let mut delivery = Delivery::new(message, QoS::AtLeastOnce, false);
            delivery.sequence = sequence;
            self.queued.fetch_add(delivery.weight(), Ordering::Relaxed);
            inbox.next_sequence = inbox.next_sequence.max(sequence);
            inbox.queue.push_back(delivery);
        }
    }
}
