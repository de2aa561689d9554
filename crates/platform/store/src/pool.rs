//! Read connections, handed out one closure at a time.
//!
//! A connection that comes back keeps its snapshot: the next read of the same state begins at once and finds its pages in
//! memory. A commit that readers may ask for voids all standing snapshots before its caller is told, so a read never sees
//! less than what had been answered when it began.
//!
//! A thread comes back to the connection it used last: what it knows is still near the processor the thread runs on.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    /// Whether every writer of the database is in this process and tells of its commits.
    told: bool,
    /// Moves on with every commit that voids standing snapshots.
    version: AtomicU64,
    /// While it is set no snapshot is left standing.
    resting: AtomicBool,
    idle: Box<[Place]>,
}

/// Where one connection waits, in memory that no other place shares a line with.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(Mutex<Option<Reader>>);

impl Place {
    fn lock(&self) -> MutexGuard<'_, Option<Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// The place of the connection that this thread used last, in whichever pool.
    static LAST: Cell<usize> = const { Cell::new(0) };
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
        let idle = (0..idle_max).map(|_| Place::default()).collect();
        Self { file, cache_kib, told, version: AtomicU64::new(0), resting: AtomicBool::new(false), idle }
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
        for place in &self.idle {
            let mut held = place.lock();
            if held.as_mut().is_some_and(|reader| reader.end().is_err()) {
                *held = None;
            }
        }
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
        self.places().find_map(|(index, place)| {
            let reader = place.lock().take()?;
            LAST.set(index);
            Some(reader)
        })
    }

    /// A connection that finds no place is closed.
    fn give_back(&self, mut reader: Reader) -> Result<(), StoreError> {
        for (index, place) in self.places() {
            let mut held = place.lock();
            if held.is_none() {
                // Under the lock: whoever sets it afterwards finds this connection among the idle ones.
                if self.resting.load(Ordering::Acquire) {
                    reader.end()?;
                }
                *held = Some(reader);
                LAST.set(index);
                break;
            }
        }
        Ok(())
    }

    /// All places, this thread's last one first.
    fn places(&self) -> impl Iterator<Item = (usize, &Place)> {
        let last = LAST.get().min(self.idle.len().saturating_sub(1));
        let (before, from) = self.idle.split_at(last);
        (last..).zip(from).chain(before.iter().enumerate())
    }
}

fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.raw_execute()?;
    Ok(())
}
