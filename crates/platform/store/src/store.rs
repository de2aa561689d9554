//! The door: opening a data directory, reading, writing, closing.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use marram_types::{Clock, SystemClock};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::connection::{self, Use};
use crate::error::StoreError;
use crate::lock::{DirLock, private_file};
use crate::migrate::{self, Migration};
use crate::pool::ReadPool;
use crate::query::{Snapshot, Tx};
use crate::writer::{self, ClosureJob, Job, WriterStats};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Read connections kept open while idle.
    pub read_connections: usize,
    /// Page cache of each read connection, in KiB; filled on use.
    pub read_cache_kib: u32,
    /// Page cache of the writer, in KiB; filled on use.
    pub write_cache_kib: u32,
    /// Transactions that may wait for the writer; further callers wait for a place.
    pub queue: usize,
    /// Size the database may grow to, in bytes; beyond it writes answer [`StoreError::NoSpace`]. `None`: the disk's.
    pub max_bytes: Option<u64>,
    /// Pages in the write-ahead log before they are copied into the database.
    pub log_pages: u32,
}

/// 16 MiB of write-ahead log.
const LOG_PAGES: u32 = 4096;

impl Default for StoreOptions {
    fn default() -> Self {
        // A commit empties the caches of readers, so more than a way through the trees is seldom used; the writer comes
        // back to the ends of its tables, and finds the rest in the system's memory.
        Self {
            read_connections: 4,
            read_cache_kib: 512,
            write_cache_kib: 3072,
            queue: 4096,
            max_bytes: None,
            log_pages: LOG_PAGES,
        }
    }
}

/// Counts since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// Durable commits.
    pub commits: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Commits that failed.
    pub failed_commits: u64,
}

/// A cheap handle to the open database; clones share it. Dropping the last one closes it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    pool: Arc<ReadPool>,
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
    stats: Arc<WriterStats>,
    _lock: Option<DirLock>,
}

const DATABASE_FILE: &str = "marram.db";

impl Store {
    /// Opens or creates the database of a data directory (0700; files 0600) for this process alone.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub fn open(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_with(dir.as_ref(), options, |_| Ok(())).map(|(store, ())| store)
    }

    /// [`Store::open`] and [`Store::migrate`] in one, then `read` of what a program wants to know at its start: all of it on
    /// one connection and without a change of threads.
    ///
    /// # Errors
    /// As the two, or what `read` answered; then nothing is open.
    pub fn open_and_read<T, E: From<StoreError>>(
        dir: impl AsRef<Path>,
        options: StoreOptions,
        migrations: &[Migration],
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        Self::open_with(dir.as_ref(), options, |connection| {
            writer::at_once(connection, |tx| {
                migrate::apply(tx, migrations, SystemClock.now())?;
                read(tx)
            })
        })
    }

    fn open_with<T, E: From<StoreError>>(
        dir: &Path,
        options: StoreOptions,
        first: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let lock = DirLock::acquire(dir)?;
        let file = dir.join(DATABASE_FILE);
        private_file(&file).map_err(|error| StoreError::Io(format!("{}: {error}", file.display())))?;
        let connection = connection::open(&file, Use::Write, options.write_cache_kib)?;
        if let Some(bytes) = options.max_bytes {
            let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(StoreError::from)?;
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page;
            connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                .map_err(StoreError::from)?;
        }
        let answer = first(&connection)?;
        let stats = Arc::new(WriterStats::default());
        let pool = Arc::new(ReadPool::new(file, options.read_connections, options.read_cache_kib, true));
        let (sender, receiver) = mpsc::channel(options.queue.max(1));
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let (stats, pool) = (Arc::clone(&stats), Arc::clone(&pool));
                move || writer::run(connection, receiver, stats, pool, options.log_pages)
            })
            .map_err(|error| StoreError::Io(format!("writer thread: {error}")))?;
        let inner = Inner {
            dir: dir.to_owned(),
            pool,
            queue: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
            stats,
            _lock: Some(lock),
        };
        Ok((Self { inner: Arc::new(inner) }, answer))
    }

    /// Opens an existing data directory for reading, also while another process writes to it: offline tools.
    /// [`Store::write`] answers [`StoreError::ReadOnly`].
    ///
    /// # Errors
    /// [`StoreError::Io`] when there is no database.
    pub fn open_read_only(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        let file = dir.join(DATABASE_FILE);
        let pool = Arc::new(ReadPool::new(file, options.read_connections, options.read_cache_kib, false));
        pool.read(|_| Ok::<_, StoreError>(()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                dir: dir.to_owned(),
                pool,
                queue: Mutex::new(None),
                writer: Mutex::new(None),
                stats: Arc::default(),
                _lock: None,
            }),
        })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Brings the schema up to date; blocks, so call it at start. May be called once per component.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], [`StoreError::MigrationChanged`], or what a script answered; then nothing changed.
    pub fn migrate(&self, migrations: &[Migration]) -> Result<(), StoreError> {
        let migrations = migrations.to_vec();
        let (job, reply) = ClosureJob::new(move |tx: &mut Tx<'_>| migrate::apply(tx, &migrations, SystemClock.now()));
        let sender = self.sender()?;
        // A thread of its own, because an async caller's thread may not block on a channel.
        thread::scope(|scope| {
            scope
                .spawn(move || {
                    sender.blocking_send(Box::new(job)).map_err(|_| StoreError::Closed)?;
                    reply.blocking_recv().unwrap_or(Err(StoreError::Closed))
                })
                .join()
                .unwrap_or(Err(StoreError::Panicked))
        })
    }

    /// Runs `write` on the writer thread inside a transaction; resolves once it is durable. `Err` from the closure, or a
    /// panic in it, undoes its changes alone. Once queued it runs even when the caller stops waiting.
    ///
    /// Keep closures short: all writers share the thread.
    ///
    /// # Errors
    /// What the closure answered, or the [`StoreError`] that kept the commit from disk.
    pub async fn write<T, E, F>(&self, write: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let sender = self.sender()?;
        let (job, reply) = ClosureJob::new(write);
        sender.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
        // The queue must not outlive `close` because somebody waits here.
        drop(sender);
        reply.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// [`Store::write`] for threads outside the async runtime; panics inside it.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T, E, F>(&self, write: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.wait_for(ClosureJob::new(write))
    }

    /// [`Store::write_blocking`] for what nobody waits to read: a read that begins afterwards may still see the state
    /// before it, for some milliseconds or until [`Store::refresh`]. Spares the readers a new snapshot for each such commit.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_background<T, E, F>(&self, write: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, reply) = ClosureJob::new(write);
        self.wait_for((job.in_background(), reply))
    }

    fn wait_for<T, E, F>(&self, (job, reply): (ClosureJob<F, T, E>, oneshot::Receiver<Result<T, E>>)) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.sender()?.blocking_send(Box::new(job)).map_err(|_| StoreError::Closed)?;
        reply.blocking_recv().unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Reads that begin from now on see everything committed, [`Store::write_background`] included.
    pub fn refresh(&self) {
        self.inner.pool.void();
    }

    /// Runs `read` inline against one consistent snapshot of what is committed.
    ///
    /// # Errors
    /// What the closure answered, or [`StoreError`] when no connection could be opened.
    pub fn read<T, E: From<StoreError>>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T, E>) -> Result<T, E> {
        self.inner.pool.read(read)
    }

    /// Counts since the store was opened.
    pub fn stats(&self) -> StoreStats {
        let stats = &self.inner.stats;
        StoreStats {
            commits: stats.commits.load(Ordering::Relaxed),
            transactions: stats.transactions.load(Ordering::Relaxed),
            failed_commits: stats.failed_commits.load(Ordering::Relaxed),
        }
    }

    /// Whether the last commit failed: the disk is full or broken. Turns false with the next one that succeeds.
    pub fn is_failing(&self) -> bool {
        self.inner.stats.failing.load(Ordering::Relaxed)
    }

    /// Commits what is queued and closes the writer; later writes answer [`StoreError::Closed`]. Blocks shortly.
    pub fn close(&self) {
        self.inner.close();
    }

    fn sender(&self) -> Result<mpsc::Sender<Box<dyn Job>>, StoreError> {
        let queue = self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let absent = if self.inner._lock.is_some() { StoreError::Closed } else { StoreError::ReadOnly };
        queue.clone().ok_or(absent)
    }
}

impl Inner {
    fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.thread().id() != thread::current().id()
        {
            // A panic of the writer thread has been reported to every waiting caller as `Closed`.
            let _ = writer.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
}
