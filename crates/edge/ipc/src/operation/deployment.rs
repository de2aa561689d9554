//! Local deployments and the debug console's password (CR 4.5, 6.8).

use std::collections::BTreeMap;

use marram_edge_ports::{
    DeploymentRecord, LocalConfigurationUpdate, LocalDeploymentRequest, PortError, RunWith, SystemResourceLimits,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use super::input::{parse, required_text};
use super::{Answer, Call, Handled, json as write};

const CLI: &str = "aws.greengrass.Cli";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    group_name: Option<String>,
    root_component_versions_to_add: Option<BTreeMap<SmolStr, String>>,
    root_components_to_remove: Option<Vec<SmolStr>>,
    component_to_configuration: Option<BTreeMap<SmolStr, Update>>,
    component_to_run_with_info: Option<BTreeMap<SmolStr, RunWithInfo>>,
    recipe_directory_path: Option<String>,
    artifacts_directory_path: Option<String>,
    failure_handling_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Update {
    merge: Option<Value>,
    reset: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunWithInfo {
    posix_user: Option<String>,
    system_resource_limits: Option<Limits>,
}

#[derive(Deserialize)]
struct Limits {
    memory: Option<u64>,
    cpus: Option<f64>,
}

pub(super) fn create(call: &mut Call<'_>) -> Handled {
    let request: Create = parse(call.payload)?;
    call.authorize(CLI, Some("*"))?;
    let update = |(name, update): (SmolStr, Update)| match update.merge {
        Some(merge) if !merge.is_object() => {
            Err(PortError::InvalidArguments(format!("`MERGE` of {name} must be an object")))
        }
        merge => Ok((name, LocalConfigurationUpdate { merge, reset: update.reset.unwrap_or_default() })),
    };
    let run_with = |(name, info): (SmolStr, RunWithInfo)| {
        let limits =
            info.system_resource_limits.map(|limits| SystemResourceLimits { memory: limits.memory, cpus: limits.cpus });
        (name, RunWith { posix_user: info.posix_user.map(Some), system_resource_limits: limits.map(Some) })
    };
    let rollback_on_failure = match request.failure_handling_policy.as_deref() {
        None | Some("DO_NOTHING") => false,
        Some("ROLLBACK") => true,
        Some(other) => {
            return Err(PortError::InvalidArguments(format!("failure handling policy `{other}` does not exist")));
        }
    };
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    let deployment = LocalDeploymentRequest {
        group_name: present(request.group_name),
        add: request.root_component_versions_to_add.unwrap_or_default(),
        remove: request.root_components_to_remove.unwrap_or_default(),
        configuration: request
            .component_to_configuration
            .into_iter()
            .flatten()
            .map(update)
            .collect::<Result<_, _>>()?,
        run_with: request.component_to_run_with_info.into_iter().flatten().map(run_with).collect(),
        recipe_directory: present(request.recipe_directory_path).map(Into::into),
        artifact_directory: present(request.artifacts_directory_path).map(Into::into),
        rollback_on_failure,
    };
    let port = call.port(&call.door.ports.deployments)?;
    Ok(Answer::Later(Box::pin(async move {
        let id = port.create_local(deployment).await?;
        write(&json!({"deploymentId": id}))
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    deployment_id: Option<String>,
}

fn which(call: &Call<'_>) -> Result<String, PortError> {
    let id = required_text(parse::<Which>(call.payload)?.deployment_id, "deploymentId")?;
    call.authorize(CLI, Some(&id))?;
    Ok(id)
}

pub(super) fn cancel(call: &mut Call<'_>) -> Handled {
    let id = which(call)?;
    let port = call.port(&call.door.ports.deployments)?;
    Ok(Answer::Later(Box::pin(async move {
        let message = port.cancel_local(&id).await?;
        write(&json!({"message": message}))
    })))
}

pub(super) fn status(call: &mut Call<'_>) -> Handled {
    let id = which(call)?;
    let record = call.port(&call.door.ports.deployments)?.local_status(&id)?;
    call.respond(&json!({"deployment": shape(record)}))
}

pub(super) fn list(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    call.authorize(CLI, Some("*"))?;
    let deployments: Vec<_> = call.port(&call.door.ports.deployments)?.local_list().into_iter().map(shape).collect();
    call.respond(&json!({"localDeployments": deployments}))
}

/// `LocalDeployment` of the wire.
pub(super) fn shape(record: DeploymentRecord) -> Value {
    let created = jiff::Timestamp::from_millisecond(record.created_on).map(|time| time.to_string()).unwrap_or_default();
    let mut shape = json!({"deploymentId": record.id, "status": record.status.as_str(), "createdOn": created});
    if !record.detailed_status.is_empty() {
        let mut details = json!({
            "detailedDeploymentStatus": record.detailed_status,
            "deploymentErrorStack": record.error_stack,
            "deploymentErrorTypes": record.error_types,
        });
        if let Some(cause) = record.failure_cause {
            details["deploymentFailureCause"] = Value::String(cause);
        }
        shape["deploymentStatusDetails"] = details;
    }
    shape
}

pub(super) fn debug_password(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    call.authorize(CLI, Some("*"))?;
    let port = call.port(&call.door.ports.debug_passwords)?;
    let principal = call.caller.name.clone();
    Ok(Answer::Later(Box::pin(async move {
        let made = port.create().await?;
        tracing::info!(target: "audit", event = "DebugPasswordCreated", %principal, expires = made.expires);
        let mut response =
            json!({"username": made.username, "password": made.password, "passwordExpiration": made.expires});
        if let Some(print) = made.certificate_sha256 {
            response["certificateSHA256Hash"] = Value::String(print);
        }
        if let Some(print) = made.certificate_sha1 {
            response["certificateSHA1Hash"] = Value::String(print);
        }
        write(&response)
    })))
}
