//! `DeploySystemInstance`: takes a snapshot and runs it (TG 7.5, 7.6).

use aws_lc_rs::digest::{SHA256, digest};
use marram_aws_api::ApiError;
use marram_flow_runtime::{DeployError, Deployment, FlowPrincipal};
use marram_identity::{CallContext, CallError};
use marram_store::params;
use marram_tdm::model::Urn;
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::prepare::prepare;
use super::{Instance, Status, authorized_target, find, not_found, set_status, summary};
use crate::edge::{self, Packed};
use crate::input::{ById, read};
use crate::language::refusal;
use crate::realm::Realm;
use crate::service::ThingsGraph;

pub(crate) async fn deploy(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: ById = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, instance, grant) = authorized_target(ctx, &realm, request.id()?)?;
    let instance = instance.ok_or_else(|| not_found(&urn))?;
    let lock = service.instance_lock(&realm, urn.key());
    let in_use = |status: Status| ApiError::in_use(format!("{urn} is {}", status.as_str()));
    let Ok(_serial) = lock.try_lock() else { return Err(in_use(Status::DeployInProgress)) };
    if instance.status.is_moving() {
        return Err(in_use(instance.status));
    }

    let is_cloud = instance.group.is_none();
    let (checker, checked_realm, text) = (service.clone(), realm.clone(), instance.definition.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let inner = &checker.inner;
        let prepared =
            inner.store.read(|s| prepare(s, &inner.catalog, &*inner.things, &checked_realm, &text, is_cloud))?;
        Ok::<_, CallError>(prepared.and_then(|prepared| {
            let frozen = prepared.freeze(&checked_realm)?;
            Ok((prepared, frozen))
        }))
    })
    .await
    .map_err(|_| ApiError::internal())??;
    // A refusal here changes nothing: an older snapshot keeps running.
    let (prepared, snapshot) = prepared.map_err(refusal)?;
    let order = order(service, &realm, &instance, snapshot);
    order.check().map_err(|error| ApiError::invalid_request(error.to_string()))?;
    let stored = serde_json::to_string(&order).map_err(|error| {
        tracing::error!(%error, "a snapshot could not be written down");
        ApiError::internal()
    })?;
    let sha256 = hash(&stored);
    let packed = match (&instance.group, service.inner.greengrass.get()) {
        (Some(_), Some(target)) => {
            let sign = |manifest: &[u8]| target.sign(manifest);
            let bytes = ctx
                .read(|s| edge::artifact::build(s, &realm, &prepared, &instance.definition, &order, ctx.now, &sign))?;
            Some(Packed { urn: instance.id.clone(), key: edge::artifact::key(&prepared.flows), bytes })
        }
        _ => None,
    };
    let (version, dependencies) = (prepared.view.version, prepared.dependencies.to_string());
    let (row_realm, row_urn, now) = (realm.clone(), instance.id.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let instance = find(tx, &row_realm, &row_urn)?.ok_or_else(|| not_found(&row_urn))?;
        if instance.status.is_moving() {
            return Err(ApiError::in_use(format!("{row_urn} is {}", instance.status.as_str())).into());
        }
        tx.execute(
            "UPDATE tg_instance SET snapshot = $4, snapshot_sha256 = $5, version = $6, dependencies = $7
             WHERE account = $1 AND region = $2 AND urn_key = $3",
            params![row_realm.account, row_realm.region, row_urn.key(), stored, sha256, version, dependencies],
        )?;
        let status = if is_cloud { Status::DeployInProgress } else { Status::Bootstrap };
        set_status(tx, &row_realm, &row_urn, status, now)?;
        Ok(())
    })
    .await?;
    if let Some(group) = &instance.group {
        if let Some(packed) = packed
            && let Err(error) = edge::store(service, ctx, &realm, group, packed).await
        {
            note(service, &realm, &instance.id, Status::Failed).await?;
            return Err(error);
        }
        let sent = edge::deploy(service, ctx, &realm, &instance.id, group).await?;
        let instance = ctx.read(|s| find(s, &realm, &urn))?.ok_or_else(|| not_found(&urn))?;
        return Ok(json!({ "summary": summary(&realm, &instance), "greengrassDeploymentId": sent.deployment_id }));
    }
    finish(service, &realm, &instance.id, order).await?;
    let instance = ctx.read(|s| find(s, &realm, &urn))?.ok_or_else(|| not_found(&urn))?;
    Ok(json!({ "summary": summary(&realm, &instance) }))
}

fn order(service: &ThingsGraph, realm: &Realm, instance: &Instance, snapshot: marram_flow::Snapshot) -> Deployment {
    let enabled = instance.metrics.as_ref().and_then(|metrics| metrics.get("cloudMetricEnabled"));
    Deployment {
        snapshot,
        principal: FlowPrincipal {
            account: SmolStr::new(realm.account.as_str()),
            region: SmolStr::new(realm.region.as_str()),
            role_arn: instance.role_arn.as_deref().map(SmolStr::new),
            deployment: SmolStr::new(instance.id.as_str()),
        },
        http_allow: service.inner.network.http_allow.clone(),
        metrics_enabled: enabled.and_then(Value::as_bool).unwrap_or(false),
    }
}

fn hash(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

/// Arms the deployment and notes what came of it. Also how a start finishes what a crash interrupted.
async fn finish(service: &ThingsGraph, realm: &Realm, urn: &Urn, order: Deployment) -> Result<(), CallError> {
    let status = match service.inner.runtime.deploy(order).await {
        Ok(()) => Status::DeployedInTarget,
        Err(DeployError::Closed) => {
            // The next start takes it up again.
            return Err(ApiError::internal().into());
        }
        Err(error) => {
            tracing::error!(deployment = %urn, %error, "a deployment failed");
            Status::Failed
        }
    };
    note(service, realm, urn, status).await
}

async fn note(service: &ThingsGraph, realm: &Realm, urn: &Urn, status: Status) -> Result<(), CallError> {
    let (row_realm, row_urn, now) = (realm.clone(), urn.clone(), service.now());
    service
        .system(realm)
        .commit("SystemInstanceStatusChanged", move |tx| set_status(tx, &row_realm, &row_urn, status, now))
        .await
        .map_err(CallError::from)
}

/// Arms a deployment from its stored snapshot, which must be what was stored (TG 7.3).
pub(crate) async fn rearm(service: &ThingsGraph, realm: &Realm, urn: &Urn) -> Result<(), CallError> {
    let stored = service.inner.store.read(|s| {
        s.query_opt(
            "SELECT snapshot, snapshot_sha256 FROM tg_instance WHERE account = $1 AND region = $2 AND urn_key = $3",
            params![realm.account, realm.region, urn.key()],
            |row| Ok::<_, CallError>((row.get::<Option<String>>(0)?, row.get::<Option<String>>(1)?)),
        )
    })?;
    let intact = match stored {
        Some((Some(snapshot), Some(sha256))) if hash(&snapshot) == sha256 => serde_json::from_str(&snapshot).ok(),
        _ => None,
    };
    match intact {
        Some(order) => finish(service, realm, urn, order).await,
        None => {
            tracing::error!(deployment = %urn, "the stored snapshot is damaged: the deployment is not armed");
            note(service, realm, urn, Status::Failed).await
        }
    }
}
