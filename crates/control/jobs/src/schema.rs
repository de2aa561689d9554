//! Tables of jobs. Counts by status are kept beside a job, so that a report of one device costs the same in a job of ten
//! things and of ten thousand.

use marram_store::Migration;

/// The schema; hand it to `Store::migrate`.
pub const MIGRATIONS: &[Migration] = &[
    Migration { component: "jobs", number: 1, sql: FIRST },
    Migration { component: "jobs", number: 2, sql: "ALTER TABLE iot_job ADD COLUMN unfilled TEXT;" },
    Migration { component: "jobs", number: 3, sql: EVENTS },
    Migration { component: "jobs", number: 4, sql: AWAY },
];

/// Set on an ended execution whose thing is no target any more: when it is one again, the job begins anew there.
const AWAY: &str = "ALTER TABLE iot_job_execution ADD COLUMN away BIGINT NOT NULL DEFAULT 0;";

const EVENTS: &str = "
CREATE TABLE iot_job_event (
    account TEXT NOT NULL, region TEXT NOT NULL, jobs BIGINT NOT NULL, executions BIGINT NOT NULL,
    created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, region)
) WITHOUT ROWID;
";

const FIRST: &str = "
CREATE TABLE iot_job (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    namespace TEXT NOT NULL, status TEXT NOT NULL, continuous BIGINT NOT NULL, targets TEXT NOT NULL,
    document TEXT NOT NULL, config TEXT NOT NULL, force_canceled BIGINT NOT NULL, comment TEXT, reason_code TEXT,
    start_at BIGINT, end_at BIGINT, rolled_at BIGINT NOT NULL, wake_at BIGINT,
    created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, completed_at BIGINT,
    PRIMARY KEY (account, region, id)
) WITHOUT ROWID;
CREATE INDEX iot_job_by_age ON iot_job (account, region, created_at, id);
CREATE INDEX iot_job_wake ON iot_job (wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE iot_job_target (
    account TEXT NOT NULL, region TEXT NOT NULL, target TEXT NOT NULL, job TEXT NOT NULL,
    PRIMARY KEY (account, region, target, job)
) WITHOUT ROWID;
CREATE INDEX iot_job_target_by_job ON iot_job_target (account, region, job, target);
CREATE TABLE iot_job_count (
    account TEXT NOT NULL, region TEXT NOT NULL, job TEXT NOT NULL, status TEXT NOT NULL, count BIGINT NOT NULL,
    PRIMARY KEY (account, region, job, status)
) WITHOUT ROWID;
CREATE TABLE iot_job_waiting (
    account TEXT NOT NULL, region TEXT NOT NULL, job TEXT NOT NULL, thing TEXT NOT NULL,
    PRIMARY KEY (account, region, job, thing)
) WITHOUT ROWID;
CREATE INDEX iot_job_waiting_by_thing ON iot_job_waiting (account, region, thing, job);
CREATE TABLE iot_job_execution (
    account TEXT NOT NULL, region TEXT NOT NULL, job TEXT NOT NULL, thing TEXT NOT NULL, number BIGINT NOT NULL,
    namespace TEXT NOT NULL, status TEXT NOT NULL, details TEXT NOT NULL, force_canceled BIGINT NOT NULL,
    latest BIGINT NOT NULL, queued_at BIGINT NOT NULL, started_at BIGINT, updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL, job_deadline BIGINT, step_deadline BIGINT, deadline BIGINT,
    PRIMARY KEY (account, region, job, thing, number)
) WITHOUT ROWID;
CREATE INDEX iot_job_execution_pending ON iot_job_execution
    (account, region, thing, namespace, status, queued_at, job) WHERE status IN ('QUEUED', 'IN_PROGRESS');
CREATE INDEX iot_job_execution_by_thing ON iot_job_execution (account, region, thing, queued_at, job, number);
CREATE INDEX iot_job_execution_deadline ON iot_job_execution (deadline) WHERE deadline IS NOT NULL;
CREATE TABLE iot_job_template (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    document TEXT NOT NULL, config TEXT NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (account, region, id)
) WITHOUT ROWID;
";
