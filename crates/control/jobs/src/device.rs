//! What a device asks of its queue, whichever way it came (CP 5.9).

use marram_identity::CallError;
use marram_job::{
    Describe, ExecutionStatus, JobConfig, JobError, Namespace, StartNext, UpdateExecution, device_transition,
};
use marram_registry::Realm;
use marram_store::{Snapshot, Tx};
use marram_types::Timestamp;
use serde_json::{Map, Value, json};

use crate::jobs::Jobs;
use crate::row::{ExecutionRow, JobRow, find_execution, find_job, next, pending};
use crate::work::Work;

/// Executions of each status in an answer to `get`.
const LISTED: i64 = 250;

/// A refusal, or the store's failure.
#[derive(Debug)]
pub(crate) enum DeviceError {
    Job(JobError),
    Call(CallError),
}

impl From<JobError> for DeviceError {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl From<CallError> for DeviceError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<marram_store::StoreError> for DeviceError {
    fn from(error: marram_store::StoreError) -> Self {
        Self::Call(CallError::Store(error))
    }
}

/// How an answer holds the document: JSON over MQTT, a text over HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentAs {
    Json,
    Text,
}

/// A document as it stands in MQTT answers: the JSON value, or the text where it is none.
pub(crate) fn json_of(document: &str) -> Value {
    serde_json::from_str(document).unwrap_or_else(|_| Value::from(document))
}

/// Whose queue, and how to answer.
#[derive(Debug, Clone)]
pub(crate) struct Queue<'q> {
    pub(crate) jobs: &'q Jobs,
    pub(crate) realm: &'q Realm,
    pub(crate) thing: &'q str,
    pub(crate) namespace: &'q Namespace,
    pub(crate) document: DocumentAs,
    pub(crate) now: Timestamp,
}

impl Queue<'_> {
    /// `get`: what is in progress, what is queued.
    pub(crate) fn list(&self, snapshot: &Snapshot<'_>) -> Result<Value, DeviceError> {
        let rows = |status| -> Result<Value, CallError> {
            let rows = pending(snapshot, self.realm, self.thing, self.namespace, status, LISTED)?;
            Ok(rows.iter().map(ExecutionRow::summary).collect())
        };
        Ok(json!({
            "inProgressJobs": rows(ExecutionStatus::InProgress)?,
            "queuedJobs": rows(ExecutionStatus::Queued)?,
        }))
    }

    /// `{id}/get`, or of the next one without an id.
    pub(crate) fn describe(
        &self,
        snapshot: &Snapshot<'_>,
        id: Option<&str>,
        asked: &Describe,
    ) -> Result<Value, DeviceError> {
        let execution = match id {
            None => match next(snapshot, self.realm, self.thing, self.namespace)? {
                Some(next) => next,
                None => return Ok(Value::Object(Map::new())),
            },
            Some(id) => {
                let execution = self.execution(snapshot, id, asked.number)?;
                if execution.status.is_terminal() {
                    return Err(JobError::TerminalState { state: execution.state() }.into());
                }
                execution
            }
        };
        let document = match asked.include_document {
            true => self.document_of(snapshot, &execution.job)?,
            false => None,
        };
        Ok(json!({"execution": execution.execution(document, self.now)}))
    }

    /// `start-next`: the next execution, in progress from now on if it was queued.
    pub(crate) fn start_next(&self, tx: &mut Tx<'_>, asked: StartNext) -> Result<Value, DeviceError> {
        let Some(before) = next(tx, self.realm, self.thing, self.namespace)? else {
            return Ok(Value::Object(Map::new()));
        };
        // Before anything changes: a document that cannot be made is a refusal.
        let document = self.document_of(tx, &before.job)?;
        let mut after = before.clone();
        if before.status == ExecutionStatus::Queued {
            after.status = ExecutionStatus::InProgress;
            if let Some(details) = asked.details {
                after.details = details;
            }
            self.set_timers(tx, &before, &mut after, asked.step_timeout_minutes)?;
            let mut work = Work::begin(self.jobs, tx, self.realm, self.now);
            work.change(&before, &mut after)?;
            work.finish()?;
        }
        Ok(json!({"execution": after.execution(document, self.now)}))
    }

    /// `{id}/update`.
    pub(crate) fn update(&self, tx: &mut Tx<'_>, id: &str, asked: UpdateExecution) -> Result<Value, DeviceError> {
        let before = self.execution(tx, id, asked.number)?;
        device_transition(before.status, asked.status).map_err(|error| match error {
            JobError::InvalidStateTransition { message, .. } => {
                JobError::InvalidStateTransition { message, state: Some(before.state()) }
            }
            other => other,
        })?;
        if let Some(expected) = asked.expected_version.filter(|expected| *expected != before.version) {
            return Err(JobError::VersionMismatch { expected, state: before.state() }.into());
        }
        let mut after = before.clone();
        after.status = asked.status;
        if let Some(details) = asked.details {
            after.details = details;
        }
        if asked.status == ExecutionStatus::InProgress {
            self.set_timers(tx, &before, &mut after, asked.step_timeout_minutes)?;
        } else {
            after.started_at = before.started_at.or(Some(self.now));
        }
        let job = find_job(tx, self.realm, id)?;
        let document = match &job {
            Some(job) if asked.include_document => Some(self.rendered(job)?),
            _ => None,
        };
        let mut work = Work::begin(self.jobs, tx, self.realm, self.now);
        work.change(&before, &mut after)?;
        if let Some(job) = job.as_ref().filter(|_| after.status == ExecutionStatus::Failed) {
            work.retry(job, &after)?;
        }
        work.finish()?;
        let mut answer = json!({});
        if asked.include_state {
            answer["executionState"] = after.state().to_json();
        }
        if let Some(document) = document {
            answer["jobDocument"] = document;
        }
        Ok(answer)
    }

    /// Executions of other queues are not seen.
    fn execution(&self, snapshot: &Snapshot<'_>, id: &str, number: Option<i64>) -> Result<ExecutionRow, DeviceError> {
        find_execution(snapshot, self.realm, id, self.thing, number)?
            .filter(|execution| execution.namespace == *self.namespace)
            .ok_or_else(|| {
                JobError::NotFound(format!("No execution of job {id} exists for thing {}", self.thing)).into()
            })
    }

    fn document_of(&self, snapshot: &Snapshot<'_>, job: &str) -> Result<Option<Value>, DeviceError> {
        find_job(snapshot, self.realm, job)?.map(|job| self.rendered(&job)).transpose()
    }

    fn rendered(&self, job: &JobRow) -> Result<Value, DeviceError> {
        let document = self.jobs.delivered(self.realm, job, self.now)?;
        Ok(match self.document {
            DocumentAs::Json => json_of(&document),
            DocumentAs::Text => document.into(),
        })
    }

    /// The job's timer starts when the execution is taken up; the step's when the device says so.
    fn set_timers(
        &self,
        snapshot: &Snapshot<'_>,
        before: &ExecutionRow,
        after: &mut ExecutionRow,
        step_minutes: Option<Option<i64>>,
    ) -> Result<(), DeviceError> {
        let minutes = |minutes: i64| Timestamp::from_secs(self.now.as_secs() + minutes * 60);
        if before.status == ExecutionStatus::Queued {
            after.started_at = Some(self.now);
            let job = find_job(snapshot, self.realm, &before.job)?;
            let config = job.and_then(|job| JobConfig::read(&job.config).ok());
            after.job_deadline = config.and_then(|config| config.timeout_minutes).map(minutes);
        }
        if let Some(step) = step_minutes {
            after.step_deadline = step.map(minutes);
        }
        Ok(())
    }
}
