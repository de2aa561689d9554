//! Tables of identities.

use marram_store::Migration;

/// What [`marram_store::Store::migrate`] needs before [`crate::Identity::open`].
///
/// An entity (user, group, role, managed policy) is a row with its body as JSON; what refers to another entity stands in
/// tables of its own, so that a deletion can be refused inside the transaction. `folded` is the name in lower case: names
/// that differ in case only are the same name. Secrets are sealed before they get here.
pub const MIGRATIONS: &[Migration] = &[Migration {
    component: "identity",
    number: 1,
    sql: "
CREATE TABLE account (
    account TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE iam_entity (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    folded TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (account, kind, folded)
);
CREATE TABLE iam_attachment (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    folded TEXT NOT NULL,
    policy_arn TEXT NOT NULL,
    attached_at BIGINT NOT NULL,
    PRIMARY KEY (account, kind, folded, policy_arn)
);
CREATE INDEX iam_attachment_policy ON iam_attachment (account, policy_arn);
CREATE TABLE iam_member (
    account TEXT NOT NULL,
    group_folded TEXT NOT NULL,
    user_folded TEXT NOT NULL,
    PRIMARY KEY (account, group_folded, user_folded)
);
CREATE INDEX iam_member_user ON iam_member (account, user_folded);
CREATE TABLE iam_access_key (
    access_key_id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    user_folded TEXT NOT NULL,
    active BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX iam_access_key_user ON iam_access_key (account, user_folded);
CREATE TABLE iam_key_use (
    access_key_id TEXT PRIMARY KEY,
    used_at BIGINT NOT NULL,
    service TEXT NOT NULL,
    region TEXT NOT NULL
);
CREATE TABLE sts_session (
    access_key_id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    issuer_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    policies TEXT NOT NULL,
    revoked BIGINT NOT NULL
);
CREATE INDEX sts_session_expiry ON sts_session (expires_at);
",
}];
