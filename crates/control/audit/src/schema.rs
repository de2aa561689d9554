//! Tables of the audit log.

use marram_store::Migration;

/// What [`marram_store::Store::migrate`] needs before the first append.
///
/// `audit_record` repeats the members LookupEvents filters by in front of the text, so that a scan does not read the
/// texts; [`verify()`](crate::verify()) compares them with it. `audit_tree` holds the state of the tree at the last
/// checkpoint, a cache that can be rebuilt. `audit_segment` holds records that came without a transaction of their own,
/// many in a row; every number stands in one of the two tables.
pub const MIGRATIONS: &[Migration] = &[
    Migration { component: "audit", number: 1, sql: RECORDS },
    Migration { component: "audit", number: 2, sql: SEGMENTS },
];

const RECORDS: &str = "
CREATE TABLE audit_record (
    account TEXT NOT NULL,
    seq BIGINT NOT NULL,
    time BIGINT NOT NULL,
    region TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_source TEXT NOT NULL,
    event_name TEXT NOT NULL,
    read_only BIGINT NOT NULL,
    management BIGINT NOT NULL,
    username TEXT,
    access_key_id TEXT,
    resources TEXT NOT NULL,
    leaf BLOB NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (account, seq)
);
CREATE TABLE audit_tree (
    account TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    frontier BLOB NOT NULL
);
";

const SEGMENTS: &str = "
CREATE TABLE audit_segment (
    account TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    time BIGINT NOT NULL,
    leaf BLOB NOT NULL,
    leaves BLOB NOT NULL,
    texts BLOB NOT NULL,
    PRIMARY KEY (account, first_seq)
);
";
