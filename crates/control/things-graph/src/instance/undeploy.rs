//! `UndeploySystemInstance`: disarms the triggers, aborts what runs (TG 7.5).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_tdm::model::Urn;
use serde_json::{Value, json};

use super::{Status, authorized_target, find, not_found, set_status, summary};
use crate::edge;
use crate::input::{ById, read};
use crate::realm::Realm;
use crate::service::ThingsGraph;

pub(crate) async fn undeploy(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: ById = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, instance, grant) = authorized_target(ctx, &realm, request.id()?)?;
    let instance = instance.ok_or_else(|| not_found(&urn))?;
    let lock = service.instance_lock(&realm, urn.key());
    let Ok(_serial) = lock.try_lock() else {
        return Err(ApiError::in_use(format!("{urn} is being deployed or undeployed")));
    };
    let (row_realm, now) = (realm.clone(), ctx.now);
    let (row_urn, is_cloud) = (instance.id.clone(), instance.group.is_none());
    ctx.commit(grant, move |tx| {
        let instance = find(tx, &row_realm, &row_urn)?.ok_or_else(|| not_found(&row_urn))?;
        match instance.status {
            Status::NotDeployed | Status::DeletedInTarget => {
                let message = format!("{row_urn} is {}", instance.status.as_str());
                return Err(ApiError::invalid_request(message).into());
            }
            // A core that is away has not begun: the deployment is taken back (TG 7.5). Asking again sends it again.
            Status::DeployInProgress | Status::PendingDelete if instance.group.is_some() => {}
            status if status.is_moving() => {
                return Err(ApiError::in_use(format!("{row_urn} is {}", status.as_str())).into());
            }
            _ => {}
        }
        let status = if is_cloud { Status::UndeployInProgress } else { Status::PendingDelete };
        set_status(tx, &row_realm, &row_urn, status, now)?;
        Ok(())
    })
    .await?;
    if let Some(group) = &instance.group {
        edge::undeploy(service, ctx, &realm, &instance.id, group).await?;
        let instance = ctx.read(|s| find(s, &realm, &urn))?.ok_or_else(|| not_found(&urn))?;
        return Ok(json!({ "summary": summary(&realm, &instance) }));
    }
    finish(service, &realm, &instance.id).await?;
    let instance = ctx.read(|s| find(s, &realm, &urn))?.ok_or_else(|| not_found(&urn))?;
    Ok(json!({ "summary": summary(&realm, &instance) }))
}

/// Removes the deployment from the runtime and notes what came of it. Also how a start finishes what a crash interrupted.
pub(crate) async fn finish(service: &ThingsGraph, realm: &Realm, urn: &Urn) -> Result<(), CallError> {
    let removed = service.inner.runtime.undeploy(urn.as_str()).await;
    let status = match &removed {
        Ok(_) => Status::DeletedInTarget,
        Err(error) => {
            tracing::error!(deployment = %urn, %error, "a deployment could not be undeployed");
            Status::Failed
        }
    };
    let (row_realm, row_urn, now) = (realm.clone(), urn.clone(), service.now());
    service
        .system(realm)
        .commit("SystemInstanceStatusChanged", move |tx| set_status(tx, &row_realm, &row_urn, status, now))
        .await
        .map_err(CallError::from)
}
