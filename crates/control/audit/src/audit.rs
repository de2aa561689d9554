//! The keeper of the log: takes records that need no transaction of their own, and makes checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use marram_store::{Snapshot, Store, StoreError, Tx, params};
use marram_types::{AccountId, Region, SharedClock};
use tokio::sync::Notify;

use crate::chain::{Prepared, append, head, link, link_all};
use crate::checkpoint::{Checkpoint, complete_length};
use crate::key::AuditKey;
use crate::record::{AuditRecord, Decision, EventType, UserIdentity};
use crate::repeat::Repeats;
use crate::segment::SEGMENT_RECORDS;
use crate::tree::Frontier;

/// Records that may wait to be written. [`Audit::room`] keeps callers from filling it while the disk works; once it is
/// full all the same, records are counted and the count is written instead.
const QUEUE: usize = 8_192;

/// Waiting records beyond which [`Audit::room`] makes new calls wait.
const ROOM: usize = 1_024;

/// Records written in one transaction: those of a segment.
const BATCH: usize = SEGMENT_RECORDS;

/// How long the keeper lets records gather before it writes them. Nobody waits for it, and a commit costs more than many
/// records in it; until then the keeper need not be woken by each.
const GATHER: Duration = Duration::from_millis(2);

/// Pause before the log is tried again that could not be written.
const RETRY: Duration = Duration::from_millis(200);

/// A log that grew by this much gets a checkpoint at once (security.md 7.2).
const CHECKPOINT_RECORDS: u64 = 1_000;

/// A log that grew at all gets a checkpoint this often (security.md 7.2).
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// How often the notary looks whether a checkpoint is due, and the keeper whether it owes records.
const TICK: Duration = Duration::from_secs(1);

/// Directory under the data directory that holds key and checkpoints.
const AUDIT_DIR: &str = "audit";

/// File of checkpoints in [`AUDIT_DIR`].
const CHECKPOINT_FILE: &str = "checkpoints.txt";

/// Why the log cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A file of the audit directory.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The checkpoint key is not an Ed25519 key.
    #[error("the checkpoint key is malformed")]
    Key,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The log cannot be written at present. Calls that would leave a record must be refused until it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct AuditUnavailable;

/// Counts since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditStats {
    /// Records taken by [`Audit::enqueue`].
    pub enqueued: u64,
    /// Records that never came to stand in the log: lost while the disk refused them, or not taken.
    pub dropped: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
}

/// A cheap handle to the keeper of the log.
#[derive(Clone, Debug)]
pub struct Audit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: SyncSender<Message>,
    keeper: Mutex<Option<thread::JoinHandle<()>>>,
    /// Asks the notary for checkpoints; the answer comes when they are made. Dropping it ends the notary.
    notary: Mutex<Option<(Sender<SyncSender<()>>, thread::JoinHandle<()>)>>,
    shared: Arc<Shared>,
    dir: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    enqueued: AtomicU64,
    dropped: AtomicU64,
    checkpoints: AtomicU64,
    /// Records enqueued and not yet written.
    waiting: AtomicUsize,
    /// The last attempt to write failed.
    failing: AtomicBool,
    /// Nobody will wait for the disk any longer.
    closing: AtomicBool,
    /// Told when records were written, or could not be.
    moved: Notify,
    /// Records that will not be written and are not yet told about, per account.
    owed: Mutex<BTreeMap<(AccountId, Region), u64>>,
    /// Reads that pages repeat.
    repeats: Repeats,
}

impl Shared {
    fn owe(&self, realm: (AccountId, Region), count: u64) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        *owed.entry(realm).or_insert(0) += count;
    }

    fn lose(&self, realm: (AccountId, Region)) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.owe(realm, 1);
    }
}

enum Message {
    Record(Box<Prepared>),
    /// Write what came before, then answer.
    Flush(SyncSender<()>),
    Close,
}

impl Audit {
    /// Opens the log of a data directory: migrates its tables, reads or makes the checkpoint key, starts the keeper.
    ///
    /// # Errors
    /// The store's and the file system's.
    pub fn open(store: Store, data_dir: &Path, clock: SharedClock) -> Result<Self, AuditError> {
        store.migrate(crate::schema::MIGRATIONS)?;
        let dir = data_dir.join(AUDIT_DIR);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| AuditError::File { path: dir.clone(), error })?;
        let key = AuditKey::load_or_create(&dir)?;
        let file = open_checkpoints(&dir.join(CHECKPOINT_FILE))?;
        let shared = Arc::new(Shared::default());
        let (queue, receiver) = sync_channel(QUEUE);
        let keeper = Keeper { store: store.clone(), clock: clock.clone(), shared: Arc::clone(&shared) };
        let notary = Notary { store, clock, key, file, shared: Arc::clone(&shared), last: Instant::now() };
        let (ask, asked) = channel();
        let failed = |error| AuditError::File { path: dir.clone(), error };
        let keeper = thread::Builder::new()
            .name("audit-keeper".to_owned())
            .spawn(move || keeper.run(&receiver))
            .map_err(failed)?;
        let notary =
            thread::Builder::new().name("audit-notary".to_owned()).spawn(move || notary.run(&asked)).map_err(failed)?;
        let (keeper, notary) = (Mutex::new(Some(keeper)), Mutex::new(Some((ask, notary))));
        Ok(Self { inner: Arc::new(Inner { queue, keeper, notary, shared, dir }) })
    }

    /// Hands over the record of a call that changed nothing, rendered here, where what it is made of was just made. Never
    /// waits: chaining and writing are the keeper's.
    /// While the disk refuses, records wait; when the queue is full the record is counted, and the count becomes a record
    /// of its own as soon as there is room. Who asks [`Audit::room`] first does not fill the queue.
    pub fn enqueue(&self, record: AuditRecord) {
        let shared = &self.inner.shared;
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        match self.inner.queue.try_send(Message::Record(Box::new(record.prepare()))) {
            Ok(()) => {
                shared.enqueued.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                shared.waiting.fetch_sub(1, Ordering::Relaxed);
                if let Message::Record(record) = message {
                    shared.lose(record.realm());
                }
            }
        }
    }

    /// As [`Audit::enqueue`], of a read that succeeded and that a page may repeat: the first is recorded at once, the same
    /// ones that follow are counted, and a record a minute tells how many they were.
    pub fn enqueue_repeatable(&self, record: AuditRecord) {
        if let Some(record) = self.inner.shared.repeats.count(record) {
            self.enqueue(record);
        }
    }

    /// Whether a record may be enqueued now: `None` when the caller has to wait for [`Audit::room`].
    pub fn room_now(&self) -> Option<Result<(), AuditUnavailable>> {
        let shared = &self.inner.shared;
        if shared.failing.load(Ordering::Relaxed) {
            return Some(Err(AuditUnavailable));
        }
        (shared.waiting.load(Ordering::Relaxed) < ROOM).then_some(Ok(()))
    }

    /// Waits until the keeper has caught up far enough to take another record.
    ///
    /// # Errors
    /// [`AuditUnavailable`] while the log cannot be written: what asks for room must not go on without its record.
    pub async fn room(&self) -> Result<(), AuditUnavailable> {
        loop {
            let moved = self.inner.shared.moved.notified();
            let mut moved = std::pin::pin!(moved);
            moved.as_mut().enable();
            match self.room_now() {
                Some(answer) => return answer,
                None => moved.await,
            }
        }
    }

    /// Counts a call that was refused without a record because there was no room; the count becomes a record.
    pub fn note_unrecorded(&self, account: &AccountId, region: &Region) {
        self.inner.shared.lose((account.clone(), region.clone()));
    }

    /// Waits until everything enqueued before is durable. Blocks.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.inner.queue.send(Message::Flush(done)).is_ok() {
            // An error means that the keeper is gone, and with it what it would have waited for.
            let _ = wait.recv();
        }
    }

    /// Waits until every log is covered by a checkpoint up to what was enqueued before. Blocks.
    pub fn checkpoint(&self) {
        self.flush();
        let (done, wait) = sync_channel(1);
        let notary = self.inner.notary.lock().unwrap_or_else(PoisonError::into_inner);
        if notary.as_ref().is_some_and(|(ask, _)| ask.send(done).is_ok()) {
            drop(notary);
            let _ = wait.recv();
        }
    }

    /// Writes what is queued, makes the last checkpoints and stops. Later records are counted as dropped. Blocks.
    pub fn close(&self) {
        let inner = &self.inner;
        let keeper = inner.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            inner.shared.closing.store(true, Ordering::Relaxed);
            let _ = inner.queue.send(Message::Close);
            if keeper.join().is_err() {
                tracing::error!("the audit keeper panicked");
            }
        }
        let notary = inner.notary.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((ask, notary)) = notary {
            drop(ask);
            if notary.join().is_err() {
                tracing::error!("the audit notary panicked");
            }
        }
    }

    /// Counts since the log was opened.
    pub fn stats(&self) -> AuditStats {
        let shared = &self.inner.shared;
        AuditStats {
            enqueued: shared.enqueued.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
            checkpoints: shared.checkpoints.load(Ordering::Relaxed),
        }
    }

    /// Where key and checkpoints are kept.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The file of checkpoints.
    pub fn checkpoint_file(&self) -> PathBuf {
        self.inner.dir.join(CHECKPOINT_FILE)
    }

    /// The directory of key and checkpoints of a data directory.
    pub fn dir_of(data_dir: &Path) -> PathBuf {
        data_dir.join(AUDIT_DIR)
    }

    /// The checkpoint file of a data directory.
    pub fn checkpoint_file_of(data_dir: &Path) -> PathBuf {
        data_dir.join(AUDIT_DIR).join(CHECKPOINT_FILE)
    }
}

fn open_checkpoints(path: &Path) -> Result<File, AuditError> {
    let io = |error| AuditError::File { path: path.to_owned(), error };
    let mut file = OpenOptions::new().append(true).create(true).read(true).mode(0o600).open(path).map_err(io)?;
    let text = fs::read_to_string(path).map_err(io)?;
    let complete = complete_length(&text);
    if complete < text.len() {
        // A crash cut the last note off; without its signature it proves nothing.
        file.set_len(complete as u64).map_err(io)?;
        file.flush().map_err(io)?;
    }
    Ok(file)
}

/// The thread that writes what was enqueued.
struct Keeper {
    store: Store,
    clock: SharedClock,
    shared: Arc<Shared>,
}

/// The thread that makes checkpoints. Walking over what is new may take a while, and records should not wait for it.
struct Notary {
    store: Store,
    clock: SharedClock,
    key: AuditKey,
    file: File,
    shared: Arc<Shared>,
    /// When the last round of checkpoints was made.
    last: Instant,
}

impl Keeper {
    fn run(self, queue: &Receiver<Message>) {
        let mut next_look = Instant::now() + TICK;
        loop {
            let message = queue.recv_timeout(next_look.saturating_duration_since(Instant::now()));
            match message {
                Ok(Message::Record(record)) => {
                    let is_full = self.shared.waiting.load(Ordering::Relaxed) >= BATCH;
                    if !is_full && !self.shared.closing.load(Ordering::Relaxed) {
                        thread::sleep(GATHER);
                    }
                    let mut batch = vec![*record];
                    let mut then = None;
                    while batch.len() < BATCH && then.is_none() {
                        match queue.try_recv() {
                            Ok(Message::Record(record)) => batch.push(*record),
                            Ok(other) => then = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.write(batch);
                    if then.is_some_and(|message| self.answer(message)) {
                        break;
                    }
                }
                Ok(other) => {
                    if self.answer(other) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.answer(Message::Close);
                    break;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next_look {
                self.write_owed();
                self.write_repeats(false);
                self.probe();
                next_look = Instant::now() + TICK;
            }
        }
    }

    /// Answers whether to stop.
    fn answer(&self, message: Message) -> bool {
        self.write_owed();
        self.write_repeats(matches!(message, Message::Close));
        self.store.refresh();
        match message {
            Message::Record(record) => self.write(vec![*record]),
            Message::Flush(done) => {
                let _ = done.send(());
            }
            Message::Close => return true,
        }
        false
    }

    /// Writes a batch, however long the disk takes to recover; nothing is given up but at the end of the process.
    fn write(&self, batch: Vec<Prepared>) {
        let shared = &self.shared;
        let batch = Arc::new(batch);
        while let Err(error) = self.attempt(&batch) {
            if is_hopeless(&error) || shared.closing.load(Ordering::Relaxed) {
                tracing::error!(%error, "the audit log refuses records; they are written one by one");
                batch.iter().for_each(|record| self.write_alone(record));
                break;
            }
            if !shared.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the audit log cannot be written; calls are refused until it can");
                shared.moved.notify_waiters();
            }
            thread::sleep(RETRY);
        }
        if shared.failing.swap(false, Ordering::Relaxed) {
            tracing::warn!("the audit log can be written again");
        }
        shared.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        shared.moved.notify_waiters();
    }

    fn attempt(&self, batch: &Arc<Vec<Prepared>>) -> Result<(), StoreError> {
        let batch = Arc::clone(batch);
        self.store.write_background(move |tx: &mut Tx<'_>| {
            let batch: Vec<_> = batch.iter().map(|prepared| (prepared, None)).collect();
            link_all(tx, &batch)
        })
    }

    /// The last attempt for one record: lost and counted when it fails.
    fn write_alone(&self, record: &Prepared) {
        let written = self.store.write_blocking({
            let record = record.clone();
            move |tx: &mut Tx<'_>| link(tx, &record, None)
        });
        if let Err(error) = written {
            tracing::error!(%error, "an audit record is lost");
            self.shared.lose(record.realm());
        }
    }

    /// Minutes of repeated reads that are over; all of them at the end.
    fn write_repeats(&self, is_end: bool) {
        let due = self.shared.repeats.due(self.clock.now(), is_end);
        if due.is_empty() {
            return;
        }
        self.shared.waiting.fetch_add(due.len(), Ordering::Relaxed);
        self.write(due.into_iter().map(AuditRecord::prepare).collect());
    }

    /// A gap is part of the log: how many records could not be taken.
    fn write_owed(&self) {
        let owed = std::mem::take(&mut *self.shared.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for ((account, region), count) in owed {
            let identity = UserIdentity {
                kind: "AWSService".into(),
                invoked_by: Some("audit.marram".into()),
                ..UserIdentity::default()
            };
            let now = self.clock.now();
            let mut record =
                AuditRecord::new(account.clone(), region.clone(), now, "audit.marram", "AuditRecordsDropped", identity);
            record.event_type = EventType::ServiceEvent;
            record.decision = Decision::NotEvaluated;
            record.additional.insert("count".to_owned(), count.into());
            let written = self.store.write_blocking(move |tx: &mut Tx<'_>| append(tx, record));
            if let Err(error) = written {
                let error: StoreError = error;
                tracing::error!(%error, %account, count, "the count of missing audit records cannot be written");
                self.shared.owe((account, region), count);
            }
        }
    }

    /// A store that failed somebody else is asked whether it has recovered, so that nobody has to risk a call for that.
    fn probe(&self) {
        if !self.store.is_failing() {
            return;
        }
        let written = self
            .store
            .write_blocking(|tx: &mut Tx<'_>| tx.execute("UPDATE audit_tree SET size = size", params![]).map(|_| ()));
        if let Err(error) = written {
            let error: StoreError = error;
            tracing::warn!(%error, "the store still cannot be written");
        }
    }
}

impl Notary {
    fn run(mut self, asked: &Receiver<SyncSender<()>>) {
        loop {
            match asked.recv_timeout(TICK) {
                Ok(done) => {
                    self.checkpoint(true);
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.checkpoint(false),
                Err(RecvTimeoutError::Disconnected) => {
                    self.checkpoint(true);
                    return;
                }
            }
        }
    }

    fn checkpoint(&mut self, all: bool) {
        let due = all || self.last.elapsed() >= CHECKPOINT_INTERVAL;
        if due {
            self.last = Instant::now();
        }
        if let Err(error) = self.checkpoint_accounts(due) {
            tracing::error!(%error, "no audit checkpoint could be made");
        }
    }

    fn checkpoint_accounts(&mut self, due: bool) -> Result<(), AuditError> {
        for account in self.store.read(accounts)? {
            let grown = self.store.read(|s| {
                let (size, frontier) = stored_frontier(s, &account)?;
                let (seq, leaf) = head(s, &account)?;
                let seq = u64::try_from(seq).unwrap_or(0);
                if due && seq < size {
                    tracing::error!(%account, records = seq, covered = size, "the audit log was cut off: run audit-log verify");
                }
                let grown = seq.saturating_sub(size);
                if grown == 0 || !(due || grown >= CHECKPOINT_RECORDS) {
                    return Ok(None);
                }
                advance(s, &account, frontier).map(|frontier| Some((frontier, leaf)))
            })?;
            let Some((frontier, leaf)) = grown else { continue };
            let checkpoint = Checkpoint {
                account: account.clone(),
                size: frontier.size(),
                root: frontier.root(),
                time: self.clock.now(),
            };
            let note = format!("{}\n", checkpoint.to_note(&leaf, &self.key));
            let io = |error| AuditError::File { path: CHECKPOINT_FILE.into(), error };
            self.file.write_all(note.as_bytes()).and_then(|()| self.file.sync_data()).map_err(io)?;
            self.shared.checkpoints.fetch_add(1, Ordering::Relaxed);
            self.store.write_blocking(move |tx: &mut Tx<'_>| {
                tx.execute(
                    "INSERT INTO audit_tree (account, size, frontier) VALUES ($1, $2, $3)
                     ON CONFLICT (account) DO UPDATE SET size = excluded.size, frontier = excluded.frontier",
                    params![account, i64::try_from(frontier.size()).unwrap_or(i64::MAX), frontier.to_bytes()],
                )
            })?;
        }
        Ok(())
    }
}

/// Failures that time does not heal: trying the whole batch again would stop the log for the sake of one record.
fn is_hopeless(error: &StoreError) -> bool {
    !matches!(error, StoreError::NoSpace | StoreError::Io(_) | StoreError::Busy)
}

/// Accounts with records, by two index seeks each.
pub(crate) fn accounts(snapshot: &Snapshot<'_>) -> Result<Vec<AccountId>, StoreError> {
    let mut all: Vec<AccountId> = Vec::new();
    loop {
        let last = all.last().map_or("", AccountId::as_str);
        let next = |sql| snapshot.query_opt::<AccountId, StoreError>(sql, params![last], |row| row.parse(0));
        let alone = next("SELECT account FROM audit_record WHERE account > $1 ORDER BY account LIMIT 1")?;
        let together = next("SELECT account FROM audit_segment WHERE account > $1 ORDER BY account LIMIT 1")?;
        match [alone, together].into_iter().flatten().min() {
            Some(account) => all.push(account),
            None => return Ok(all),
        }
    }
}

/// The tree at the last checkpoint; an unreadable one is built anew from the first record.
fn stored_frontier(snapshot: &Snapshot<'_>, account: &AccountId) -> Result<(u64, Frontier), StoreError> {
    let stored =
        snapshot.query_opt("SELECT size, frontier FROM audit_tree WHERE account = $1", params![account], |row| {
            Ok::<_, StoreError>(Frontier::from_bytes(row.get(0)?, row.blob(1)?))
        })?;
    let frontier = stored.flatten().unwrap_or_default();
    Ok((frontier.size(), frontier))
}

fn advance(snapshot: &Snapshot<'_>, account: &AccountId, mut frontier: Frontier) -> Result<Frontier, StoreError> {
    let size = i64::try_from(frontier.size()).unwrap_or(i64::MAX);
    // A checkpoint covers whole commits, so no segment lies across its end.
    snapshot.query_each(
        "SELECT seq, leaf FROM audit_record WHERE account = $1 AND seq > $2
         UNION ALL SELECT first_seq, leaves FROM audit_segment WHERE account = $1 AND first_seq > $2
         ORDER BY 1",
        params![account, size],
        |row| {
            for leaf in row.blob(1)?.chunks_exact(32) {
                frontier.push(leaf.try_into().expect("chunks of 32"));
            }
            Ok::<_, StoreError>(true)
        },
    )?;
    Ok(frontier)
}
