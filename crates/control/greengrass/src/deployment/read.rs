//! `GetDeployment`, `ListDeployments`, and the whole of a large document for devices.

use std::time::Duration;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::params;
use serde_json::{Value, json};

use super::{COLUMNS, Deployment, find, permitted};
use crate::page::Page;
use crate::place::{self, Target};
use crate::{Greengrass, fault, tag};

/// How long the URL of a document can be used.
const URL_LIFE: Duration = Duration::from_secs(3600);

fn summary(realm: &Realm, deployment: &Deployment) -> Value {
    let mut item = json!({
        "targetArn": realm.arn(&deployment.target), "revisionId": deployment.revision.to_string(),
        "deploymentId": deployment.id, "creationTimestamp": deployment.created_at.epoch_seconds(),
        "deploymentStatus": deployment.status, "isLatestForTarget": deployment.latest,
    });
    if let Some(name) = &deployment.name {
        item["deploymentName"] = json!(name);
    }
    if let Some(parent) = &deployment.parent {
        item["parentTargetArn"] = json!(realm.arn(parent));
    }
    item
}

/// `GetDeployment`.
pub(crate) async fn get(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, deployment) = permitted(ctx, &input)?;
    drop(grant);
    let tags = ctx.read(|snapshot| tag::of(snapshot, &realm, &format!("deployments:{}", deployment.id)))?;
    let mut answer = summary(&realm, &deployment);
    if let Some(job) = &deployment.job {
        answer["iotJobId"] = json!(job);
        answer["iotJobArn"] = json!(realm.arn(format_args!("job/{job}")));
    }
    for (name, value) in deployment.request.as_object().into_iter().flatten() {
        answer[name] = value.clone();
    }
    answer["tags"] = json!(tags);
    Ok(answer)
}

/// `ListDeployments`: newest first; without a filter the latest of each target.
pub(crate) async fn list(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let history = input["historyFilter"].as_str().unwrap_or("LATEST_ONLY");
    let (target, parent) = (input["targetArn"].as_str(), input["parentTargetArn"].as_str());
    let page = Page::of(ctx, &input, &[history, target.unwrap_or(""), parent.unwrap_or("")])?;
    let resource = |text: Option<&str>, member: &str| match text {
        None => Ok(None),
        Some(text) => Target::parse(&realm, text)
            .map(|target| Some(target.resource()))
            .ok_or_else(|| fault::field(member, "The ARN must name a thing or a thing group of this account.")),
    };
    let (target, parent) = (resource(target, "targetArn")?, resource(parent, "parentTargetArn")?);
    let (before, before_id) = match page.after.split_once('/') {
        Some((at, id)) => (at.parse::<i64>().unwrap_or(i64::MAX), id.to_owned()),
        None => (i64::MAX, String::new()),
    };
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(
            &format!(
                "{COLUMNS} WHERE account = $1 AND region = $2 AND (created_at < $3 OR (created_at = $3 AND id < $4))
                 AND ($5 = 0 OR latest = 1) AND ($6 IS NULL OR target = $6) AND ($7 IS NULL OR parent = $7)
                 ORDER BY created_at DESC, id DESC LIMIT $8"
            ),
            params![
                realm.account,
                realm.region,
                before,
                before_id,
                history == "LATEST_ONLY",
                target,
                parent,
                page.fetch()
            ],
            |row| {
                let deployment = Deployment::read(row)?;
                let key = format!("{}/{}", deployment.created_at.as_micros(), deployment.id);
                Ok::<_, CallError>((key, summary(&realm, &deployment)))
            },
        )
    })?;
    Ok(page.answer(ctx, "deployments", rows))
}

/// `GetDeploymentConfiguration`, for a core that was told `LARGE_CONFIGURATION` (control-plane-api 6.2; the path is our own).
pub(crate) async fn configuration(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let thing = input["coreDeviceThingName"].as_str().unwrap_or_default();
    crate::core::own_thing(ctx, thing, ctx.operation.iam_action)?;
    let id = input["deploymentId"].as_str().unwrap_or_default();
    let found = ctx.read(|snapshot| {
        let Some(found) = find(snapshot, &realm, id)? else { return Ok::<_, CallError>(None) };
        // Only to cores it is meant for.
        let meant = match found.target() {
            Target::Thing(name) => name == thing,
            Target::Group(name) => {
                crate::core::groups_of(snapshot, &realm, thing)?.iter().flatten().any(|group| *group == name)
            }
        };
        Ok(Some(found).filter(|_| meant))
    })?;
    let found = found.ok_or_else(|| fault::not_found("deployment", id))?;
    let (Some(shared), Some(sha256)) = (&found.large, &found.large_sha256) else {
        return Err(fault::not_found("large configuration of deployment", id));
    };
    let url = greengrass.parts.objects.shared_url(&realm.account, shared, ctx.now.saturating_add(URL_LIFE));
    Ok(json!({"preSignedUrl": url, "integrityCheck": {"algorithm": "SHA-256", "digest": sha256}}))
}
