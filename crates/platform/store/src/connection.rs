//! How a SQLite connection is opened here.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

/// Statements kept prepared per connection; above the number of distinct statements of the whole program.
const STATEMENT_CACHE: usize = 512;

/// Only offline tools compete with this process for the file, and briefly.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Write,
    Read,
}

pub(crate) fn open(file: &Path, use_: Use, cache_kib: u32) -> Result<Connection, StoreError> {
    // One thread uses a connection at a time, so SQLite's own connection mutex is not needed.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // A plan is made once, without looking at the values: else every new value makes the engine compile the statement
    // again, which costs several times what the statement does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    match use_ {
        Use::Write => {
            let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            if mode != "wal" {
                return Err(StoreError::Io(format!("the file system cannot hold a write-ahead log (mode {mode})")));
            }
            connection.pragma_update(None, "synchronous", "FULL")?;
            // The writer sees to it, because readers have to let go first.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            // The log file shrinks back to 64 MiB after a burst.
            connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        }
        Use::Read => connection.pragma_update(None, "query_only", true)?,
    }
    Ok(connection)
}
