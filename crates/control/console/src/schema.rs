//! Tables of the console.

use marram_store::Migration;

/// What [`marram_store::Store::migrate`] needs before [`crate::Console::open`].
///
/// `user_folded` is the user's name in lower case, `user_id` its `AIDA..`: a user made anew under an old name inherits
/// neither password nor session. Second factors are sealed, tokens are SHA-256 hashes.
///
/// A credential id is the installation's only one, whoever it belongs to. `party` is the host a passkey was made at: it
/// works nowhere else. A link that somebody made in the console names who, by ARN.
pub const MIGRATIONS: &[Migration] = &[FIRST, PASSKEYS];

const FIRST: Migration = Migration {
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
};

const PASSKEYS: Migration = Migration {
    component: "console",
    number: 2,
    sql: "
CREATE TABLE console_passkey (
    credential BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    user_folded TEXT NOT NULL,
    user_id TEXT NOT NULL,
    party TEXT NOT NULL,
    name TEXT NOT NULL,
    public_key BLOB NOT NULL,
    aaguid BLOB NOT NULL,
    counter BIGINT NOT NULL,
    backup_eligible BIGINT NOT NULL,
    backed_up BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX console_passkey_user ON console_passkey (account, user_folded);
ALTER TABLE console_link ADD COLUMN created_at BIGINT;
ALTER TABLE console_link ADD COLUMN made_by TEXT;
",
};
