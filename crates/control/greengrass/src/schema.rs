//! Tables of Greengrass. Every key starts with account and region.

use marram_store::Migration;

/// The schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[
    Migration { component: "greengrass", number: 1, sql: FIRST },
    Migration { component: "greengrass", number: 2, sql: REVISIONS },
];

/// The last revision that a target was given. It outlives the deployments: a core that was away knows one from the next by it.
const REVISIONS: &str = "
CREATE TABLE gg_revision (
    account TEXT NOT NULL, region TEXT NOT NULL, target TEXT NOT NULL, revision BIGINT NOT NULL,
    PRIMARY KEY (account, region, target)
) WITHOUT ROWID;
INSERT INTO gg_revision SELECT account, region, target, MAX(revision) FROM gg_deployment GROUP BY account, region, target;
";

const FIRST: &str = "
CREATE TABLE gg_component (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    state TEXT NOT NULL, message TEXT NOT NULL, errors TEXT NOT NULL, recipe TEXT NOT NULL,
    artifacts TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, name, version)
) WITHOUT ROWID;
CREATE TABLE gg_request (
    account TEXT NOT NULL, region TEXT NOT NULL, operation TEXT NOT NULL, token TEXT NOT NULL,
    digest TEXT NOT NULL, answer TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, operation, token)
) WITHOUT ROWID;
CREATE INDEX gg_request_by_age ON gg_request (created_at);
CREATE TABLE gg_deployment (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    target TEXT NOT NULL, revision BIGINT NOT NULL, latest BIGINT NOT NULL, status TEXT NOT NULL,
    name TEXT, parent TEXT, request TEXT NOT NULL, job TEXT, large TEXT, large_sha256 TEXT,
    delivered BIGINT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, id)
) WITHOUT ROWID;
CREATE INDEX gg_deployment_by_target ON gg_deployment (account, region, target, revision);
CREATE INDEX gg_deployment_by_age ON gg_deployment (account, region, created_at, id);
CREATE INDEX gg_deployment_by_job ON gg_deployment (account, region, job) WHERE job IS NOT NULL;
CREATE TABLE gg_core (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL,
    version TEXT NOT NULL, platform TEXT NOT NULL, architecture TEXT NOT NULL, runtime TEXT NOT NULL,
    status TEXT NOT NULL, sequence BIGINT NOT NULL, telemetry TEXT, updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing)
) WITHOUT ROWID;
CREATE TABLE gg_installed (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, component TEXT NOT NULL,
    version TEXT NOT NULL, state TEXT NOT NULL, details TEXT NOT NULL, codes TEXT NOT NULL, root BIGINT NOT NULL,
    source TEXT NOT NULL, changed_at BIGINT NOT NULL, reported_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing, component)
) WITHOUT ROWID;
CREATE TABLE gg_effective (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, deployment TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, stack TEXT NOT NULL, types TEXT NOT NULL,
    created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing, deployment)
) WITHOUT ROWID;
CREATE INDEX gg_effective_by_deployment ON gg_effective (account, region, deployment, thing);
CREATE TABLE gg_client_device (
    account TEXT NOT NULL, region TEXT NOT NULL, core TEXT NOT NULL, thing TEXT NOT NULL, associated_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, core, thing)
) WITHOUT ROWID;
CREATE INDEX gg_client_device_by_thing ON gg_client_device (account, region, thing, core);
CREATE TABLE gg_connectivity (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL,
    info TEXT NOT NULL, version BIGINT NOT NULL, authorities TEXT NOT NULL,
    PRIMARY KEY (account, region, thing)
) WITHOUT ROWID;
CREATE TABLE gg_service_role (
    account TEXT NOT NULL, region TEXT NOT NULL, role TEXT NOT NULL, associated_at BIGINT NOT NULL,
    PRIMARY KEY (account, region)
) WITHOUT ROWID;
CREATE TABLE gg_tag (
    account TEXT NOT NULL, region TEXT NOT NULL, resource TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (account, region, resource, key)
) WITHOUT ROWID;
";
