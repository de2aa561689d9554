//! Rows of jobs and executions, read.

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_job::{Counts, ExecutionState, ExecutionStatus, JobStatus, Namespace, StatusDetails};
use marram_registry::Realm;
use marram_store::{Row, Snapshot, StoreError, params};
use marram_types::Timestamp;
use serde_json::{Map, Value, json};

/// A job.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its id.
    pub id: String,
    /// Its queue.
    pub namespace: Namespace,
    /// Where it is.
    pub status: JobStatus,
    /// Things that become targets later get it too.
    pub continuous: bool,
    /// ARNs of things and groups.
    pub targets: Vec<String>,
    /// What devices get.
    pub document: String,
    /// As it was before its parameters were filled in, where that is another text.
    pub unfilled: Option<String>,
    /// Members of `CreateJob` that only `DescribeJob` and the roll-out read.
    pub config: Value,
    /// Canceled with executions in progress.
    pub force_canceled: bool,
    /// Why, in words.
    pub comment: Option<String>,
    /// Why, as a code.
    pub reason_code: Option<String>,
    /// When the roll-out begins.
    pub start_at: Option<Timestamp>,
    /// When it ends.
    pub end_at: Option<Timestamp>,
    /// Up to when the roll-out rate has been spent.
    pub rolled_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// An execution: one attempt of one thing.
#[derive(Debug, Clone)]
pub struct ExecutionRow {
    /// Its job.
    pub job: String,
    /// Its thing.
    pub thing: String,
    /// Which attempt, from 1.
    pub number: i64,
    /// Its queue.
    pub namespace: Namespace,
    /// Where it is.
    pub status: ExecutionStatus,
    /// What the device told last.
    pub details: StatusDetails,
    /// Canceled while in progress.
    pub force_canceled: bool,
    /// No later attempt exists.
    pub latest: bool,
    /// When it was handed out.
    pub queued_at: Timestamp,
    /// When the device took it up.
    pub started_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts changes, from 1.
    pub version: i64,
    /// When the job's timer ends it.
    pub job_deadline: Option<Timestamp>,
    /// When the device's own timer ends it.
    pub step_deadline: Option<Timestamp>,
}

const JOB: &str = "SELECT id, namespace, status, continuous, targets, document, config, force_canceled, comment, \
    reason_code, start_at, end_at, rolled_at, created_at, updated_at, completed_at, unfilled \
    FROM iot_job";

const EXECUTION: &str = "SELECT job, thing, number, namespace, status, details, force_canceled, latest, queued_at, \
    started_at, updated_at, version, job_deadline, step_deadline FROM iot_job_execution";

fn unreadable(what: &'static str) -> StoreError {
    StoreError::Column { column: 0, expected: what }
}

fn namespace(row: &Row<'_>, column: usize) -> Result<Namespace, StoreError> {
    match row.text(column)? {
        "" => Ok(Namespace::default_queue()),
        name => name.parse().map_err(|_| unreadable("a namespace")),
    }
}

impl JobRow {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CallError> {
        Ok(Self {
            id: row.get(0)?,
            namespace: namespace(row, 1)?,
            status: JobStatus::parse(row.text(2)?).ok_or_else(|| unreadable("a job status"))?,
            continuous: row.get(3)?,
            targets: serde_json::from_str(row.text(4)?).map_err(|_| unreadable("targets"))?,
            document: row.get(5)?,
            config: serde_json::from_str(row.text(6)?).map_err(|_| unreadable("a job configuration"))?,
            force_canceled: row.get(7)?,
            comment: row.get(8)?,
            reason_code: row.get(9)?,
            start_at: row.get(10)?,
            end_at: row.get(11)?,
            rolled_at: row.get(12)?,
            created_at: row.get(13)?,
            updated_at: row.get(14)?,
            completed_at: row.get(15)?,
            unfilled: row.get(16)?,
        })
    }
}

impl ExecutionRow {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CallError> {
        Ok(Self {
            job: row.get(0)?,
            thing: row.get(1)?,
            number: row.get(2)?,
            namespace: namespace(row, 3)?,
            status: ExecutionStatus::parse(row.text(4)?).ok_or_else(|| unreadable("an execution status"))?,
            details: serde_json::from_str(row.text(5)?).map_err(|_| unreadable("status details"))?,
            force_canceled: row.get(6)?,
            latest: row.get(7)?,
            queued_at: row.get(8)?,
            started_at: row.get(9)?,
            updated_at: row.get(10)?,
            version: row.get(11)?,
            job_deadline: row.get(12)?,
            step_deadline: row.get(13)?,
        })
    }

    /// What refusals and `includeJobExecutionState` tell.
    pub fn state(&self) -> ExecutionState {
        ExecutionState { status: self.status, details: self.details.clone(), version: self.version }
    }

    /// The earlier of both timers.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match (self.job_deadline, self.step_deadline) {
            (Some(job), Some(step)) => Some(job.min(step)),
            (job, step) => job.or(step),
        }
    }

    /// Seconds until a timer ends it.
    pub(crate) fn seconds_left(&self, now: Timestamp) -> Option<i64> {
        self.deadline().map(|deadline| (deadline.as_secs() - now.as_secs()).max(0))
    }

    /// As it stands in lists and notifications: integer seconds (CP 5.9).
    pub(crate) fn summary(&self) -> Value {
        let mut summary = json!({
            "jobId": self.job,
            "queuedAt": self.queued_at.as_secs(),
            "lastUpdatedAt": self.updated_at.as_secs(),
            "executionNumber": self.number,
            "versionNumber": self.version,
        });
        if let Some(started) = self.started_at {
            summary["startedAt"] = started.as_secs().into();
        }
        summary
    }

    /// As a device sees it; `document` is put in as it is.
    pub(crate) fn execution(&self, document: Option<Value>, now: Timestamp) -> Value {
        let mut execution = self.summary();
        execution["thingName"] = self.thing.as_str().into();
        execution["status"] = self.status.as_str().into();
        if !self.details.is_empty() {
            execution["statusDetails"] = json!(self.details);
        }
        if let Some(seconds) = self.seconds_left(now) {
            execution["approximateSecondsBeforeTimedOut"] = seconds.into();
        }
        if let Some(document) = document {
            execution["jobDocument"] = document;
        }
        execution
    }
}

pub(crate) fn find_job(snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<Option<JobRow>, CallError> {
    snapshot.query_opt(
        &format!("{JOB} WHERE account = $1 AND region = $2 AND id = $3"),
        params![realm.account, realm.region, id],
        JobRow::read,
    )
}

pub(crate) fn get_job(snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<JobRow, CallError> {
    find_job(snapshot, realm, id)?.ok_or_else(|| ApiError::not_found(format!("Job {id} cannot be found.")).into())
}

/// One attempt of a thing; the latest without a number.
pub(crate) fn find_execution(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    job: &str,
    thing: &str,
    number: Option<i64>,
) -> Result<Option<ExecutionRow>, CallError> {
    snapshot.query_opt(
        &format!(
            "{EXECUTION} WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 AND ($5 = 0 OR number = $5)
             ORDER BY number DESC LIMIT 1"
        ),
        params![realm.account, realm.region, job, thing, number.unwrap_or(0)],
        ExecutionRow::read,
    )
}

/// Executions of a thing's queue in one status, oldest first.
pub(crate) fn pending(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    thing: &str,
    namespace: &Namespace,
    status: ExecutionStatus,
    limit: i64,
) -> Result<Vec<ExecutionRow>, CallError> {
    // The statuses are spelled out so that the partial index answers.
    snapshot.query_all(
        &format!(
            "{EXECUTION} WHERE account = $1 AND region = $2 AND thing = $3 AND namespace = $4 AND status = $5
             AND status IN ('QUEUED', 'IN_PROGRESS') ORDER BY queued_at, job LIMIT $6"
        ),
        params![realm.account, realm.region, thing, namespace.as_str(), status.as_str(), limit],
        ExecutionRow::read,
    )
}

/// The next execution of a queue: those in progress before those queued, oldest first.
pub(crate) fn next(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    thing: &str,
    namespace: &Namespace,
) -> Result<Option<ExecutionRow>, CallError> {
    for status in [ExecutionStatus::InProgress, ExecutionStatus::Queued] {
        if let Some(first) = pending(snapshot, realm, thing, namespace, status, 1)?.pop() {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// Executions of a job that have not ended.
pub(crate) fn open_executions(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    job: &str,
    limit: i64,
) -> Result<Vec<ExecutionRow>, CallError> {
    snapshot.query_all(
        &format!(
            "{EXECUTION} WHERE account = $1 AND region = $2 AND job = $3 AND status IN ('QUEUED', 'IN_PROGRESS')
             ORDER BY thing LIMIT $4"
        ),
        params![realm.account, realm.region, job, limit],
        ExecutionRow::read,
    )
}

/// How many executions of a job are in which status.
pub(crate) fn counts(snapshot: &Snapshot<'_>, realm: &Realm, job: &str) -> Result<Counts, CallError> {
    let mut counts = Counts::default();
    snapshot.query_each(
        "SELECT status, count FROM iot_job_count WHERE account = $1 AND region = $2 AND job = $3",
        params![realm.account, realm.region, job],
        |row| {
            let count = row.get(1)?;
            match ExecutionStatus::parse(row.text(0)?) {
                Some(status) => counts.set(status, count),
                None => counts.waiting = count,
            }
            Ok::<_, CallError>(true)
        },
    )?;
    Ok(counts)
}

/// `jobProcessDetails` of `DescribeJob`.
pub(crate) fn process_details(job: &JobRow, counts: &Counts) -> Value {
    let names = [
        ("numberOfCanceledThings", ExecutionStatus::Canceled),
        ("numberOfSucceededThings", ExecutionStatus::Succeeded),
        ("numberOfFailedThings", ExecutionStatus::Failed),
        ("numberOfRejectedThings", ExecutionStatus::Rejected),
        ("numberOfQueuedThings", ExecutionStatus::Queued),
        ("numberOfInProgressThings", ExecutionStatus::InProgress),
        ("numberOfRemovedThings", ExecutionStatus::Removed),
        ("numberOfTimedOutThings", ExecutionStatus::TimedOut),
    ];
    let mut details: Map<String, Value> =
        names.into_iter().map(|(name, status)| (name.to_owned(), counts.of(status).into())).collect();
    details.insert("processingTargets".to_owned(), job.targets.clone().into());
    Value::Object(details)
}
