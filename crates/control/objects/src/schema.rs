//! Tables of the object store. Keys start with the account, except those of buckets, whose names are unique in the installation.

use marram_store::Migration;

/// The object store's schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[Migration { component: "objects", number: 1, sql: FIRST }];

const FIRST: &str = "
CREATE TABLE s3_bucket (
    name TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL,
    policy TEXT, created_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX s3_bucket_by_account ON s3_bucket (account, name);
CREATE TABLE s3_object (
    account TEXT NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL,
    size BIGINT NOT NULL, etag TEXT NOT NULL, segments TEXT NOT NULL, headers TEXT NOT NULL, checksum TEXT,
    modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, bucket, key)
) WITHOUT ROWID;
CREATE TABLE s3_blob (
    account TEXT NOT NULL, sha256 TEXT NOT NULL, size BIGINT NOT NULL, uses BIGINT NOT NULL,
    PRIMARY KEY (account, sha256)
) WITHOUT ROWID;
CREATE TABLE s3_upload (
    account TEXT NOT NULL, bucket TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL,
    headers TEXT NOT NULL, algorithm TEXT, initiator TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, bucket, key, id)
) WITHOUT ROWID;
CREATE TABLE s3_part (
    account TEXT NOT NULL, upload TEXT NOT NULL, number BIGINT NOT NULL,
    size BIGINT NOT NULL, etag TEXT NOT NULL, sha256 TEXT NOT NULL, checksum TEXT, modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, upload, number)
) WITHOUT ROWID;
CREATE TABLE s3_shared (
    account TEXT NOT NULL, id TEXT NOT NULL, size BIGINT NOT NULL, segments TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, id)
) WITHOUT ROWID;
";
