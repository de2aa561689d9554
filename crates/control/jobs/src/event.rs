//! Events of jobs and executions for whoever runs the fleet: `$aws/events/job/..`, `$aws/events/jobExecution/..` (CP 4.9).
//!
//! An account asks for them by `UpdateEventConfigurations`. They follow the transaction that made them, as notifications of
//! devices do.

use marram_broker::Message;
use marram_identity::CallError;
use marram_job::ExecutionStatus;
use marram_registry::Realm;
use marram_store::{Snapshot, params};
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::notice::message;
use crate::row::{JobRow, counts, process_details};
use crate::watch::ExecutionChange;

/// Which events an account asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `JOB`.
    pub(crate) jobs: bool,
    /// `JOB_EXECUTION`.
    pub(crate) executions: bool,
}

/// An account's choice as it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventConfiguration {
    pub(crate) asked: Asked,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

pub(crate) fn configuration(snapshot: &Snapshot<'_>, realm: &Realm) -> Result<Option<EventConfiguration>, CallError> {
    snapshot.query_opt(
        "SELECT jobs, executions, created_at, updated_at FROM iot_job_event WHERE account = $1 AND region = $2",
        params![realm.account, realm.region],
        |row| {
            let asked = Asked { jobs: row.get(0)?, executions: row.get(1)? };
            Ok(EventConfiguration { asked, created_at: row.get(2)?, updated_at: row.get(3)? })
        },
    )
}

/// What happened to a job: `completed`, `canceled`, `deleted`, `cancellation_in_progress`, `deletion_in_progress`.
pub(crate) fn of_job(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    job: &JobRow,
    operation: &str,
    now: Timestamp,
) -> Result<Option<Message>, CallError> {
    let mut body = head("JOB", operation, realm, now);
    body["jobId"] = job.id.as_str().into();
    body["status"] = operation.to_ascii_uppercase().into();
    body["targetSelection"] = if job.continuous { "CONTINUOUS" } else { "SNAPSHOT" }.into();
    body["targets"] = job.targets.clone().into();
    body["createdAt"] = job.created_at.as_millis().into();
    body["lastUpdatedAt"] = now.as_millis().into();
    let optional = [
        ("description", job.config.get("description").cloned()),
        ("completedAt", matches!(operation, "completed" | "canceled").then(|| now.as_millis().into())),
        ("comment", job.comment.as_deref().map(Value::from)),
        ("reasonCode", job.reason_code.as_deref().map(Value::from)),
        ("namespaceId", (!job.namespace.is_default()).then(|| job.namespace.as_str().into())),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let mut details = process_details(job, &counts(snapshot, realm, &job.id)?);
    if let Some(details) = details.as_object_mut() {
        details.remove("processingTargets");
    }
    body["jobProcessDetails"] = details;
    Ok(message(&format!("$aws/events/job/{}/{operation}", job.id), &body))
}

/// What became of an execution; nothing while it is under way.
pub(crate) fn of_execution(realm: &Realm, change: &ExecutionChange<'_>) -> Option<Message> {
    let operation = match change.status {
        ExecutionStatus::Succeeded => "succeeded",
        ExecutionStatus::Failed => "failed",
        ExecutionStatus::Rejected => "rejected",
        ExecutionStatus::Canceled => "canceled",
        ExecutionStatus::TimedOut => "timed_out",
        ExecutionStatus::Removed => "removed",
        _ => return None,
    };
    of_attempt(realm, change, operation)
}

/// As [`of_execution`], for an execution that is deleted.
pub(crate) fn of_deleted_execution(realm: &Realm, change: &ExecutionChange<'_>) -> Option<Message> {
    of_attempt(realm, change, "deleted")
}

fn of_attempt(realm: &Realm, change: &ExecutionChange<'_>, operation: &str) -> Option<Message> {
    let mut body = head("JOB_EXECUTION", operation, realm, change.at);
    body["jobId"] = change.job.into();
    body["thingArn"] = realm.arn(format_args!("thing/{}", change.thing)).into();
    body["status"] = change.status.as_str().into();
    body["statusDetails"] = json!(change.details);
    body["executionNumber"] = change.number.into();
    message(&format!("$aws/events/jobExecution/{}/{operation}", change.job), &body)
}

fn head(kind: &str, operation: &str, realm: &Realm, now: Timestamp) -> Value {
    json!({
        "eventType": kind,
        "eventId": uuid::Uuid::new_v4().to_string(),
        "timestamp": now.as_millis(),
        "operation": operation,
        "accountId": realm.account.as_str(),
    })
}
