//! One job: `DescribeJob`, `GetJobDocument`, `UpdateJob`, `CancelJob`, `DeleteJob`.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_job::{JobConfig, JobStatus, Window};
use marram_registry::{Realm, delete_tags};
use marram_store::params;
use marram_types::JobId;
use serde_json::{Value, json};

use super::{authorize_job, config_of, job_arn, parse};
use crate::jobs::{CancelJob, Jobs};
use crate::row::{counts, get_job, process_details};

pub(super) async fn describe_job(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    drop(authorize_job(ctx, &realm, id.as_str(), &[])?);
    let (row, counts) = ctx.read(|snapshot| {
        let row = get_job(snapshot, &realm, id.as_str())?;
        Ok((row, counts(snapshot, &realm, id.as_str())?))
    })?;
    let mut job = row.config.clone();
    let source = job.as_object_mut().and_then(|job| job.remove("documentSource"));
    let ongoing = matches!(row.status, JobStatus::Scheduled | JobStatus::InProgress);
    let selection = if row.continuous { "CONTINUOUS" } else { "SNAPSHOT" };
    job["jobArn"] = job_arn(&realm, &row.id).into();
    job["jobId"] = row.id.as_str().into();
    job["targetSelection"] = selection.into();
    job["status"] = row.status.as_str().into();
    job["targets"] = row.targets.clone().into();
    job["createdAt"] = row.created_at.as_secs().into();
    job["lastUpdatedAt"] = row.updated_at.as_secs().into();
    job["jobProcessDetails"] = process_details(&row, &counts);
    job["isConcurrent"] = false.into();
    if row.status == JobStatus::Canceled {
        job["forceCanceled"] = row.force_canceled.into();
    }
    let optional = [
        ("comment", row.comment.map(Value::from)),
        ("reasonCode", row.reason_code.map(Value::from)),
        ("completedAt", row.completed_at.map(|at| at.as_secs().into())),
        ("namespaceId", (!row.namespace.is_default()).then(|| row.namespace.as_str().into())),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            job[name] = value;
        }
    }
    let windows = JobConfig::read(&row.config).map_err(ApiError::invalid_request)?.windows;
    if let Some(opening) = Window::next_opening(&windows, ctx.now).filter(|_| ongoing) {
        let text = opening.rfc3339();
        let minute = text.get(.."2026-01-31T10:00".len()).unwrap_or_default();
        job["scheduledJobRollouts"] = json!([{"startTime": minute}]);
    }
    let mut answer = json!({"job": job});
    if let Some(source) = source {
        answer["documentSource"] = source;
    }
    Ok(answer)
}

pub(super) async fn get_job_document(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    drop(authorize_job(ctx, &realm, id.as_str(), &[])?);
    let row = ctx.read(|snapshot| get_job(snapshot, &realm, id.as_str()))?;
    let before = input["beforeSubstitution"].as_bool() == Some(true);
    let document = row.unfilled.filter(|_| before).unwrap_or(row.document);
    Ok(json!({"document": document}))
}

/// Changes the course of a job in progress; members that are not given stay.
pub(super) async fn update_job(jobs: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    let grant = authorize_job(ctx, &realm, id.as_str(), &[])?;
    if !input["presignedUrlConfig"].is_null() {
        // A job's document never changes, so it can be looked at before the transaction.
        let row = ctx.read(|snapshot| get_job(snapshot, &realm, id.as_str()))?;
        jobs.check_presigned(ctx, &job_arn(&realm, id.as_str()), &row.document, &input)?;
    }
    let (jobs, now) = (jobs.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let row = get_job(tx, &realm, id.as_str())?;
        if !matches!(row.status, JobStatus::InProgress | JobStatus::Scheduled) {
            return Err(ApiError::invalid_request(format!("Job {id} has ended, so it cannot be updated.")).into());
        }
        let mut config = row.config;
        for (name, value) in config_of(&input) {
            config[name.as_str()] = value;
        }
        JobConfig::read(&config).map_err(ApiError::invalid_request)?;
        tx.execute(
            "UPDATE iot_job SET config = $4, updated_at = $5, wake_at = $5
             WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id, config.to_string(), now],
        )?;
        jobs.wake_after(tx);
        Ok(json!({}))
    })
    .await
}

pub(super) async fn cancel_job(jobs: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    let grant = authorize_job(ctx, &realm, id.as_str(), &[])?;
    let text = |name: &str| input[name].as_str().map(str::to_owned);
    let how = CancelJob {
        force: input["force"].as_bool().unwrap_or(false),
        reason_code: text("reasonCode"),
        comment: text("comment"),
    };
    let (jobs, now) = (jobs.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        jobs.cancel_in(tx, &realm, id.as_str(), &how, now)?;
        let row = get_job(tx, &realm, id.as_str())?;
        let mut answer = json!({"jobArn": job_arn(&realm, id.as_str()), "jobId": id.as_str()});
        if let Some(description) = row.config.get("description") {
            answer["description"] = description.clone();
        }
        Ok(answer)
    })
    .await
}

pub(super) async fn delete_job(jobs: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    let grant = authorize_job(ctx, &realm, id.as_str(), &[])?;
    let force = input["force"].as_bool().unwrap_or(false);
    let wanted = input["namespaceId"].as_str().map(str::to_owned);
    let (jobs, now) = (jobs.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let row = get_job(tx, &realm, id.as_str())?;
        if wanted.is_some_and(|wanted| wanted != row.namespace.as_str()) {
            return Err(ApiError::not_found(format!("Job {id} cannot be found.")).into());
        }
        jobs.delete_in(tx, &realm, id.as_str(), force, now)?;
        delete_tags(tx, &realm, &format!("job/{id}"))?;
        Ok(json!({}))
    })
    .await
}
