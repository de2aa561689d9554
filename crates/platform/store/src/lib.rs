//! Transactional storage: SQLite engine, migrations, group commit.
//!
//! [`Store::read`] runs a closure inline on a pooled connection, against one consistent snapshot. [`Store::write`]
//! queues a closure to the single writer thread, which gathers what is waiting into one durable commit, each closure in
//! a savepoint of its own; the future resolves after the commit, so `Ok` means "survives a power cut".
//!
//! SQL is the common subset of SQLite and PostgreSQL: `$n` placeholders, TEXT, BIGINT and BLOB columns, moments as
//! microseconds in a BIGINT. Values and rows are our own types ([`SqlValue`], [`Row`]); no SQLite type leaves this crate.

mod connection;
mod error;
mod lock;
mod migrate;
mod pool;
mod query;
mod store;
mod value;
mod writer;

pub use error::{Constraint, StoreError};
pub use migrate::Migration;
pub use query::{Closing, Row, Snapshot, Tx};
pub use store::{Store, StoreOptions, StoreStats};
pub use value::{FromColumn, SqlValue, ToSqlValue};
