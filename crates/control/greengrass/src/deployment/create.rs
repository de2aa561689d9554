//! `CreateDeployment` (control-plane-api 7.3).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues, Need};
use marram_jobs::CancelJob;
use marram_registry::Realm;
use marram_store::{Snapshot, Tx, params};
use marram_version::Version;
use serde_json::{Map, Value, json};

use super::deliver::{deliver, prepare};
use super::{COLUMNS, Deployment};
use crate::idempotency::Attempt;
use crate::place::{self, Target};
use crate::{Greengrass, component, fault, tag};

/// Components of a deployment (control-plane-api 10.4).
const MAX_COMPONENTS: usize = 200;

/// Replaces the component set of a target. The deployment before it becomes inactive, and so does its job.
pub(crate) async fn create(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (realm, now) = (place::realm(ctx), ctx.now);
    let tags = tag::given(&input)?;
    let target_arn = input["targetArn"].as_str().unwrap_or_default();
    let target = Target::parse(&realm, target_arn);
    let id = uuid::Uuid::new_v4().to_string();
    let by_job = match &target {
        Some(Target::Thing(thing)) => {
            ctx.read(|snapshot| crate::core::find(snapshot, &realm, thing))?.is_some_and(|core| core.listens_to_jobs())
        }
        Some(Target::Group(_)) => true,
        None => false,
    };
    let grant = authorize(ctx, &realm, target_arn, target.as_ref(), by_job, &id, &tags)?;
    let target = target
        .ok_or_else(|| fault::field("targetArn", "The target must be a thing or a thing group of this account."))?;
    let parent = parent(&realm, &input, &target)?;
    let request = checked(&input)?;
    let attempt = Attempt::of(ctx, &input);
    if let Some(answer) = ctx.read(|snapshot| attempt.earlier(snapshot, &realm, now))? {
        return Ok(answer);
    }
    ctx.read(|snapshot| {
        must_exist(snapshot, &realm, &target.resource())?;
        if let Some(parent) = &parent {
            must_exist(snapshot, &realm, parent)?;
        }
        components_exist(snapshot, &realm, &request)
    })?;
    let job = by_job.then(|| uuid::Uuid::new_v4().to_string());
    let mut answer = json!({"deploymentId": id});
    if let Some(job) = &job {
        answer["iotJobId"] = json!(job);
        answer["iotJobArn"] = json!(realm.arn(format_args!("job/{job}")));
    }
    let mut deployment = Deployment {
        id,
        target: target.resource(),
        revision: 0,
        latest: true,
        status: "ACTIVE".to_owned(),
        name: input["deploymentName"].as_str().map(str::to_owned),
        parent,
        request,
        job,
        large: None,
        large_sha256: None,
        created_at: now,
    };
    let (service, at, answered) = (greengrass.clone(), realm.clone(), answer.clone());
    let deployment = ctx
        .commit(grant, move |tx| {
            deployment.revision = replace(&service, tx, &at, &deployment.target, now)?;
            prepare(&service, tx, &at, &mut deployment, now)?;
            insert(tx, &at, &deployment)?;
            tag::insert(tx, &at, &format!("deployments:{}", deployment.id), &tags)?;
            attempt.remember(tx, &at, &answered, now)?;
            Ok(deployment)
        })
        .await?;
    // A job is on its way already. A shadow is written now; a crash in between is made good at the next start.
    if !by_job {
        deliver(greengrass, &realm, &deployment).await?;
    }
    Ok(answer)
}

/// The deployment itself, and what it makes the service do, as the caller (control-plane-api 3.7).
fn authorize(
    ctx: &CallContext,
    realm: &Realm,
    target_arn: &str,
    target: Option<&Target>,
    by_job: bool,
    id: &str,
    tags: &tag::Tags,
) -> Result<marram_identity::Grant, ApiError> {
    let mut conditions = ConditionValues::new();
    conditions.request_tags(tag::pairs(tags));
    let job = realm.arn(format_args!("job/{id}"));
    let called = || {
        let mut values = ConditionValues::new();
        values.set("aws:CalledViaLast", crate::service::ACTOR);
        values
    };
    let mut needs = vec![Need { action: ctx.operation.iam_action, resource: "*", conditions }];
    match target {
        Some(Target::Group(_)) => {
            needs.push(Need { action: "iot:DescribeThingGroup", resource: target_arn, conditions: called() });
        }
        Some(Target::Thing(_)) => {
            needs.push(Need { action: "iot:DescribeThing", resource: target_arn, conditions: called() });
            if !by_job {
                needs.push(Need { action: "iot:UpdateThingShadow", resource: target_arn, conditions: called() });
            }
        }
        None => {}
    }
    if by_job {
        needs.push(Need { action: "iot:CreateJob", resource: &job, conditions: called() });
        needs.push(Need { action: "iot:CreateJob", resource: target_arn, conditions: called() });
    }
    ctx.authorize_all(needs)
}

/// The parent group of a sub-deployment, as `thinggroup/{name}`.
fn parent(realm: &Realm, input: &Value, target: &Target) -> Result<Option<String>, ApiError> {
    let Some(text) = input["parentTargetArn"].as_str() else { return Ok(None) };
    match (Target::parse(realm, text), target) {
        (Some(parent @ Target::Group(_)), Target::Group(_)) => Ok(Some(parent.resource())),
        (Some(Target::Group(_)), Target::Thing(_)) => {
            Err(fault::field("targetArn", "A sub-deployment's target must be a thing group."))
        }
        _ => Err(fault::field("parentTargetArn", "The parent must be a thing group of this account.")),
    }
}

/// What is kept of the request: components and policies with their defaults, everything checked that the model does not say.
fn checked(input: &Value) -> Result<Value, ApiError> {
    let components = input["components"].as_object().cloned().unwrap_or_default();
    if components.len() > MAX_COMPONENTS {
        return Err(fault::field("components", format!("A deployment has at most {MAX_COMPONENTS} components.")));
    }
    for (name, entry) in &components {
        let at = |member: &str| format!("components.{name}.{member}");
        let version = entry["componentVersion"].as_str().unwrap_or_default();
        if let Err(error) = version.parse::<Version>() {
            return Err(fault::field(
                &at("componentVersion"),
                format!("The version of {name} is not a version: {error}."),
            ));
        }
        if let Some(merge) = entry["configurationUpdate"]["merge"].as_str() {
            let place = at("configurationUpdate.merge");
            let parsed = serde_json::from_str::<Value>(merge).ok().filter(Value::is_object);
            let merge =
                parsed.ok_or_else(|| fault::field(&place, format!("The merge of {name} is not a JSON object.")))?;
            let faults = if name == marram_deploy::NUCLEUS {
                marram_deploy::check_nucleus(&merge)
            } else {
                let reset = entry["configurationUpdate"]["reset"].as_array().into_iter().flatten();
                // A reset of everything leaves nothing to merge with.
                let is_whole = reset.into_iter().any(|pointer| pointer == "");
                let scope = if is_whole { marram_deploy::Scope::Whole } else { marram_deploy::Scope::Update };
                marram_deploy::check_component(name, &merge, scope)
            };
            if let Some(first) = faults.first() {
                return Err(fault::field(
                    &place,
                    format!("The merge of {name} has a setting that cannot be: {first}."),
                ));
            }
            if let Err(error) = marram_deploy::session_policy(&merge) {
                return Err(fault::field(&place, format!("The merge of {name}: {error}.")));
            }
            if let Some(problem) = marram_deploy::check_access(&merge).iter().find(|problem| problem.fatal) {
                return Err(fault::field(&place, format!("The merge of {name}: {problem}.")));
            }
        }
        for pointer in entry["configurationUpdate"]["reset"].as_array().into_iter().flatten() {
            let pointer = pointer.as_str().unwrap_or_default();
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(fault::field(
                    &at("configurationUpdate.reset"),
                    "A reset is a JSON pointer: it begins with a slash.",
                ));
            }
        }
    }
    let given = &input["deploymentPolicies"];
    let update = &given["componentUpdatePolicy"];
    let mut kept = Map::new();
    kept.insert("components".to_owned(), Value::Object(components));
    kept.insert(
        "deploymentPolicies".to_owned(),
        json!({
            "failureHandlingPolicy": given["failureHandlingPolicy"].as_str().unwrap_or("ROLLBACK"),
            "componentUpdatePolicy": {
                "action": update["action"].as_str().unwrap_or("NOTIFY_COMPONENTS"),
                "timeoutInSeconds": update["timeoutInSeconds"].as_i64().unwrap_or(60),
            },
            "configurationValidationPolicy": {
                "timeoutInSeconds": given["configurationValidationPolicy"]["timeoutInSeconds"].as_i64().unwrap_or(30),
            },
        }),
    );
    if input["iotJobConfiguration"].is_object() {
        kept.insert("iotJobConfiguration".to_owned(), input["iotJobConfiguration"].clone());
    }
    Ok(Value::Object(kept))
}

/// The thing or group `resource` must be in the registry.
fn must_exist(snapshot: &Snapshot<'_>, realm: &Realm, resource: &str) -> Result<(), CallError> {
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    let table = if kind == "thing" { "iot_thing" } else { "iot_thing_group" };
    let found = snapshot.query_opt(
        &format!("SELECT 1 FROM {table} WHERE account = $1 AND region = $2 AND name = $3"),
        params![realm.account, realm.region, name],
        |row| Ok::<_, CallError>(row.get::<i64>(0)?),
    )?;
    found.map(|_| ()).ok_or_else(|| fault::not_found("target", &realm.arn(resource)).into())
}

/// Own components must be deployable, and those of the vendors parts of every core: what is not built is refused here, not on the
/// device.
fn components_exist(snapshot: &Snapshot<'_>, realm: &Realm, request: &Value) -> Result<(), CallError> {
    for (name, entry) in request["components"].as_object().into_iter().flatten() {
        let version = entry["componentVersion"].as_str().unwrap_or_default();
        match component::find(snapshot, realm, name, version)? {
            Some(found) if found.is_deployable() => {
                let recipe = marram_recipe::read(found.recipe.as_bytes()).recipe;
                for dependency in recipe.iter().flat_map(|recipe| recipe.dependencies.keys()) {
                    if is_not_built(dependency) && component::versions(snapshot, realm, dependency)?.is_empty() {
                        let message = format!(
                            "Component {name} {version} depends on {dependency}, which is not supported by this endpoint."
                        );
                        return Err(fault::field(&format!("components.{name}"), message).into());
                    }
                }
            }
            Some(found) => {
                let message = format!("Component {name} {version} is {}, so it cannot be deployed.", found.state);
                return Err(fault::field(&format!("components.{name}"), message).into());
            }
            None if marram_deploy::builtin(name).is_some() || name == component::NUCLEUS_LITE => {}
            None if is_not_built(name) => {
                let message = format!(
                    "Component {name} is not supported by this endpoint: no core has it, and it was not published."
                );
                return Err(fault::field(&format!("components.{name}"), message).into());
            }
            None => return Err(fault::not_found("component", &format!("{name}:{version}")).into()),
        }
    }
    Ok(())
}

fn is_not_built(name: &str) -> bool {
    marram_deploy::is_vendor_name(name) && marram_deploy::builtin(name).is_none() && name != component::NUCLEUS_LITE
}

/// Ends what is in force on a target; answers the next revision, which no deployment to it ever had.
fn replace(
    greengrass: &Greengrass,
    tx: &mut Tx<'_>,
    realm: &Realm,
    target: &str,
    now: marram_types::Timestamp,
) -> Result<i64, CallError> {
    let latest = tx.query_opt(
        &format!("{COLUMNS} WHERE account = $1 AND region = $2 AND target = $3 ORDER BY revision DESC LIMIT 1"),
        params![realm.account, realm.region, target],
        Deployment::read,
    )?;
    let last = tx.query_opt(
        "SELECT revision FROM gg_revision WHERE account = $1 AND region = $2 AND target = $3",
        params![realm.account, realm.region, target],
        |row| Ok::<i64, CallError>(row.get(0)?),
    )?;
    let next = last.unwrap_or(0) + 1;
    tx.execute(
        "INSERT INTO gg_revision (account, region, target, revision) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, region, target) DO UPDATE SET revision = excluded.revision",
        params![realm.account, realm.region, target, next],
    )?;
    let Some(old) = latest else { return Ok(next) };
    let status = if old.is_active() { "INACTIVE" } else { old.status.as_str() };
    tx.execute(
        "UPDATE gg_deployment SET latest = 0, status = $4 WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, old.id, status],
    )?;
    if let Some(job) = old.job.filter(|_| old.status == "ACTIVE")
        && greengrass.parts.jobs.find(tx, realm, &job)?.is_some_and(|job| {
            matches!(job.status, marram_jobs::JobStatus::InProgress | marram_jobs::JobStatus::Scheduled)
        })
    {
        let how = CancelJob {
            force: true,
            reason_code: Some("REPLACED".to_owned()),
            comment: Some("A newer deployment replaces this one.".to_owned()),
        };
        greengrass.parts.jobs.cancel_in(tx, realm, &job, &how, now)?;
    }
    Ok(next)
}

fn insert(tx: &mut Tx<'_>, realm: &Realm, deployment: &Deployment) -> Result<(), CallError> {
    tx.execute(
        "INSERT INTO gg_deployment (account, region, id, target, revision, latest, status, name, parent, request, job,
             large, large_sha256, delivered, created_at)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        params![
            realm.account,
            realm.region,
            deployment.id,
            deployment.target,
            deployment.revision,
            deployment.status,
            deployment.name,
            deployment.parent,
            deployment.request.to_string(),
            deployment.job,
            deployment.large,
            deployment.large_sha256,
            deployment.job.is_some(),
            deployment.created_at
        ],
    )?;
    Ok(())
}
