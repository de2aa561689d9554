//! Tables of the registry. Every key starts with account and region, except the one table that finds out whose a
//! certificate is.

use marram_store::Migration;

/// The registry's schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[Migration { component: "registry", number: 1, sql: FIRST }];

const FIRST: &str = "
CREATE TABLE iot_thing (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    id TEXT NOT NULL, type TEXT, attributes TEXT NOT NULL, version BIGINT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE INDEX iot_thing_by_type ON iot_thing (account, region, type, name) WHERE type IS NOT NULL;
CREATE TABLE iot_thing_attribute (
    account TEXT NOT NULL, region TEXT NOT NULL, attribute TEXT NOT NULL, value TEXT NOT NULL, thing TEXT NOT NULL,
    PRIMARY KEY (account, region, attribute, value, thing)
) WITHOUT ROWID;
CREATE TABLE iot_thing_type (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    id TEXT NOT NULL, properties TEXT NOT NULL, deprecated_at BIGINT, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE TABLE iot_thing_group (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    id TEXT NOT NULL, parent TEXT, root TEXT NOT NULL, depth BIGINT NOT NULL, description TEXT,
    attributes TEXT NOT NULL, version BIGINT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE INDEX iot_thing_group_by_parent ON iot_thing_group (account, region, parent, name);
CREATE TABLE iot_group_member (
    account TEXT NOT NULL, region TEXT NOT NULL, group_name TEXT NOT NULL, thing TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, group_name, thing)
) WITHOUT ROWID;
CREATE INDEX iot_group_member_by_thing ON iot_group_member (account, region, thing, group_name);
CREATE TABLE iot_certificate (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    der BLOB NOT NULL, status TEXT NOT NULL, mode TEXT NOT NULL, ca_id TEXT,
    not_before BIGINT NOT NULL, not_after BIGINT NOT NULL,
    customer_version BIGINT NOT NULL, generation TEXT NOT NULL,
    created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, id)
) WITHOUT ROWID;
CREATE INDEX iot_certificate_by_age ON iot_certificate (account, region, created_at, id);
CREATE INDEX iot_certificate_by_ca ON iot_certificate (account, region, ca_id, created_at, id) WHERE ca_id IS NOT NULL;
CREATE TABLE iot_certificate_home (
    id TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE iot_ca_certificate (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    der BLOB NOT NULL, subject BLOB NOT NULL, status TEXT NOT NULL, mode TEXT NOT NULL, auto_registration TEXT NOT NULL,
    registration TEXT, not_before BIGINT NOT NULL, not_after BIGINT NOT NULL,
    customer_version BIGINT NOT NULL, generation TEXT NOT NULL,
    created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, id)
) WITHOUT ROWID;
CREATE INDEX iot_ca_certificate_by_subject ON iot_ca_certificate (account, region, subject, id);
CREATE INDEX iot_ca_certificate_by_age ON iot_ca_certificate (account, region, created_at, id);
CREATE TABLE iot_registration_code (
    account TEXT NOT NULL, region TEXT NOT NULL, code TEXT NOT NULL,
    PRIMARY KEY (account, region)
) WITHOUT ROWID;
CREATE TABLE iot_policy (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    default_version BIGINT NOT NULL, last_version BIGINT NOT NULL, generation TEXT NOT NULL,
    created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE TABLE iot_policy_version (
    account TEXT NOT NULL, region TEXT NOT NULL, policy TEXT NOT NULL, version BIGINT NOT NULL,
    document TEXT NOT NULL, generation TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, policy, version)
) WITHOUT ROWID;
CREATE TABLE iot_policy_attachment (
    account TEXT NOT NULL, region TEXT NOT NULL, target TEXT NOT NULL, policy TEXT NOT NULL,
    attached_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, target, policy)
) WITHOUT ROWID;
CREATE INDEX iot_policy_attachment_by_policy ON iot_policy_attachment (account, region, policy, target);
CREATE TABLE iot_thing_principal (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, principal TEXT NOT NULL,
    type TEXT NOT NULL, attached_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing, principal)
) WITHOUT ROWID;
CREATE INDEX iot_thing_principal_by_principal ON iot_thing_principal (account, region, principal, thing);
CREATE TABLE iot_role_alias (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    role_arn TEXT NOT NULL, duration_secs BIGINT NOT NULL,
    created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE TABLE iot_tag (
    account TEXT NOT NULL, region TEXT NOT NULL, resource TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (account, region, resource, key)
) WITHOUT ROWID;
";
