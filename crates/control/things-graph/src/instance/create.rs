//! `CreateSystemInstance`: validates and stores a deployment (TG 7.2).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues, Need};
use marram_store::params;
use serde::Deserialize;
use serde_json::{Value, json};

use super::prepare::prepare;
use super::{CLOUD, GREENGRASS, Group, Instance, Status, find, summary};
use crate::edge;
use crate::input::{Document, Tag, read};
use crate::language::{self, refusal};
use crate::realm::Realm;
use crate::service::{SERVICE_PRINCIPAL, ThingsGraph};
use crate::tag;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    definition: Document,
    target: String,
    greengrass_group_name: Option<String>,
    s3_bucket_name: Option<String>,
    flow_actions_role_arn: Option<String>,
    metrics_configuration: Option<Value>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// The group a deployment is for (TG 7.1).
fn group(service: &ThingsGraph, ctx: &CallContext, realm: &Realm, request: &Create) -> Result<Group, ApiError> {
    let Some(target) = service.inner.greengrass.get() else {
        return Err(ApiError::invalid_request("The target GREENGRASS is not available: no cores are served here"));
    };
    let name = request.greengrass_group_name.clone().unwrap_or_default();
    let found = ctx.read(|s| target.resolve(s, realm, &name))?;
    let found =
        found.ok_or_else(|| ApiError::invalid_request(format!("The Greengrass group {name} does not exist")))?;
    let bucket = request.s3_bucket_name.clone().unwrap_or_default();
    Ok(Group { name, resource: found.resource, id: None, version: None, bucket })
}

pub(crate) async fn create(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let mut request: Create = read(input)?;
    let realm = Realm::of(ctx);
    let tags = tag::collect(std::mem::take(&mut request.tags))?;
    let metric_role = request.metrics_configuration.as_ref().and_then(|metrics| metrics.get("metricRuleRoleArn"));
    let metric_role = metric_role.and_then(Value::as_str);
    let roles: Vec<&str> = request.flow_actions_role_arn.as_deref().into_iter().chain(metric_role).collect();

    let mut conditions = ConditionValues::new();
    conditions.request_tags(tag::pairs(&tags));
    let mut needs = vec![Need { action: ctx.operation.iam_action, resource: "*", conditions: conditions.clone() }];
    // Tags at creation are tagging (CP 10.1), of the deployment that is about to be.
    let tagged = language::header(&request.definition.text).id.map_or_else(|| "*".to_owned(), |id| realm.arn(&id));
    if !tags.is_empty() {
        needs.push(Need { action: "iotthingsgraph:TagResource", resource: &tagged, conditions });
    }
    for role in &roles {
        let mut conditions = ConditionValues::new();
        conditions.set("iam:PassedToService", SERVICE_PRINCIPAL);
        needs.push(Need { action: "iam:PassRole", resource: role, conditions });
    }
    let grant = ctx.authorize_all(needs)?;

    if request.target == GREENGRASS {
        for (member, value) in
            [("greengrassGroupName", &request.greengrass_group_name), ("s3BucketName", &request.s3_bucket_name)]
        {
            if value.as_deref().is_none_or(str::is_empty) {
                return Err(ApiError::invalid_request(format!("{member} is required for the target GREENGRASS")));
            }
        }
    }
    let is_cloud = request.target == CLOUD;
    let group = if is_cloud { None } else { Some(group(service, ctx, &realm, &request)?) };
    if is_cloud && (request.greengrass_group_name.is_some() || request.s3_bucket_name.is_some()) {
        tracing::info!("members of the target GREENGRASS are ignored for CLOUD");
    }
    let role_arn = request.flow_actions_role_arn.clone();
    if is_cloud && role_arn.is_none() {
        return Err(ApiError::invalid_request("flowActionsRoleArn is required for the target CLOUD"));
    }
    let text = request.definition.text;
    let (checker, checked_realm) = (service.clone(), realm.clone());
    let (text, prepared) = tokio::task::spawn_blocking(move || {
        let inner = &checker.inner;
        let prepared =
            inner.store.read(|s| prepare(s, &inner.catalog, &*inner.things, &checked_realm, &text, is_cloud))?;
        // What cannot be frozen could never be deployed.
        let prepared = prepared.and_then(|prepared| prepared.freeze(&checked_realm).map(|_| prepared));
        Ok::<_, CallError>((text, prepared))
    })
    .await
    .map_err(|_| ApiError::internal())??;
    let prepared = prepared.map_err(refusal)?;
    let source_arn = realm.arn(&prepared.deployment.id);
    if let (Some(group), Some(target)) = (&group, service.inner.greengrass.get()) {
        let key = edge::artifact::key(&prepared.flows);
        target.may_store(ctx, &group.bucket, &key).map_err(|error| edge::not_writable(&group.bucket, &error))?;
    }
    for role in roles {
        if !service.inner.roles.trusts(&realm, role, &source_arn) {
            let message = format!("The role {role} does not exist or does not trust {SERVICE_PRINCIPAL}");
            return Err(ApiError::invalid_request(message));
        }
    }

    let (now, most, metrics) = (ctx.now, service.inner.quotas.deployments, request.metrics_configuration);
    let system_key = prepared.system.id.key().to_owned();
    let instance = Instance {
        id: prepared.deployment.id.clone(),
        definition: text,
        target: request.target,
        status: Status::NotDeployed,
        role_arn,
        metrics,
        version: prepared.view.version,
        dependencies: prepared.dependencies,
        created: now,
        updated: now,
        group,
        is_in_target: false,
    };
    ctx.commit(grant, move |tx| {
        if find(tx, &realm, &instance.id)?.is_some() {
            return Err(ApiError::already_exists(format!("{} already exists", instance.id)).into());
        }
        let count: i64 = tx.query_one(
            "SELECT COUNT(*) FROM tg_instance WHERE account = $1 AND region = $2",
            params![realm.account, realm.region],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?;
        if count >= most {
            return Err(ApiError::limit_exceeded(format!("At most {most} system instances")).into());
        }
        tx.execute(
            "INSERT INTO tg_instance (account, region, urn_key, id, definition, system_key, target, status, role_arn,
             metrics, version, dependencies, created_at, updated_at, group_name, group_resource, bucket)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15, $16)",
            params![
                realm.account,
                realm.region,
                instance.id.key(),
                instance.id.as_str(),
                instance.definition,
                system_key,
                instance.target,
                instance.status.as_str(),
                instance.role_arn,
                instance.metrics.as_ref().map(Value::to_string),
                instance.version,
                instance.dependencies.to_string(),
                now,
                instance.group.as_ref().map(|group| group.name.as_str()),
                instance.group.as_ref().map(|group| group.resource.as_str()),
                instance.group.as_ref().map(|group| group.bucket.as_str())
            ],
        )?;
        tag::put(tx, &realm, &instance.id, &tags)?;
        Ok(json!({ "summary": summary(&realm, &instance) }))
    })
    .await
}
