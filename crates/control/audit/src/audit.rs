//! The keeper of the log: takes records that need no transaction of their own, and makes checkpoints.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use marram_store::{Snapshot, Store, StoreError, Tx, params};
use marram_types::{AccountId, Region, SharedClock};

use crate::chain::{Prepared, append, append_prepared, head};
use crate::checkpoint::{Checkpoint, complete_length};
use crate::key::AuditKey;
use crate::record::{AuditRecord, Decision, EventType, UserIdentity};
use crate::tree::Frontier;

/// Records that may wait to be written; more are counted and the count is written instead.
const QUEUE: usize = 16_384;

/// Records written in one transaction.
const BATCH: usize = 256;

/// A log that grew by this much gets a checkpoint at once (security.md 7.2).
const CHECKPOINT_RECORDS: u64 = 1_000;

/// A log that grew at all gets a checkpoint this often (security.md 7.2).
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// How often the keeper looks whether a checkpoint is due.
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

/// Counts since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditStats {
    /// Records taken by [`Audit::enqueue`].
    pub enqueued: u64,
    /// Records that found the queue full.
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
    shared: Arc<Shared>,
    dir: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    enqueued: AtomicU64,
    dropped: AtomicU64,
    checkpoints: AtomicU64,
    /// Dropped records not yet told about, per account.
    owed: Mutex<BTreeMap<(AccountId, Region), u64>>,
}

enum Message {
    Record(Box<Prepared>),
    /// Write what came before, then answer.
    Flush(SyncSender<()>),
    /// As `Flush`, and make checkpoints.
    Checkpoint(SyncSender<()>),
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
        let keeper = Keeper { store, clock, key, file, shared: Arc::clone(&shared), last: Instant::now() };
        let keeper = thread::Builder::new()
            .name("audit-keeper".to_owned())
            .spawn(move || keeper.run(&receiver))
            .map_err(|error| AuditError::File { path: dir.clone(), error })?;
        Ok(Self { inner: Arc::new(Inner { queue, keeper: Mutex::new(Some(keeper)), shared, dir }) })
    }

    /// Hands over the record of a call that changed nothing. Never waits: when the queue is full the record is counted,
    /// and the count becomes a record of its own as soon as there is room.
    pub fn enqueue(&self, record: AuditRecord) {
        let shared = &self.inner.shared;
        let (account, region) = (record.account.clone(), record.region.clone());
        match self.inner.queue.try_send(Message::Record(Box::new(record.prepare()))) {
            Ok(()) => {
                shared.enqueued.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
                let mut owed = shared.owed.lock().unwrap_or_else(PoisonError::into_inner);
                *owed.entry((account, region)).or_insert(0) += 1;
            }
        }
    }

    /// Waits until everything enqueued before is durable. Blocks.
    pub fn flush(&self) {
        self.ask(Message::Flush);
    }

    /// Waits until every log is covered by a checkpoint up to what was enqueued before. Blocks.
    pub fn checkpoint(&self) {
        self.ask(Message::Checkpoint);
    }

    /// Writes what is queued, makes the last checkpoints and stops. Later records are counted as dropped. Blocks.
    pub fn close(&self) {
        let keeper = self.inner.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            let _ = self.inner.queue.send(Message::Close);
            if keeper.join().is_err() {
                tracing::error!("the audit keeper panicked");
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

    /// The directory of key and checkpoints of a data directory.
    pub fn dir_of(data_dir: &Path) -> PathBuf {
        data_dir.join(AUDIT_DIR)
    }

    /// The checkpoint file of a data directory.
    pub fn checkpoint_file_of(data_dir: &Path) -> PathBuf {
        data_dir.join(AUDIT_DIR).join(CHECKPOINT_FILE)
    }

    fn ask(&self, message: impl FnOnce(SyncSender<()>) -> Message) {
        let (done, wait) = sync_channel(1);
        if self.inner.queue.send(message(done)).is_ok() {
            // An error means that the keeper is gone, and with it what it would have waited for.
            let _ = wait.recv();
        }
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

/// The thread behind [`Audit`].
struct Keeper {
    store: Store,
    clock: SharedClock,
    key: AuditKey,
    file: File,
    shared: Arc<Shared>,
    /// When the last round of checkpoints was made.
    last: Instant,
}

impl Keeper {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut next_look = Instant::now() + TICK;
        loop {
            let message = queue.recv_timeout(next_look.saturating_duration_since(Instant::now()));
            match message {
                Ok(Message::Record(record)) => {
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
                self.checkpoint(false);
                next_look = Instant::now() + TICK;
            }
        }
    }

    /// Answers whether to stop.
    fn answer(&mut self, message: Message) -> bool {
        self.write_owed();
        match message {
            Message::Record(record) => self.write(vec![*record]),
            Message::Flush(done) => {
                let _ = done.send(());
            }
            Message::Checkpoint(done) => {
                self.checkpoint(true);
                let _ = done.send(());
            }
            Message::Close => {
                self.checkpoint(true);
                return true;
            }
        }
        false
    }

    fn write(&self, batch: Vec<Prepared>) {
        let batch = Arc::new(batch);
        let again = Arc::clone(&batch);
        let attempt = |batch: Arc<Vec<Prepared>>| {
            self.store.write_blocking(move |tx: &mut Tx<'_>| {
                batch.iter().try_for_each(|record| append_prepared(tx, record.clone(), None).map(|_| ()))
            })
        };
        let outcome = attempt(batch).or_else(|error: StoreError| {
            tracing::warn!(%error, "audit records could not be written; trying once more");
            attempt(Arc::clone(&again))
        });
        if let Err(error) = outcome {
            tracing::error!(%error, count = again.len(), "audit records lost");
            self.shared.dropped.fetch_add(again.len() as u64, Ordering::Relaxed);
            let mut owed = self.shared.owed.lock().unwrap_or_else(PoisonError::into_inner);
            for record in again.iter() {
                *owed.entry(record.realm()).or_insert(0) += 1;
            }
        }
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
                tracing::error!(%error, %account, count, "audit records lost");
                let mut owed = self.shared.owed.lock().unwrap_or_else(PoisonError::into_inner);
                *owed.entry((account, region)).or_insert(0) += count;
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
                let grown = u64::try_from(seq).unwrap_or(0).saturating_sub(size);
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

/// Accounts with records, by one index seek each.
pub(crate) fn accounts(snapshot: &Snapshot<'_>) -> Result<Vec<AccountId>, StoreError> {
    let mut all: Vec<AccountId> = Vec::new();
    loop {
        let last = all.last().map_or("", AccountId::as_str);
        let next = snapshot.query_opt(
            "SELECT account FROM audit_record WHERE account > $1 ORDER BY account LIMIT 1",
            params![last],
            |row| row.parse(0),
        )?;
        match next {
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
    snapshot.query_each(
        "SELECT leaf FROM audit_record WHERE account = $1 AND seq > $2 ORDER BY seq",
        params![account, i64::try_from(frontier.size()).unwrap_or(i64::MAX)],
        |row| {
            frontier.push(row.get(0)?);
            Ok::<_, StoreError>(true)
        },
    )?;
    Ok(frontier)
}
