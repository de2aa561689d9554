//! The tables of the service. Every key starts with account and region (TG 11.4); the public namespace is account `aws`.

use marram_store::Migration;

/// What `Store::migrate` is given at start.
pub const MIGRATIONS: &[Migration] = &[
    Migration { component: "things-graph", number: 1, sql: VERSION_1 },
    Migration { component: "things-graph", number: 2, sql: VERSION_2 },
    Migration { component: "things-graph", number: 3, sql: VERSION_3 },
];

const VERSION_1: &str = "
CREATE TABLE tg_namespace (
    account TEXT NOT NULL, region TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region)
) WITHOUT ROWID;
-- generation grows when a version is extended in place
CREATE TABLE tg_namespace_version (
    account TEXT NOT NULL, region TEXT NOT NULL, version BIGINT NOT NULL,
    public_version BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, version)
) WITHOUT ROWID;
-- an entity is part of the versions first_version ..= last_version; last_version NULL: still current
CREATE TABLE tg_entity (
    account TEXT NOT NULL, region TEXT NOT NULL, urn_key TEXT NOT NULL,
    first_version BIGINT NOT NULL,
    last_version BIGINT,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, urn_key, first_version)
);
CREATE TABLE tg_upload (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    status TEXT NOT NULL,
    document TEXT,
    sync_public BIGINT NOT NULL,
    deprecate_existing BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT,
    failure TEXT,
    PRIMARY KEY (account, region, id)
);
CREATE INDEX tg_upload_open ON tg_upload (status, account, region, seq);
CREATE TABLE tg_deletion (
    account TEXT NOT NULL, region TEXT NOT NULL,
    status TEXT NOT NULL,
    message TEXT,
    requested_at BIGINT NOT NULL,
    PRIMARY KEY (account, region)
) WITHOUT ROWID;
CREATE TABLE tg_association (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL,
    device_key TEXT NOT NULL,
    device_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing)
) WITHOUT ROWID;
CREATE INDEX tg_association_device ON tg_association (account, region, device_key, thing);
CREATE TABLE tg_template (
    account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, urn_key TEXT NOT NULL,
    id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    deprecated BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, kind, urn_key)
) WITHOUT ROWID;
-- pinned: the caller named the namespace version; otherwise it floats with the latest
CREATE TABLE tg_template_revision (
    account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, urn_key TEXT NOT NULL, revision BIGINT NOT NULL,
    definition TEXT NOT NULL,
    version BIGINT NOT NULL,
    pinned BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, kind, urn_key, revision)
);
-- what the current revision uses: device models of a flow, flows of a system
CREATE TABLE tg_template_use (
    account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, urn_key TEXT NOT NULL, used_key TEXT NOT NULL,
    PRIMARY KEY (account, region, kind, urn_key, used_key)
) WITHOUT ROWID;
CREATE TABLE tg_instance (
    account TEXT NOT NULL, region TEXT NOT NULL, urn_key TEXT NOT NULL,
    id TEXT NOT NULL,
    definition TEXT NOT NULL,
    system_key TEXT NOT NULL,
    target TEXT NOT NULL,
    status TEXT NOT NULL,
    role_arn TEXT,
    metrics TEXT,
    version BIGINT NOT NULL,
    dependencies TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    snapshot TEXT,
    snapshot_sha256 TEXT,
    PRIMARY KEY (account, region, urn_key)
);
CREATE INDEX tg_instance_status ON tg_instance (status, account, region, urn_key);
CREATE TABLE tg_tag (
    account TEXT NOT NULL, region TEXT NOT NULL, urn_key TEXT NOT NULL, key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (account, region, urn_key, key)
) WITHOUT ROWID;
";

/// The target GREENGRASS: where a deployment goes, what was last sent there, what cores say of it.
const VERSION_2: &str = "
ALTER TABLE tg_instance ADD COLUMN group_name TEXT;
ALTER TABLE tg_instance ADD COLUMN group_resource TEXT;
ALTER TABLE tg_instance ADD COLUMN group_id TEXT;
ALTER TABLE tg_instance ADD COLUMN group_version TEXT;
ALTER TABLE tg_instance ADD COLUMN bucket TEXT;
-- 1: the deployments sent to the target hold it
ALTER TABLE tg_instance ADD COLUMN in_target BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tg_instance_target ON tg_instance (account, region, group_resource, urn_key);
CREATE TABLE tg_core_report (
    account TEXT NOT NULL, region TEXT NOT NULL, urn_key TEXT NOT NULL, thing TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    message TEXT,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, urn_key, thing)
) WITHOUT ROWID;
CREATE INDEX tg_core_report_thing ON tg_core_report (account, region, thing, urn_key);
";

/// The artifact of a deployment to cores, in its bucket.
const VERSION_3: &str = "ALTER TABLE tg_instance ADD COLUMN artifact TEXT;";
