//! Tables: secrets, their versions, stages and tags.

use marram_store::Migration;

/// The schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[Migration { component: "secrets", number: 1, sql: FIRST }];

const FIRST: &str = "
CREATE TABLE secret (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    suffix TEXT NOT NULL, description TEXT, kms_key TEXT,
    created_at BIGINT NOT NULL, changed_at BIGINT NOT NULL, deleted_at BIGINT, delete_after BIGINT,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE TABLE secret_version (
    account TEXT NOT NULL, region TEXT NOT NULL, secret TEXT NOT NULL, version TEXT NOT NULL,
    is_text BIGINT NOT NULL, sealed BLOB NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, secret, version)
) WITHOUT ROWID;
CREATE TABLE secret_stage (
    account TEXT NOT NULL, region TEXT NOT NULL, secret TEXT NOT NULL, stage TEXT NOT NULL, version TEXT NOT NULL,
    PRIMARY KEY (account, region, secret, stage)
) WITHOUT ROWID;
CREATE TABLE secret_tag (
    account TEXT NOT NULL, region TEXT NOT NULL, secret TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (account, region, secret, key)
) WITHOUT ROWID;
";
