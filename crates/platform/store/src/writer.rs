//! The writer thread: gathers waiting transactions into one durable commit.
//!
//! Each closure behind the first runs in a savepoint, so one that fails or panics is undone alone. When the engine itself undoes the
//! whole commit (disk full, I/O failure), every closure of the batch is told so: nothing is acknowledged that is not
//! on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::connection::BUSY_TIMEOUT;
use crate::error::StoreError;
use crate::pool::ReadPool;
use crate::query::{Closings, Memo, Tx};

/// Transactions in one commit at most.
const BATCH_MAX: usize = 1024;

/// How long a batch gathers at most while more keep arriving.
const BATCH_TIME_MAX: Duration = Duration::from_millis(10);

/// How long the writer stands still for readers that keep the log from beginning anew, once it is twice as long as it
/// ought to be, and again after each further length that it ought to have. Few processors and many readers need it: one of them is
/// always in the middle of a read.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);

/// One queued transaction.
pub(crate) trait Job: Send {
    /// Whether readers may go on without it for a while.
    fn is_background(&self) -> bool;

    /// Runs the closure, adds what it leaves to `closings`. `Err`: undo its changes, `memo` is empty then; with the last
    /// failure of the engine, if there was one.
    fn run(
        &mut self,
        connection: &Connection,
        memo: &mut Memo,
        closings: &mut Closings,
    ) -> Result<(), Option<StoreError>>;

    /// Tells the caller, once the commit is through or has failed.
    fn finish(self: Box<Self>, commit: Result<(), StoreError>);
}

/// Counts of the writer, for metrics.
#[derive(Debug, Default)]
pub(crate) struct WriterStats {
    pub(crate) commits: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    /// The last commit failed.
    pub(crate) failing: AtomicBool,
}

impl WriterStats {
    fn failed(&self) {
        self.failed_commits.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    fn committed(&self, transactions: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.transactions.fetch_add(transactions as u64, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
    }
}

/// A closure, its result once it ran, and who waits for it.
pub(crate) struct ClosureJob<F, T, E> {
    background: bool,
    closure: Option<F>,
    result: Option<Result<T, E>>,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> ClosureJob<F, T, E> {
    pub(crate) fn new(closure: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, receiver) = oneshot::channel();
        (Self { background: false, closure: Some(closure), result: None, after_commit: Vec::new(), reply }, receiver)
    }

    /// The same, written in the background.
    pub(crate) fn in_background(self) -> Self {
        Self { background: true, ..self }
    }
}

impl<F, T, E> Job for ClosureJob<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn is_background(&self) -> bool {
        self.background
    }

    fn run(
        &mut self,
        connection: &Connection,
        memo: &mut Memo,
        closings: &mut Closings,
    ) -> Result<(), Option<StoreError>> {
        let Some(closure) = self.closure.take() else { return Err(None) };
        let mut tx = Tx::new(connection, std::mem::take(memo));
        let result =
            catch_unwind(AssertUnwindSafe(|| closure(&mut tx))).unwrap_or_else(|_| Err(E::from(StoreError::Panicked)));
        let outcome = if result.is_ok() {
            let closing;
            (self.after_commit, *memo, closing) = tx.into_parts();
            closings.append(closing);
            Ok(())
        } else {
            Err(tx.into_failure())
        };
        self.result = Some(result);
        outcome
    }

    fn finish(self: Box<Self>, commit: Result<(), StoreError>) {
        let result = match (commit, self.result) {
            (Ok(()), Some(result)) => result,
            // The closure's own error tells more than that of the commit it was not part of.
            (Err(_), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(E::from(error)),
            (Ok(()), None) => Err(E::from(StoreError::Closed)),
        };
        if result.is_ok() {
            for then in self.after_commit {
                if catch_unwind(AssertUnwindSafe(then)).is_err() {
                    tracing::error!("an after-commit step panicked");
                }
            }
        }
        // A caller that stopped waiting does not undo its transaction.
        let _ = self.reply.send(result);
    }
}

pub(crate) fn run(
    connection: Connection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    stats: Arc<WriterStats>,
    readers: Arc<ReadPool>,
    log_pages: u32,
) {
    let mut copies = true;
    let pages = i64::from(log_pages);
    let mut log = Log { pages, waits_at: 2 * pages };
    while let Some(first) = queue.blocking_recv() {
        batch(&connection, first, &mut queue, &stats, &readers);
        let copied = log.checkpoint(&connection, &readers);
        if let Err(error) = &copied
            && copies
        {
            tracing::warn!(%error, "the write-ahead log cannot be copied into the database; it grows until it can");
        }
        copies = copied.is_ok();
    }
    readers.rest();
    // Leaves one file behind for whoever copies it; a failure only means a longer recovery at the next start.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// One durable transaction on the calling thread, before the writer has one.
pub(crate) fn at_once<T, E: From<StoreError>>(
    connection: &Connection,
    write: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let mut tx = Tx::new(connection, Memo::default());
    let result = write(&mut tx).and_then(|answer| {
        let (_, memo, closings) = tx.into_parts();
        closings.run(connection, memo).and_then(|()| execute(connection, "COMMIT")).map(|()| answer).map_err(E::from)
    });
    if result.is_err() && !connection.is_autocommit() {
        let _ = execute(connection, "ROLLBACK");
    }
    result
}

/// The write-ahead log, as the writer keeps it short.
struct Log {
    /// Pages from which on it is copied.
    pages: i64,
    /// Pages from which on the writer waits for readers.
    waits_at: i64,
}

impl Log {
    /// Copies the log into the database once it is long. The next commit begins it anew if no reader holds on to a state
    /// inside it.
    fn checkpoint(&mut self, connection: &Connection, readers: &ReadPool) -> Result<(), StoreError> {
        let pages = |sql| connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)));
        let (log, _): (i64, i64) = pages("PRAGMA wal_checkpoint(NOOP)")?;
        if log < self.pages {
            self.waits_at = 2 * self.pages;
            return Ok(());
        }
        if log >= self.waits_at {
            self.waits_at = log + self.pages;
            connection.busy_timeout(CHECKPOINT_WAIT)?;
            // Readers that begin after all is copied read the database alone: each of the others has to end only once.
            let copied: Result<(i64, i64), rusqlite::Error> =
                readers.at_rest(|| pages("PRAGMA wal_checkpoint(RESTART)"));
            connection.busy_timeout(BUSY_TIMEOUT)?;
            return Ok(copied.map(drop)?);
        }
        readers.rest();
        let (log, copied): (i64, i64) = pages("PRAGMA wal_checkpoint(PASSIVE)")?;
        if copied == log {
            readers.rest();
        }
        Ok(())
    }
}

/// Runs one commit: the first job and those that wait behind it.
fn batch(
    connection: &Connection,
    first: Box<dyn Job>,
    queue: &mut mpsc::Receiver<Box<dyn Job>>,
    stats: &WriterStats,
    readers: &ReadPool,
) {
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
        stats.failed();
        first.finish(Err(error));
        return;
    }
    let started = Instant::now();
    let mut done = Vec::new();
    let mut memo = Memo::default();
    let mut closings = Closings::default();
    let mut waiting = Some(first);
    let mut outcome = Ok(());
    while let Some(job) = waiting.take() {
        outcome = run_one(connection, job, &mut done, &mut memo, &mut closings);
        if outcome.is_err() {
            break;
        }
        if done.len() < BATCH_MAX && started.elapsed() < BATCH_TIME_MAX {
            waiting = queue.try_recv().ok();
        }
    }
    let outcome = outcome.and_then(|()| close(connection, closings, memo)).and_then(|()| execute(connection, "COMMIT"));
    if outcome.is_err() {
        stats.failed();
        if !connection.is_autocommit() {
            let _ = execute(connection, "ROLLBACK");
        }
    } else {
        stats.committed(done.len());
        if !done.iter().all(|job| job.is_background()) {
            readers.void();
        }
    }
    for job in done {
        job.finish(outcome.clone());
    }
}

/// Runs one job so that it can be undone alone: the first of a commit with all there is, those behind it in savepoints.
/// `Err`: the transaction around it is lost.
fn run_one(
    connection: &Connection,
    mut job: Box<dyn Job>,
    done: &mut Vec<Box<dyn Job>>,
    memo: &mut Memo,
    closings: &mut Closings,
) -> Result<(), StoreError> {
    let is_first = done.is_empty();
    if !is_first && let Err(error) = execute(connection, "SAVEPOINT job") {
        job.finish(Err(error.clone()));
        return Err(error);
    }
    let outcome = job.run(connection, memo, closings);
    done.push(job);
    // On a full disk or an I/O failure the engine may roll back everything by itself.
    if connection.is_autocommit() {
        let failure = outcome.err().flatten();
        return Err(failure.unwrap_or_else(|| StoreError::Io("the transaction was rolled back".to_owned())));
    }
    match (outcome, is_first) {
        (Ok(()), true) => Ok(()),
        (Ok(()), false) => execute(connection, "RELEASE job"),
        (Err(_), true) => {
            execute(connection, "ROLLBACK")?;
            execute(connection, "BEGIN IMMEDIATE")
        }
        (Err(_), false) => {
            execute(connection, "ROLLBACK TO job")?;
            execute(connection, "RELEASE job")
        }
    }
}

/// Writes what the jobs left to be written together.
fn close(connection: &Connection, closings: Closings, memo: Memo) -> Result<(), StoreError> {
    catch_unwind(AssertUnwindSafe(|| closings.run(connection, memo))).unwrap_or(Err(StoreError::Panicked))
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.raw_execute()?;
    Ok(())
}
