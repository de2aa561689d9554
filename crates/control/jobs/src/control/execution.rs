//! One execution: `DescribeJobExecution`, `CancelJobExecution`, `DeleteJobExecution`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_job::{ExecutionStatus, parse_details};
use marram_registry::Realm;
use marram_store::{Snapshot, params};
use marram_types::{JobId, ThingName};
use serde_json::{Value, json};

use super::{authorize_job, parse};
use crate::jobs::Jobs;
use crate::row::{ExecutionRow, find_execution};
use crate::work::Work;

fn get(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    job: &JobId,
    thing: &ThingName,
    number: Option<i64>,
) -> Result<ExecutionRow, CallError> {
    find_execution(snapshot, realm, job.as_str(), thing.as_str(), number)?.ok_or_else(|| {
        ApiError::not_found(format!("Job execution of job {job} for thing {thing} cannot be found.")).into()
    })
}

pub(super) async fn describe_job_execution(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let (job, thing): (JobId, ThingName) = (parse(&input, "jobId")?, parse(&input, "thingName")?);
    let thing_arn = realm.arn(format_args!("thing/{thing}"));
    drop(authorize_job(ctx, &realm, job.as_str(), std::slice::from_ref(&thing_arn))?);
    let row = ctx.read(|snapshot| get(snapshot, &realm, &job, &thing, input["executionNumber"].as_i64()))?;
    let mut execution = json!({
        "jobId": row.job,
        "status": row.status.as_str(),
        "forceCanceled": row.force_canceled,
        "statusDetails": {"detailsMap": row.details},
        "thingArn": thing_arn,
        "queuedAt": row.queued_at.as_secs(),
        "lastUpdatedAt": row.updated_at.as_secs(),
        "executionNumber": row.number,
        "versionNumber": row.version,
    });
    if let Some(started) = row.started_at {
        execution["startedAt"] = started.as_secs().into();
    }
    if let Some(seconds) = row.seconds_left(ctx.now) {
        execution["approximateSecondsBeforeTimedOut"] = seconds.into();
    }
    Ok(json!({"execution": execution}))
}

pub(super) async fn cancel_job_execution(jobs: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let (job, thing): (JobId, ThingName) = (parse(&input, "jobId")?, parse(&input, "thingName")?);
    let grant = authorize_job(ctx, &realm, job.as_str(), &[realm.arn(format_args!("thing/{thing}"))])?;
    let force = input["force"].as_bool().unwrap_or(false);
    let expected = input["expectedVersion"].as_i64();
    let details = match &input["statusDetails"] {
        Value::Null => None,
        details => Some(parse_details(details).map_err(|error| ApiError::invalid_request(error.to_string()))?),
    };
    let (jobs, now) = (jobs.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let before = get(tx, &realm, &job, &thing, None)?;
        if expected.is_some_and(|expected| expected != before.version) {
            return Err(ApiError::version_conflict(format!("The execution has version {}.", before.version)).into());
        }
        let may = before.status == ExecutionStatus::Queued || (force && !before.status.is_terminal());
        if !may {
            let text = format!("The execution is {}, so it cannot be canceled.", before.status.as_str());
            return Err(ApiError::new("InvalidStateTransitionException", 409, text).into());
        }
        let mut after = before.clone();
        after.status = ExecutionStatus::Canceled;
        after.force_canceled = before.status == ExecutionStatus::InProgress;
        if let Some(details) = details {
            after.details = details;
        }
        let mut work = Work::begin(&jobs, tx, &realm, now);
        work.change(&before, &mut after)?;
        work.finish()?;
        Ok(json!({}))
    })
    .await
}

pub(super) async fn delete_job_execution(jobs: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let (job, thing): (JobId, ThingName) = (parse(&input, "jobId")?, parse(&input, "thingName")?);
    let grant = authorize_job(ctx, &realm, job.as_str(), &[realm.arn(format_args!("thing/{thing}"))])?;
    let force = input["force"].as_bool().unwrap_or(false);
    let number = input["executionNumber"].as_i64();
    let namespace = input["namespaceId"].as_str().map(str::to_owned);
    let (jobs, now) = (jobs.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let row = get(tx, &realm, &job, &thing, number)?;
        if namespace.is_some_and(|namespace| namespace != row.namespace.as_str()) {
            return Err(ApiError::not_found(format!("Job execution of job {job} cannot be found.")).into());
        }
        if !row.status.is_terminal() && !force {
            let text = format!("The execution is {}, so it can be deleted by force only.", row.status.as_str());
            return Err(ApiError::new("InvalidStateTransitionException", 409, text).into());
        }
        let mut work = Work::begin(&jobs, tx, &realm, now);
        if !row.status.is_terminal() {
            work.end(&row, ExecutionStatus::Canceled)?;
        }
        work.announce_deleted(&row)?;
        work.finish()?;
        tx.execute(
            "DELETE FROM iot_job_execution
             WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 AND number = $5",
            params![realm.account, realm.region, job, thing, row.number],
        )?;
        Ok(json!({}))
    })
    .await
}
