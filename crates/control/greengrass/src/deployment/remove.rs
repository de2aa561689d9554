//! `CancelDeployment` and `DeleteDeployment`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, ConditionValues, Need};
use marram_jobs::{CancelJob, JobStatus};
use marram_store::params;
use serde_json::{Value, json};

use super::deliver::shadow;
use super::{find, permitted};
use crate::place::Target;
use crate::{Greengrass, fault, tag};

/// Calls a deployment off: devices that have not begun never do, the others keep what they have.
pub(crate) async fn cancel(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, deployment) = permitted(ctx, &input)?;
    let (action, resource) = match (&deployment.job, deployment.target()) {
        (Some(job), _) => ("iot:CancelJob", realm.arn(format_args!("job/{job}"))),
        (None, target) => ("iot:UpdateThingShadow", realm.arn(target.resource())),
    };
    drop(ctx.authorize_all([Need { action, resource: &resource, conditions: ConditionValues::new() }])?);
    let (service, at, id, now) = (greengrass.clone(), realm.clone(), deployment.id.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let current = find(tx, &at, &id)?.ok_or_else(|| fault::not_found("deployment", &id))?;
        if !current.is_active() {
            let message = format!("Deployment {id} is {}, so it cannot be canceled.", current.status);
            return Err(fault::conflict("deployment", &id, message).into());
        }
        tx.execute(
            "UPDATE gg_deployment SET status = 'CANCELED', delivered = 1 WHERE account = $1 AND region = $2 AND id = $3",
            params![at.account, at.region, id],
        )?;
        if let Some(job) = &current.job
            && let Some(row) = service.parts.jobs.find(tx, &at, job)?
            && matches!(row.status, JobStatus::InProgress | JobStatus::Scheduled)
        {
            let how = CancelJob { force: true, reason_code: Some("CANCELED".to_owned()), comment: None };
            service.parts.jobs.cancel_in(tx, &at, job, &how, now)?;
        }
        Ok(())
    })
    .await?;
    if deployment.job.is_none()
        && let Target::Thing(thing) = deployment.target()
    {
        let desired = json!({"state": {"desired": {"desiredStatus": "CANCELED"}}});
        shadow(greengrass, &realm, &thing, desired).await?;
    }
    Ok(json!({"message": format!("Deployment {} is canceled.", deployment.id)}))
}

/// Deletes a deployment that is no longer in force, with its job and its document.
pub(crate) async fn delete(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, deployment) = permitted(ctx, &input)?;
    if let Some(job) = &deployment.job {
        let resource = realm.arn(format_args!("job/{job}"));
        let need = Need { action: "iot:DeleteJob", resource: &resource, conditions: ConditionValues::new() };
        drop(ctx.authorize_all([need])?);
    }
    let (service, id, now) = (greengrass.clone(), deployment.id, ctx.now);
    ctx.commit(grant, move |tx| {
        let current = find(tx, &realm, &id)?.ok_or_else(|| fault::not_found("deployment", &id))?;
        if current.is_active() {
            let message = format!("Deployment {id} is active: cancel it first.");
            return Err(fault::conflict("deployment", &id, message).into());
        }
        if let Some(job) = &current.job
            && service.parts.jobs.find(tx, &realm, job)?.is_some()
        {
            service.parts.jobs.delete_in(tx, &realm, job, true, now)?;
        }
        if let Some(large) = &current.large {
            service.parts.objects.unshare(tx, &realm.account, large)?;
        }
        tx.execute(
            "DELETE FROM gg_deployment WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
        )?;
        tag::forget(tx, &realm, &format!("deployments:{id}"))?;
        Ok(json!({}))
    })
    .await
}
