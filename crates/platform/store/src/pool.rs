//! Read connections, handed out one closure at a time.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use crate::connection::{self, Use};
use crate::error::StoreError;
use crate::query::Snapshot;

/// Keeps up to `idle_max` connections open. A reader that finds none idle opens another, so nested reads cannot
/// deadlock and a slow reader delays nobody.
#[derive(Debug)]
pub(crate) struct ReadPool {
    file: PathBuf,
    cache_kib: u32,
    idle_max: usize,
    idle: Mutex<Vec<Connection>>,
}

impl ReadPool {
    pub(crate) fn new(file: PathBuf, idle_max: usize, cache_kib: u32) -> Self {
        Self { file, cache_kib, idle_max, idle: Mutex::new(Vec::with_capacity(idle_max)) }
    }

    /// Runs `read` against one snapshot. A panic in it drops the connection it used.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = match self.take() {
            Some(connection) => connection,
            None => connection::open(&self.file, Use::Read, self.cache_kib)?,
        };
        run(&connection, "BEGIN")?;
        let answer = read(&Snapshot::new(&connection));
        run(&connection, "COMMIT")?;
        self.give_back(connection);
        answer
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.idle_max {
            idle.push(connection);
        }
    }
}

fn run(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.raw_execute()?;
    Ok(())
}
