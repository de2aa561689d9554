//! The spool: messages for the control plane, on disk from the moment they are acknowledged until it has them (CR 7.6).
//!
//! Append-only segment files; one thread writes what gathered since its last `fdatasync` and syncs once for all of it. A
//! record is `u32 length, u32 CRC-32, CBOR body`, little endian. What the control plane took is marked by a later record that
//! needs no sync of its own: after a power cut such a message may be sent again, which QoS 1 allows. Segments go once nothing
//! in them or before them is wanted. What an earlier run left is read by that thread too: a start takes as long with a hundred
//! thousand messages as with none, and new messages wait for it.

mod file;
mod record;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use marram_edge_ports::CloudPublish;
use marram_types::Sparse;
use smol_str::SmolStr;
use tokio::sync::{Notify, oneshot, watch};

use self::file::Segments;
pub use self::record::fuzz_spool_record;
use self::record::{MessageOutline, Record};

/// Payload bytes kept in memory beside the disk, so that a line that is up does not read back.
const CACHE_BYTES: usize = 128 * 1024;
/// Stack of the writing thread.
const WRITER_STACK: usize = 64 * 1024;
/// A component may fill at most this share of the spool (3/4), so that one cannot silence the others.
const OWNER_SHARE: (u64, u64) = (3, 4);
/// A disk that does not let the spool be read is asked again after this long.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// Names of components and topics that waiting messages share, at most.
const NAMES_MAX: usize = 1024;
/// What a message costs beside its topic and payload.
const OVERHEAD_BYTES: u64 = 64;

/// How much is kept, and where.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// Directory of the segments.
    pub dir: PathBuf,
    /// `mqtt.spooler.maxSizeInBytes`.
    pub max_bytes: u64,
}

/// Why a message is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Full, also after dropping QoS 0 messages.
    #[error("the spool is full ({max_bytes} bytes)")]
    Full {
        /// Its size.
        max_bytes: u64,
    },
    /// The component has its share.
    #[error("component {owner} has filled its share of the spool")]
    Share {
        /// Which component.
        owner: String,
    },
    /// The disk refused.
    #[error("the spool cannot be written")]
    Io(#[from] io::Error),
}

/// A message taken out for sending.
#[derive(Debug, Clone)]
pub struct Spooled {
    /// Increases; the order of sending.
    pub id: u64,
    /// In whose name.
    pub owner: SmolStr,
    /// When it was taken in, milliseconds since the epoch.
    pub at: i64,
    /// Failed attempts so far.
    pub attempts: u32,
    /// The message.
    pub message: CloudPublish,
}

#[derive(Debug, Clone)]
struct Entry {
    id: u64,
    owner: SmolStr,
    topic: SmolStr,
    at: i64,
    qos: u8,
    expires: Option<i64>,
    attempts: u32,
    cost: u64,
    cached: Option<Box<CloudPublish>>,
}

/// How far the spool is with what an earlier run left.
#[derive(Debug)]
enum Stage {
    Reading,
    Open,
    /// Why it cannot be read; it is tried again.
    Refused(io::ErrorKind, String),
}

#[derive(Default)]
struct State {
    /// Durable, waiting, in order of id.
    queue: VecDeque<Entry>,
    /// Taken and not yet settled.
    taken: BTreeMap<u64, Entry>,
    bytes: u64,
    owners: HashMap<SmolStr, u64>,
    cached: usize,
    next_id: u64,
    max_bytes: u64,
    /// Encoded records not yet written, with the entries and callers that wait for them.
    pending: Vec<(Record, Option<oneshot::Sender<io::Result<()>>>)>,
    settled: Vec<u64>,
    stopping: bool,
}

struct Shared {
    stage: watch::Sender<Stage>,
    state: Mutex<State>,
    work: Condvar,
    news: Notify,
    segments: Mutex<Segments>,
}

/// The spool. Clones share it; the last one to go stops the writer.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    _writer: Arc<Writer>,
}

struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.shared.state).stopping = true;
        self.shared.work.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // A writer that panicked has logged; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spool {
    /// Opens the spool; what is left in it is read behind, see [`Spool::opened`].
    ///
    /// # Errors
    /// The directory cannot be listed or written.
    pub fn open(options: SpoolOptions) -> io::Result<Self> {
        let segments = Segments::open(&options.dir, options.max_bytes)?;
        let shared = Arc::new(Shared {
            stage: watch::Sender::new(Stage::Reading),
            state: Mutex::new(State { max_bytes: options.max_bytes, ..State::default() }),
            work: Condvar::new(),
            news: Notify::new(),
            segments: Mutex::new(segments),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("spool".to_owned()).stack_size(WRITER_STACK).spawn(move || {
                if read_left(&shared) {
                    write_batches(&shared);
                }
            })?
        };
        let writer = Arc::new(Writer { shared: Arc::clone(&shared), thread: Mutex::new(Some(thread)) });
        Ok(Self { shared, _writer: writer })
    }

    /// Resolves when what an earlier run left has been read.
    ///
    /// # Errors
    /// The disk does not give it back; it is asked again meanwhile.
    pub async fn opened(&self) -> io::Result<()> {
        let mut stage = self.shared.stage.subscribe();
        let read = stage.wait_for(|stage| !matches!(stage, Stage::Reading)).await.map_err(io::Error::other)?;
        match &*read {
            Stage::Refused(kind, text) => Err(io::Error::new(*kind, text.clone())),
            Stage::Reading | Stage::Open => Ok(()),
        }
    }

    /// Takes a message in; durable when it returns. Waits for [`Spool::opened`].
    ///
    /// # Errors
    /// [`SpoolError`]; then nothing was taken.
    pub async fn append(&self, owner: &str, message: CloudPublish, now: i64) -> Result<u64, SpoolError> {
        if !matches!(*self.shared.stage.borrow(), Stage::Open) {
            self.opened().await?;
        }
        let (done, durable) = oneshot::channel();
        let id = {
            let mut state = lock(&self.shared.state);
            let cost = cost_of(message.topic.len(), message.payload.len());
            state.make_room(owner, cost)?;
            let id = state.next_id;
            state.next_id += 1;
            state.bytes += cost;
            *state.owners.entry(owner.into()).or_default() += cost;
            let record = Record::Message { id, owner: owner.into(), at: now, message };
            state.pending.push((record, Some(done)));
            id
        };
        self.shared.work.notify_one();
        match durable.await {
            Ok(written) => Ok(written.map(|()| id)?),
            Err(_) => Err(io::Error::other("the spool is closed").into()),
        }
    }

    /// The oldest message that `wanted` accepts, taken out until [`Spool::settle`] or [`Spool::put_back`]; none before
    /// [`Spool::opened`]. Expired ones are dropped on the way.
    ///
    /// # Errors
    /// The disk does not give it back.
    pub fn take(&self, now: i64, mut wanted: impl FnMut(&str) -> bool) -> io::Result<Option<Spooled>> {
        loop {
            let entry = {
                let mut state = lock(&self.shared.state);
                let Some(index) = state.queue.iter().position(|entry| entry.is_over(now) || wanted(&entry.topic))
                else {
                    return Ok(None);
                };
                let Some(entry) = state.queue.remove(index) else { return Ok(None) };
                state.taken.insert(entry.id, entry.clone());
                entry
            };
            if entry.is_over(now) {
                tracing::debug!(topic = %entry.topic, "a spooled message expired");
                self.settle(entry.id);
                continue;
            }
            let message = match entry.cached {
                Some(message) => *message,
                None => match lock(&self.shared.segments).read(entry.id)? {
                    Some(Record::Message { message, .. }) => message,
                    _ => {
                        tracing::error!(id = entry.id, "a spooled message cannot be read back and is dropped");
                        self.settle(entry.id);
                        continue;
                    }
                },
            };
            let (id, owner, at, attempts) = (entry.id, entry.owner, entry.at, entry.attempts);
            return Ok(Some(Spooled { id, owner, at, attempts, message }));
        }
    }

    /// The control plane has it, or will never take it.
    pub fn settle(&self, id: u64) {
        let mut state = lock(&self.shared.state);
        let Some(entry) = state.taken.remove(&id) else { return };
        state.forget(&entry);
        state.settled.push(id);
        let many = state.settled.len() >= 256 || state.queue.is_empty();
        drop(state);
        if many {
            self.shared.work.notify_one();
        }
    }

    /// It was not delivered: it goes back to its place, the front.
    pub fn put_back(&self, id: u64, failed: bool) {
        let mut state = lock(&self.shared.state);
        let Some(mut entry) = state.taken.remove(&id) else { return };
        entry.attempts += u32::from(failed);
        let at = state.queue.partition_point(|other| other.id < entry.id);
        state.queue.insert(at, entry);
        drop(state);
        self.shared.news.notify_one();
    }

    /// All that was taken goes back, in order.
    pub fn put_all_back(&self) {
        let taken: Vec<u64> = lock(&self.shared.state).taken.keys().copied().collect();
        for id in taken {
            self.put_back(id, false);
        }
    }

    /// Resolves when something may be there to take.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Messages waiting or under way, and their bytes; those of an earlier run count after [`Spool::opened`].
    pub fn load(&self) -> (usize, u64) {
        let state = lock(&self.shared.state);
        (state.queue.len() + state.taken.len(), state.bytes)
    }
}

impl Entry {
    fn of(record: &Record) -> Self {
        let Record::Message { id, owner, at, message } = record else { unreachable!("only messages have entries") };
        Entry {
            id: *id,
            owner: owner.clone(),
            topic: message.topic.as_str().into(),
            at: *at,
            qos: message.qos,
            expires: end_of(*at, message.message_expiry_seconds),
            attempts: 0,
            cost: cost_of(message.topic.len(), message.payload.len()),
            cached: None,
        }
    }

    fn of_left(message: &MessageOutline<'_>, names: &mut Names) -> Self {
        Entry {
            id: message.id,
            owner: names.shared(message.owner),
            topic: names.shared(message.topic),
            at: message.at,
            qos: message.qos,
            expires: end_of(message.at, message.expiry),
            attempts: 0,
            cost: cost_of(message.topic.len(), message.payload.len()),
            cached: None,
        }
    }

    fn is_over(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Names that many messages bear, each once in memory.
#[derive(Default)]
struct Names(HashSet<SmolStr>);

impl Names {
    fn shared(&mut self, name: &str) -> SmolStr {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        let name = SmolStr::new(name);
        self.0.insert(name.clone());
        name
    }
}

impl State {
    /// Drops the oldest QoS 0 messages until `cost` fits (CR 7.6: QoS 1 messages are never dropped for room).
    fn make_room(&mut self, owner: &str, cost: u64) -> Result<(), SpoolError> {
        let share = self.max_bytes / OWNER_SHARE.1 * OWNER_SHARE.0;
        if self.owners.get(owner).copied().unwrap_or(0) + cost > share {
            return Err(SpoolError::Share { owner: owner.to_owned() });
        }
        while self.bytes + cost > self.max_bytes {
            let Some(index) = self.queue.iter().position(|entry| entry.qos == 0) else {
                return Err(SpoolError::Full { max_bytes: self.max_bytes });
            };
            if let Some(entry) = self.queue.remove(index) {
                tracing::warn!(topic = %entry.topic, "the spool is full: a QoS 0 message is dropped");
                self.forget(&entry);
                self.settled.push(entry.id);
            }
        }
        Ok(())
    }

    fn forget(&mut self, entry: &Entry) {
        self.bytes -= entry.cost;
        if let Some(message) = &entry.cached {
            self.cached -= message.payload.len();
        }
        if let Some(bytes) = self.owners.get_mut(&entry.owner) {
            *bytes -= entry.cost;
            if *bytes == 0 {
                self.owners.remove(&entry.owner);
            }
        }
    }
}

fn cost_of(topic_bytes: usize, payload_bytes: usize) -> u64 {
    (topic_bytes + payload_bytes) as u64 + OVERHEAD_BYTES
}

fn end_of(at: i64, expiry_seconds: Option<u32>) -> Option<i64> {
    expiry_seconds.map(|seconds| at.saturating_add(i64::from(seconds) * 1000))
}

/// Fills the queue with what an earlier run left; false when the spool was dropped before that worked.
fn read_left(shared: &Shared) -> bool {
    loop {
        let mut names = Names::default();
        let outcome = lock(&shared.segments).read_left(|message| Entry::of_left(message, &mut names));
        let error = match outcome {
            Ok((entries, next_id)) => {
                let mut state = lock(&shared.state);
                state.next_id = next_id;
                for entry in entries {
                    state.bytes += entry.cost;
                    *state.owners.entry(entry.owner.clone()).or_default() += entry.cost;
                    state.queue.push_back(entry);
                }
                drop(state);
                shared.stage.send_replace(Stage::Open);
                shared.news.notify_one();
                return true;
            }
            Err(error) => error,
        };
        tracing::error!(%error, "the spool cannot be read");
        shared.stage.send_replace(Stage::Refused(error.kind(), error.to_string()));
        let state = lock(&shared.state);
        let waited = shared.work.wait_timeout_while(state, READ_AGAIN, |state| !state.stopping);
        if waited.unwrap_or_else(PoisonError::into_inner).0.stopping {
            return false;
        }
    }
}

/// The writer: everything that gathered is one write and one sync.
fn write_batches(shared: &Shared) {
    // marks that a full disk refused; they go with the next batch
    let mut owed: Vec<u64> = Vec::new();
    let mut told = Sparse::default();
    // Here and not where the spool is opened: a start does not wait for the disk to forget what nobody wants any more.
    lock(&shared.segments).drop_front();
    loop {
        let (batch, mut settled, stopping) = {
            let mut state = lock(&shared.state);
            while state.pending.is_empty() && state.settled.is_empty() && !state.stopping {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            (std::mem::take(&mut state.pending), std::mem::take(&mut state.settled), state.stopping)
        };
        if batch.is_empty() && settled.is_empty() && stopping {
            return;
        }
        settled.append(&mut owed);
        let outcome = lock(&shared.segments).write(batch.iter().map(|(record, _)| record), &settled, !batch.is_empty());
        let mut state = lock(&shared.state);
        match outcome {
            Ok(()) => {
                told.is_over();
                let mut waiters = Vec::with_capacity(batch.len());
                for (record, waiter) in batch {
                    let mut entry = Entry::of(&record);
                    if let Record::Message { message, .. } = record
                        && state.cached + message.payload.len() <= CACHE_BYTES
                    {
                        state.cached += message.payload.len();
                        entry.cached = Some(Box::new(message));
                    }
                    state.queue.push_back(entry);
                    waiters.extend(waiter);
                }
                drop(state);
                for waiter in waiters {
                    // The caller may have gone; the message is kept all the same.
                    let _ = waiter.send(Ok(()));
                }
                shared.news.notify_one();
            }
            Err(error) => {
                if told.is_worth_telling(&error.to_string()) {
                    tracing::error!(%error, "the spool cannot be written");
                }
                owed = settled;
                for (record, waiter) in batch {
                    let entry = Entry::of(&record);
                    state.forget(&entry);
                    if let Some(waiter) = waiter {
                        let _ = waiter.send(Err(io::Error::new(error.kind(), error.to_string())));
                    }
                }
            }
        }
    }
}
