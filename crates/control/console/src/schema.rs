//! Tables of the console.

use marram_store::Migration;

/// What [`marram_store::Store::migrate`] needs before [`crate::Console::open`].
///
/// `user_folded` is the user's name in lower case, `user_id` its `AIDA..`: a user made anew under an old name inherits
/// neither password nor session. Second factors are sealed, tokens are SHA-256 hashes.
pub const MIGRATIONS: &[Migration] = &[Migration {
    component: "console",
    number: 1,
    sql: "
CREATE TABLE console_credential (
    account TEXT NOT NULL,
    user_folded TEXT NOT NULL,
    user_id TEXT NOT NULL,
    cost_kib BIGINT NOT NULL,
    passes BIGINT NOT NULL,
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    factor BLOB NOT NULL,
    last_step BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (account, user_folded)
);
CREATE TABLE console_session (
    hash BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    user_folded TEXT NOT NULL,
    user_id TEXT NOT NULL,
    factor BLOB,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    source_ip TEXT NOT NULL
);
CREATE INDEX console_session_user ON console_session (account, user_folded);
CREATE TABLE console_link (
    hash BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    user_folded TEXT NOT NULL,
    user_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used BIGINT NOT NULL
);
",
}];
