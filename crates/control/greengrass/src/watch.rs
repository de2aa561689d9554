//! Deployment status from job executions: inside the transaction that changed them.

use marram_identity::CallError;
use marram_jobs::{ExecutionChange, ExecutionStatus, JobChange, JobStatus, JobWatch, TargetLeft};
use marram_registry::Realm;
use marram_store::{Tx, params};
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::deployment::{Deployment, NAMESPACE, find_by_job};
use crate::place::Target;

/// How a deployment fares on a core.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) thing: &'a str,
    pub(crate) deployment: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) stack: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) at: Timestamp,
}

/// Writes down how a deployment fares on a core.
pub(crate) fn record(tx: &mut Tx<'_>, realm: &Realm, report: &Report<'_>) -> Result<(), CallError> {
    tx.execute(
        "INSERT INTO gg_effective (account, region, thing, deployment, status, reason, stack, types, created_at, modified_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
         ON CONFLICT (account, region, thing, deployment) DO UPDATE SET status = excluded.status,
         reason = excluded.reason, stack = excluded.stack, types = excluded.types, modified_at = excluded.modified_at",
        params![
            realm.account,
            realm.region,
            report.thing,
            report.deployment,
            report.status,
            report.reason,
            json!(report.stack).to_string(),
            json!(report.types).to_string(),
            report.at
        ],
    )?;
    Ok(())
}

/// The word for how a deployment fares: one to a thing ends COMPLETED, one to a group SUCCEEDED (control-plane-api 7.4).
pub(crate) fn word_for<'a>(deployment: &Deployment, status: &'a str) -> &'a str {
    match (status, deployment.target()) {
        ("SUCCEEDED", Target::Thing(_)) => "COMPLETED",
        _ => status,
    }
}

/// A deployment to a thing ends with what the thing says of it.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    realm: &Realm,
    deployment: &Deployment,
    thing: &str,
    status: &str,
) -> Result<(), CallError> {
    let Target::Thing(name) = deployment.target() else { return Ok(()) };
    let ended = match status {
        "COMPLETED" => "COMPLETED",
        "FAILED" | "REJECTED" | "TIMED_OUT" => "FAILED",
        "CANCELED" => "CANCELED",
        _ => return Ok(()),
    };
    if name == thing {
        tx.execute(
            "UPDATE gg_deployment SET status = $4
             WHERE account = $1 AND region = $2 AND id = $3 AND status = 'ACTIVE'",
            params![realm.account, realm.region, deployment.id, ended],
        )?;
    }
    Ok(())
}

/// A deployment that is in force on a core no more.
fn forget(tx: &mut Tx<'_>, realm: &Realm, thing: &str, deployment: &Deployment) -> Result<(), CallError> {
    tx.execute(
        "DELETE FROM gg_effective WHERE account = $1 AND region = $2 AND thing = $3 AND deployment = $4",
        params![realm.account, realm.region, thing, deployment.id],
    )?;
    Ok(())
}

/// Follows the executions of deployment jobs.
pub(crate) struct ExecutionWatch;

/// A list in `statusDetails`: JSON, or words between commas.
pub(crate) fn list(text: Option<&str>) -> Vec<String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Vec::new() };
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(list) => list,
        Err(_) => text.trim_matches(['[', ']']).split(',').map(|word| word.trim().to_owned()).collect(),
    }
}

impl JobWatch for ExecutionWatch {
    fn on_execution_changed(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        change: &ExecutionChange<'_>,
    ) -> Result<(), CallError> {
        if change.namespace.as_str() != NAMESPACE {
            return Ok(());
        }
        let Some(deployment) = find_by_job(tx, realm, change.job)? else { return Ok(()) };
        if change.status == ExecutionStatus::Removed {
            return forget(tx, realm, change.thing, &deployment);
        }
        let detail = |name: &str| change.details.get(name).map(String::as_str);
        let reason = detail("deployment-failure-cause").or_else(|| detail("detailed-deployment-status")).unwrap_or("");
        let status = word_for(&deployment, change.status.as_str());
        let report = Report {
            thing: change.thing,
            deployment: &deployment.id,
            status,
            reason,
            stack: list(detail("deployment-error-stack")),
            types: list(detail("deployment-error-types")),
            at: change.at,
        };
        record(tx, realm, &report)?;
        end(tx, realm, &deployment, change.thing, status)
    }

    fn on_job_changed(&self, tx: &mut Tx<'_>, realm: &Realm, change: &JobChange<'_>) -> Result<(), CallError> {
        // A job that its abort criteria ended takes the deployment with it; replaced and canceled ones are not active any more.
        if change.namespace.as_str() == NAMESPACE && change.status == JobStatus::Canceled {
            tx.execute(
                "UPDATE gg_deployment SET status = 'CANCELED'
                 WHERE account = $1 AND region = $2 AND job = $3 AND status = 'ACTIVE'",
                params![realm.account, realm.region, change.job],
            )?;
        }
        Ok(())
    }

    fn on_target_left(&self, tx: &mut Tx<'_>, realm: &Realm, change: &TargetLeft<'_>) -> Result<(), CallError> {
        if change.namespace.as_str() != NAMESPACE {
            return Ok(());
        }
        match find_by_job(tx, realm, change.job)? {
            Some(deployment) => forget(tx, realm, change.thing, &deployment),
            None => Ok(()),
        }
    }
}

/// A list of texts in a JSON report.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
