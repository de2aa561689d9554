//! Job templates; there are no managed ones here.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_job::{JobConfig, MAX_DOCUMENT_CHARS, Window};
use marram_registry::{Realm, delete_tags, insert_tags, tags_from};
use marram_store::{Snapshot, params};
use marram_types::{JobId, Timestamp};
use serde_json::{Value, json};

use super::{Page, authorize_new, authorize_tagged, config_of, document, parse};
use crate::jobs::Jobs;
use crate::row::get_job;

/// A template.
pub(super) struct TemplateRow {
    pub(super) document: String,
    pub(super) config: Value,
    created_at: Timestamp,
}

pub(super) fn find_template(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    id: &str,
) -> Result<Option<TemplateRow>, CallError> {
    snapshot.query_opt(
        "SELECT document, config, created_at FROM iot_job_template WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, id],
        |row| {
            let config = serde_json::from_str(row.text(1)?).unwrap_or_else(|_| json!({}));
            Ok(TemplateRow { document: row.get(0)?, config, created_at: row.get(2)? })
        },
    )
}

fn get(snapshot: &Snapshot<'_>, realm: &Realm, id: &JobId) -> Result<TemplateRow, CallError> {
    find_template(snapshot, realm, id.as_str())?
        .ok_or_else(|| ApiError::not_found(format!("Job template {id} cannot be found.")).into())
}

fn arn(realm: &Realm, id: &str) -> String {
    realm.arn(format_args!("jobtemplate/{id}"))
}

/// Makes a template of a document, or of an existing job.
pub(super) async fn create_job_template(jobs: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobTemplateId")?;
    let tags = tags_from(input["tags"].as_array().map_or(&[], Vec::as_slice))?;
    let from = input["jobArn"].as_str().map(str::to_owned);
    let further: Vec<String> = from.iter().cloned().collect();
    let grant = authorize_new(ctx, &realm, &format!("jobtemplate/{id}"), &tags, &further)?;
    let mut config = config_of(&input);
    if let Some(windows) = input.get("maintenanceWindows").filter(|windows| !windows.is_null()) {
        Window::read(windows).map_err(ApiError::invalid_request)?;
        config.insert("maintenanceWindows".to_owned(), windows.clone());
    }
    let mut document = document::given(jobs, ctx, &input).await?;
    let own_document = document.is_some();
    if let Some(from) = &from {
        let job = from.strip_prefix(realm.arn("job/").as_str()).unwrap_or_default();
        let row = ctx.read(|snapshot| get_job(snapshot, &realm, job))?;
        for (name, value) in row.config.as_object().into_iter().flatten() {
            if own_document && name == "documentSource" {
                continue;
            }
            config.entry(name.clone()).or_insert_with(|| value.clone());
        }
        document = document.or(Some(row.unfilled.unwrap_or(row.document)));
    }
    let Some(document) = document.filter(|text| !text.is_empty() && text.chars().count() <= MAX_DOCUMENT_CHARS) else {
        return Err(ApiError::invalid_request("A job template needs a document"));
    };
    let config = Value::Object(config);
    JobConfig::read(&config).map_err(ApiError::invalid_request)?;
    // Its placeholders are looked at when a job fills its parameters in.
    jobs.check_role(ctx, &realm.arn("job/*"), &config)?;
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let inserted = tx.execute(
            "INSERT INTO iot_job_template (account, region, id, document, config, created_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, region, id) DO NOTHING",
            params![realm.account, realm.region, id, document, config.to_string(), now],
        )?;
        if inserted == 0 {
            let text = format!("Job template {id} already exists.");
            return Err(ApiError::new("ConflictException", 409, text).with("resourceId", id.as_str()).into());
        }
        insert_tags(tx, &realm, &format!("jobtemplate/{id}"), &tags)?;
        Ok(json!({"jobTemplateArn": arn(&realm, id.as_str()), "jobTemplateId": id.as_str()}))
    })
    .await
}

pub(super) async fn describe_job_template(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobTemplateId")?;
    drop(authorize_tagged(ctx, &realm, &format!("jobtemplate/{id}"), &[])?);
    let row = ctx.read(|snapshot| get(snapshot, &realm, &id))?;
    let mut answer = row.config;
    answer["jobTemplateArn"] = arn(&realm, id.as_str()).into();
    answer["jobTemplateId"] = id.as_str().into();
    answer["document"] = row.document.into();
    answer["createdAt"] = row.created_at.as_secs().into();
    Ok(answer)
}

pub(super) async fn list_job_templates(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let page = Page::read(ctx, &input, String::new())?;
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(
            "SELECT id, config, created_at FROM iot_job_template
             WHERE account = $1 AND region = $2 AND id > $3 ORDER BY id LIMIT $4",
            params![realm.account, realm.region, page.after, i64::try_from(page.limit).unwrap_or(250) + 1],
            |row| {
                let id: String = row.get(0)?;
                let config: Value = serde_json::from_str(row.text(1)?).unwrap_or_default();
                let item = json!({
                    "jobTemplateArn": arn(&realm, &id),
                    "jobTemplateId": id,
                    "description": config["description"],
                    "createdAt": row.get::<Timestamp>(2)?.as_secs(),
                });
                Ok::<_, CallError>((id, item))
            },
        )
    })?;
    Ok(page.answer(ctx, "jobTemplates", rows))
}

pub(super) async fn delete_job_template(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id: JobId = parse(&input, "jobTemplateId")?;
    let grant = authorize_tagged(ctx, &realm, &format!("jobtemplate/{id}"), &[])?;
    ctx.commit(grant, move |tx| {
        get(tx, &realm, &id)?;
        tx.execute(
            "DELETE FROM iot_job_template WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
        )?;
        delete_tags(tx, &realm, &format!("jobtemplate/{id}"))?;
        Ok(json!({}))
    })
    .await
}

pub(super) async fn describe_managed_job_template(
    _: &Jobs,
    ctx: &CallContext,
    input: Value,
) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let name = input["templateName"].as_str().unwrap_or_default();
    Err(ApiError::not_found(format!("Managed job template {} cannot be found.", marram_registry::shown(name))))
}

pub(super) async fn list_managed_job_templates(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let page = Page::read(ctx, &input, String::new())?;
    Ok(page.answer(ctx, "managedJobTemplates", Vec::new()))
}
