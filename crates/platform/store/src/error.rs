//! What can go wrong with the store, as few clear cases.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Which rule of a table a write broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// A primary key or a unique index: the row exists.
    Unique,
    /// A foreign key: the row referred to is missing, or still referred to.
    ForeignKey,
    /// Any other: NOT NULL, CHECK.
    Other,
}

/// Why the store did not do what it was asked. A failed write left no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has this data directory open.
    #[error("the data directory {dir} is in use by another process")]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// Somebody outside this process held the database for longer than the busy timeout.
    #[error("the database is busy")]
    Busy,
    /// Disk full, or a quota or file-size limit reached. Reads go on; writes work again once there is room.
    #[error("the store cannot grow: no space left on the disk, or a quota or file-size limit is reached")]
    NoSpace,
    /// The file is damaged or not a database.
    #[error("the database file is damaged: {0}")]
    Corrupt(String),
    /// Any other failure of the file system.
    #[error("the database file cannot be accessed: {0}")]
    Io(String),
    /// A rule of the schema was broken by the statement.
    #[error("constraint violated: {detail}")]
    Constraint {
        /// Which kind of rule.
        rule: Constraint,
        /// Table and columns, as the engine tells them.
        detail: String,
    },
    /// `query_one` found no row.
    #[error("no such row")]
    NoRow,
    /// A column does not hold what the code expected.
    #[error("column {column} does not hold {expected}")]
    Column {
        /// Zero-based index in the result.
        column: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// The statement is wrong: syntax, unknown column, wrong number of parameters.
    #[error("statement refused: {0}")]
    Statement(String),
    /// The data was written by a newer version of this program.
    #[error("the schema of `{component}` is at {found}, this program knows {known}: use the newer program")]
    NewerSchema {
        /// Who owns the tables.
        component: String,
        /// Number found in the database.
        found: u32,
        /// Highest number this program knows.
        known: u32,
    },
    /// A migration that was applied differs from the one in this program, or its numbers have gaps.
    #[error("migration {number} of `{component}` is not the one that was applied")]
    MigrationChanged {
        /// Who owns the tables.
        component: String,
        /// Which migration.
        number: u32,
    },
    /// The closure of this write panicked; its changes were rolled back.
    #[error("the transaction panicked and was rolled back")]
    Panicked,
    /// The store was closed, or its writer thread is gone.
    #[error("the store is closed")]
    Closed,
    /// Opened read-only.
    #[error("the store is open for reading only")]
    ReadOnly,
}

impl StoreError {
    /// Whether a unique rule was broken: the row exists already.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Constraint { rule: Constraint::Unique, .. })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match error {
            E::SqliteFailure(code, message) => {
                let text = message.unwrap_or_else(|| code.to_string());
                match code.code {
                    ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
                    ErrorCode::DiskFull => Self::NoSpace,
                    // Quota (EDQUOT) and file-size (EFBIG) limits come back as a failed write, not as a full disk.
                    ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_WRITE => Self::NoSpace,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(text),
                    ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::PermissionDenied
                    | ErrorCode::FileLockingProtocolFailed => Self::Io(text),
                    ErrorCode::ReadOnly => Self::ReadOnly,
                    ErrorCode::ConstraintViolation => Self::Constraint {
                        rule: match code.extended_code {
                            ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                            | ffi::SQLITE_CONSTRAINT_UNIQUE
                            | ffi::SQLITE_CONSTRAINT_ROWID => Constraint::Unique,
                            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Constraint::ForeignKey,
                            _ => Constraint::Other,
                        },
                        detail: text,
                    },
                    _ => Self::Statement(text),
                }
            }
            E::QueryReturnedNoRows => Self::NoRow,
            other => Self::Statement(other.to_string()),
        }
    }
}
