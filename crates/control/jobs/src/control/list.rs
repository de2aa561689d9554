//! `ListJobs`, `ListJobExecutionsForJob`, `ListJobExecutionsForThing`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_job::ExecutionStatus;
use marram_registry::Realm;
use marram_store::{Row, params};
use marram_types::{JobId, ThingName, Timestamp};
use serde_json::{Value, json};

use super::{Page, authorize_job, job_arn, parse};
use crate::jobs::Jobs;

/// Keys of descending lists begin behind every moment.
const LATEST: &str = "9223372036854775807";

/// Jobs, the youngest first.
pub(super) async fn list_jobs(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
    let (status, namespace) = (text("status"), text("namespaceId"));
    let selection = text("targetSelection");
    let group = match (text("thingGroupName"), text("thingGroupId")) {
        (name, id) if name.is_empty() && id.is_empty() => None,
        (name, id) => {
            let found = ctx.read(|snapshot| {
                snapshot.query_opt(
                    "SELECT name FROM iot_thing_group WHERE account = $1 AND region = $2 AND (name = $3 OR id = $4)",
                    params![realm.account, realm.region, name, id],
                    |row| Ok::<_, CallError>(row.get::<String>(0)?),
                )
            })?;
            let found = found.ok_or_else(|| ApiError::not_found("The thing group cannot be found."))?;
            Some(realm.arn(format_args!("thinggroup/{found}")))
        }
    };
    let filter = [&*status, &namespace, &selection, group.as_deref().unwrap_or("")].join("\n");
    let page = Page::read(ctx, &input, filter)?;
    let (at, id) = page.after.split_once('/').unwrap_or((LATEST, ""));
    let at = Timestamp::from_micros(at.parse().map_err(|_| ApiError::invalid_request("invalid nextToken"))?);
    let mut rows = Vec::new();
    ctx.read(|snapshot| {
        snapshot.query_each(
            "SELECT id, status, continuous, targets, created_at, updated_at, completed_at FROM iot_job
             WHERE account = $1 AND region = $2 AND (created_at < $3 OR (created_at = $3 AND id > $4))
               AND ($5 = '' OR status = $5) AND ($6 = '' OR namespace = $6)
               AND ($7 = '' OR continuous = CASE WHEN $7 = 'CONTINUOUS' THEN 1 ELSE 0 END)
             ORDER BY created_at DESC, id",
            params![realm.account, realm.region, at, id, status, namespace, selection],
            |row| {
                let targets: Vec<String> = serde_json::from_str(row.text(3)?).unwrap_or_default();
                if group.as_ref().is_some_and(|group| !targets.contains(group)) {
                    return Ok(true);
                }
                let (id, created): (String, Timestamp) = (row.get(0)?, row.get(4)?);
                let mut summary = json!({
                    "jobArn": job_arn(&realm, &id),
                    "jobId": id,
                    "targetSelection": if row.get(2)? { "CONTINUOUS" } else { "SNAPSHOT" },
                    "status": row.text(1)?,
                    "createdAt": created.as_secs(),
                    "lastUpdatedAt": row.get::<Timestamp>(5)?.as_secs(),
                    "isConcurrent": false,
                });
                if let Some(completed) = row.get::<Option<Timestamp>>(6)? {
                    summary["completedAt"] = completed.as_secs().into();
                }
                rows.push((format!("{}/{id}", created.as_micros()), summary));
                Ok::<_, CallError>(rows.len() <= page.limit)
            },
        )
    })?;
    Ok(page.answer(ctx, "jobs", rows))
}

const SUMMARY: &str = "SELECT job, thing, number, status, queued_at, started_at, updated_at FROM iot_job_execution";

/// The attempts of a job's things, by thing.
pub(super) async fn list_job_executions_for_job(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    drop(authorize_job(ctx, &realm, id.as_str(), &[])?);
    let status = status(&input)?;
    let page = Page::read(ctx, &input, format!("{id}\n{status}"))?;
    let (thing, number) = page.after.split_once('/').unwrap_or(("", "0"));
    let number: i64 = number.parse().map_err(|_| ApiError::invalid_request("invalid nextToken"))?;
    let rows = ctx.read(|snapshot| {
        crate::row::get_job(snapshot, &realm, id.as_str())?;
        snapshot.query_all(
            &format!(
                "{SUMMARY} WHERE account = $1 AND region = $2 AND job = $3
                 AND (thing > $4 OR (thing = $4 AND number > $5)) AND ($6 = '' OR status = $6)
                 ORDER BY thing, number LIMIT $7"
            ),
            params![realm.account, realm.region, id, thing, number, status, rows(&page)],
            |row| {
                let (thing, number): (String, i64) = (row.get(1)?, row.get(2)?);
                let item = json!({
                    "thingArn": realm.arn(format_args!("thing/{thing}")),
                    "jobExecutionSummary": summary(row)?,
                });
                Ok::<_, CallError>((format!("{thing}/{number}"), item))
            },
        )
    })?;
    Ok(page.answer(ctx, "executionSummaries", rows))
}

/// The attempts of a thing, the youngest first.
pub(super) async fn list_job_executions_for_thing(
    _: &Jobs,
    ctx: &CallContext,
    input: Value,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let thing: ThingName = parse(&input, "thingName")?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("thing/{thing}")), |_| ())?);
    let status = status(&input)?;
    let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
    let (namespace, job) = (text("namespaceId"), text("jobId"));
    let page = Page::read(ctx, &input, [thing.as_str(), &status, &namespace, &job].join("\n"))?;
    let mut parts = page.after.splitn(3, '/');
    let (at, after_job, number) =
        (parts.next().filter(|at| !at.is_empty()).unwrap_or(LATEST), parts.next().unwrap_or(""), parts.next());
    let invalid = || ApiError::invalid_request("invalid nextToken");
    let at = Timestamp::from_micros(at.parse().map_err(|_| invalid())?);
    let number: i64 = number.unwrap_or("0").parse().map_err(|_| invalid())?;
    let rows = ctx.read(|snapshot| {
        let known = snapshot.query_opt(
            "SELECT 1 FROM iot_thing WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, thing],
            |row| Ok::<_, CallError>(row.get::<i64>(0)?),
        )?;
        if known.is_none() {
            return Err(ApiError::not_found(format!("Thing {thing} cannot be found.")).into());
        }
        snapshot.query_all(
            &format!(
                "{SUMMARY} WHERE account = $1 AND region = $2 AND thing = $3
                 AND (queued_at < $4 OR (queued_at = $4 AND (job > $5 OR (job = $5 AND number > $6))))
                 AND ($7 = '' OR status = $7) AND ($8 = '' OR namespace = $8) AND ($9 = '' OR job = $9)
                 ORDER BY queued_at DESC, job, number LIMIT $10"
            ),
            params![realm.account, realm.region, thing, at, after_job, number, status, namespace, job, rows(&page)],
            |row| {
                let (job, number, queued): (String, i64, Timestamp) = (row.get(0)?, row.get(2)?, row.get(4)?);
                let key = format!("{}/{job}/{number}", queued.as_micros());
                Ok::<_, CallError>((key, json!({"jobId": job, "jobExecutionSummary": summary(row)?})))
            },
        )
    })?;
    Ok(page.answer(ctx, "executionSummaries", rows))
}

fn rows(page: &Page) -> i64 {
    i64::try_from(page.limit).unwrap_or(i64::MAX - 1) + 1
}

fn status(input: &Value) -> Result<String, ApiError> {
    match input["status"].as_str() {
        None => Ok(String::new()),
        Some(text) => ExecutionStatus::parse(text)
            .map(|status| status.as_str().to_owned())
            .ok_or_else(|| ApiError::invalid_request("Invalid status")),
    }
}

fn summary(row: &Row<'_>) -> Result<Value, CallError> {
    let number: i64 = row.get(2)?;
    let mut summary = json!({
        "status": row.text(3)?,
        "queuedAt": row.get::<Timestamp>(4)?.as_secs(),
        "lastUpdatedAt": row.get::<Timestamp>(6)?.as_secs(),
        "executionNumber": number,
        "retryAttempt": number - 1,
    });
    if let Some(started) = row.get::<Option<Timestamp>>(5)? {
        summary["startedAt"] = started.as_secs().into();
    }
    Ok(summary)
}
