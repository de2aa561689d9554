//! `CreateJob` and `AssociateTargetsWithJob`.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_job::{JobStatus, Namespace, fill_parameters};
use marram_registry::{Realm, insert_tags, tags_from};
use marram_store::params;
use marram_types::{JobId, Timestamp};
use serde_json::{Map, Value, json};

use super::template::find_template;
use super::{authorize_job, authorize_new, config_of, document, job_arn, parse};
use crate::jobs::{Jobs, NewJob, target_resource};
use crate::row::get_job;
use crate::work::Work;

/// Creates a job for things and groups, from a document or a template.
pub(super) async fn create_job(jobs: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    let targets = texts(&input["targets"]);
    for target in &targets {
        target_resource(&realm, target)?;
    }
    let tags = tags_from(input["tags"].as_array().map_or(&[], Vec::as_slice))?;
    let mut further = targets.clone();
    let template = input["jobTemplateArn"].as_str();
    further.extend(template.map(str::to_owned));
    let grant = authorize_new(ctx, &realm, &format!("job/{id}"), &tags, &further)?;
    let job = new_job(jobs, ctx, &realm, id, targets, &input).await?;
    let (jobs, now) = (jobs.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let row = jobs.create_in(tx, &realm, &job, now)?;
        insert_tags(tx, &realm, &format!("job/{}", job.id), &tags)?;
        let mut answer = json!({"jobArn": job_arn(&realm, job.id.as_str()), "jobId": job.id.as_str()});
        if let Some(description) = row.config.get("description") {
            answer["description"] = description.clone();
        }
        Ok(answer)
    })
    .await
}

async fn new_job(
    jobs: &Jobs,
    ctx: &CallContext,
    realm: &Realm,
    id: JobId,
    targets: Vec<String>,
    input: &Value,
) -> Result<NewJob, ApiError> {
    let invalid = |text: &str| Err(ApiError::invalid_request(text));
    let mut config = config_of(input);
    let mut document = document::given(jobs, ctx, input).await?;
    let own_document = document.is_some();
    if let Some(arn) = input["jobTemplateArn"].as_str() {
        let template = arn.strip_prefix(realm.arn("jobtemplate/").as_str()).unwrap_or_default();
        let row = ctx.read(|snapshot| find_template(snapshot, realm, template))?;
        let Some(row) = row else {
            return Err(ApiError::not_found(format!("Job template {arn} cannot be found.")));
        };
        // What the request says itself wins over its template.
        for (name, value) in row.config.as_object().into_iter().flatten() {
            if own_document && name == "documentSource" {
                continue;
            }
            config.entry(name.clone()).or_insert_with(|| value.clone());
        }
        document = document.or(Some(row.document));
    }
    // A template's windows stand beside its schedule, a job's inside.
    if let Some(windows) = config.remove("maintenanceWindows") {
        let schedule = config.entry("schedulingConfig").or_insert_with(|| json!({}));
        if schedule["maintenanceWindows"].is_null() {
            schedule["maintenanceWindows"] = windows;
        }
    }
    let Some(document) = document else { return invalid("A job needs a document") };
    let parameters: BTreeMap<String, String> =
        serde_json::from_value(input["documentParameters"].clone()).unwrap_or_default();
    let filled = fill_parameters(&document, &parameters)
        .map_err(|name| ApiError::invalid_request(format!("The document parameter {name} has no value")))?;
    let config = Value::Object(config);
    jobs.check_presigned(ctx, &job_arn(realm, id.as_str()), &filled, &config)?;
    let schedule = &input["schedulingConfig"];
    let (start_at, end_at) = (moment(schedule, "startTime")?, moment(schedule, "endTime")?);
    if end_at.is_some_and(|end| end <= start_at.unwrap_or(ctx.now)) {
        return invalid("endTime must be later than startTime");
    }
    Ok(NewJob {
        id,
        namespace: match input["namespaceId"].as_str() {
            None => Namespace::default_queue(),
            Some(text) => text.parse().map_err(|_| ApiError::invalid_request("Invalid namespaceId"))?,
        },
        targets,
        continuous: input["targetSelection"].as_str() == Some("CONTINUOUS"),
        unfilled: (filled != document).then_some(document),
        document: filled,
        config,
        start_at,
        end_at,
    })
}

/// `2026-01-31T10:00`, with or without seconds and `Z`: UTC.
fn moment(schedule: &Value, member: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = schedule[member].as_str() else { return Ok(None) };
    let bare = text.trim_end_matches('Z').replace(' ', "T");
    let full = if bare.len() == "2026-01-31T10:00".len() { format!("{bare}:00Z") } else { format!("{bare}Z") };
    let parsed = Timestamp::parse_rfc3339(&full);
    parsed.map(Some).map_err(|_| ApiError::invalid_request(format!("Invalid {member}")))
}

/// Adds targets to a continuous job.
pub(super) async fn associate_targets_with_job(
    jobs: &Jobs,
    ctx: &CallContext,
    input: Value,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobId")?;
    let targets = texts(&input["targets"]);
    for target in &targets {
        target_resource(&realm, target)?;
    }
    let grant = authorize_job(ctx, &realm, id.as_str(), &targets)?;
    let (jobs, now) = (jobs.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let mut job = get_job(tx, &realm, id.as_str())?;
        if !job.continuous || job.status != JobStatus::InProgress {
            return Err(ApiError::invalid_request(format!(
                "Job {id} is not a continuous job in progress, so it takes no further targets."
            ))
            .into());
        }
        let mut work = Work::begin(&jobs, tx, &realm, now);
        work.add_targets(&job, &targets)?;
        for target in targets {
            if !job.targets.contains(&target) {
                job.targets.push(target);
            }
        }
        let all = serde_json::to_string(&job.targets).map_err(|_| ApiError::internal())?;
        work.tx.execute(
            "UPDATE iot_job SET targets = $4, updated_at = $5 WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id, all, now],
        )?;
        work.advance(&job)?;
        work.finish()?;
        jobs.wake_after(tx);
        let mut answer = Map::new();
        answer.insert("jobArn".to_owned(), job_arn(&realm, id.as_str()).into());
        answer.insert("jobId".to_owned(), id.as_str().into());
        answer.extend(job.config.get("description").map(|text| ("description".to_owned(), text.clone())));
        Ok(Value::Object(answer))
    })
    .await
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
