//! Read connections, handed out one closure at a time.
//!
//! A connection that comes back keeps its snapshot: the next read of the same state begins at once and finds its pages in
//! memory. A commit that readers may ask for voids all standing snapshots before its caller is told, so a read never sees
//! less than what had been answered when it began.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::connection::{self, Use};
use crate::error::StoreError;
use crate::query::Snapshot;

/// How long a snapshot may stand: what is written in the background is seen by then.
const SNAPSHOT_LIFE: Duration = Duration::from_millis(10);

/// Keeps up to `idle_max` connections open. A reader that finds none idle opens another, so nested reads cannot
/// deadlock and a slow reader delays nobody.
#[derive(Debug)]
pub(crate) struct ReadPool {
    file: PathBuf,
    cache_kib: u32,
    idle_max: usize,
    /// Whether every writer of the database is in this process and tells of its commits.
    told: bool,
    /// Moves on with every commit that voids standing snapshots.
    version: AtomicU64,
    /// While it is set no snapshot is left standing.
    resting: AtomicBool,
    idle: Mutex<Vec<Reader>>,
}

#[derive(Debug)]
struct Reader {
    connection: Connection,
    standing: Option<Standing>,
}

/// A transaction left open: the version it is at least of, and since when.
#[derive(Debug, Clone, Copy)]
struct Standing {
    version: u64,
    since: Instant,
}

impl Reader {
    fn begin(&mut self, version: u64) -> Result<(), StoreError> {
        if let Some(standing) = self.standing {
            if standing.version == version && standing.since.elapsed() < SNAPSHOT_LIFE {
                return Ok(());
            }
            self.end()?;
        }
        run(&self.connection, "BEGIN")?;
        self.standing = Some(Standing { version, since: Instant::now() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        if self.standing.take().is_some() {
            run(&self.connection, "COMMIT")?;
        }
        Ok(())
    }
}

impl ReadPool {
    /// `told`: [`ReadPool::void`] will be called for every commit there is.
    pub(crate) fn new(file: PathBuf, idle_max: usize, cache_kib: u32, told: bool) -> Self {
        let idle = Mutex::new(Vec::with_capacity(idle_max));
        Self { file, cache_kib, idle_max, told, version: AtomicU64::new(0), resting: AtomicBool::new(false), idle }
    }

    /// Runs `read` against one snapshot. A panic in it drops the connection it used.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // Before the snapshot is made: what is committed in between makes it newer than it says, never older.
        let version = self.version.load(Ordering::Acquire);
        let mut reader = match self.take() {
            Some(reader) => reader,
            None => {
                let connection = connection::open(&self.file, Use::Read, self.cache_kib)?;
                Reader { connection, standing: None }
            }
        };
        reader.begin(version)?;
        let answer = read(&Snapshot::new(&reader.connection));
        if answer.is_err() || !self.told || self.version.load(Ordering::Acquire) != version {
            reader.end()?;
        }
        self.give_back(reader)?;
        answer
    }

    /// Reads that begin from now on see everything committed.
    pub(crate) fn void(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Lets go of the snapshots of idle connections, so that the write-ahead log can be emptied.
    pub(crate) fn rest(&self) {
        self.void();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|reader| reader.end().is_ok());
    }

    /// Runs `work` while no connection that comes back keeps its snapshot.
    pub(crate) fn at_rest<T>(&self, work: impl FnOnce() -> T) -> T {
        self.resting.store(true, Ordering::Release);
        self.rest();
        let answer = work();
        self.resting.store(false, Ordering::Release);
        answer
    }

    fn take(&self) -> Option<Reader> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, mut reader: Reader) -> Result<(), StoreError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: whoever sets it afterwards finds this connection among the idle ones.
        if self.resting.load(Ordering::Acquire) {
            reader.end()?;
        }
        if idle.len() < self.idle_max {
            idle.push(reader);
        }
        Ok(())
    }
}

fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.raw_execute()?;
    Ok(())
}
