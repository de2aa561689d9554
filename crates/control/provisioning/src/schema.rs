//! Tables of provisioning.

use marram_store::Migration;

/// The schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[Migration { component: "provisioning", number: 1, sql: FIRST }];

const FIRST: &str = "
CREATE TABLE iot_provisioning_template (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    description TEXT NOT NULL, enabled BIGINT NOT NULL, role_arn TEXT NOT NULL, type TEXT NOT NULL, hook TEXT,
    default_version BIGINT NOT NULL, last_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE TABLE iot_provisioning_template_version (
    account TEXT NOT NULL, region TEXT NOT NULL, template TEXT NOT NULL, version BIGINT NOT NULL,
    body TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, template, version)
) WITHOUT ROWID;
CREATE TABLE iot_certificate_ownership (
    account TEXT NOT NULL, region TEXT NOT NULL, certificate TEXT NOT NULL,
    token BLOB NOT NULL, principal TEXT NOT NULL, expires_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, certificate)
) WITHOUT ROWID;
CREATE UNIQUE INDEX iot_certificate_ownership_by_token ON iot_certificate_ownership (account, region, token);
CREATE INDEX iot_certificate_ownership_by_end ON iot_certificate_ownership (expires_at);
";
