//! Tables of logs and metrics. Every key starts with account and region.

use marram_store::Migration;

/// The schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[Migration { component: "logs", number: 1, sql: FIRST }];

const FIRST: &str = "
CREATE TABLE log_group (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    retention_days BIGINT, bytes BIGINT NOT NULL, created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
CREATE TABLE log_stream (
    account TEXT NOT NULL, region TEXT NOT NULL, group_name TEXT NOT NULL, name TEXT NOT NULL,
    created_ms BIGINT NOT NULL, first_ms BIGINT, last_ms BIGINT, ingested_ms BIGINT, next BIGINT NOT NULL,
    PRIMARY KEY (account, region, group_name, name)
) WITHOUT ROWID;
CREATE TABLE log_event (
    account TEXT NOT NULL, region TEXT NOT NULL, group_name TEXT NOT NULL, stream TEXT NOT NULL,
    at_ms BIGINT NOT NULL, number BIGINT NOT NULL, message TEXT NOT NULL, ingested_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, group_name, stream, at_ms, number)
) WITHOUT ROWID;
CREATE INDEX log_event_by_time ON log_event (account, region, group_name, at_ms, stream, number);
CREATE TABLE metric_minute (
    account TEXT NOT NULL, region TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL,
    minute BIGINT NOT NULL, unit TEXT NOT NULL, statistics TEXT NOT NULL,
    PRIMARY KEY (account, region, namespace, name, dimensions, minute, unit)
) WITHOUT ROWID;
CREATE INDEX metric_minute_by_age ON metric_minute (minute);
";
