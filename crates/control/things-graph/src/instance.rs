//! System instances: deployments of systems (TG 7, 9.4).

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod deploy;
pub(crate) mod prepare;
pub(crate) mod read;
pub(crate) mod undeploy;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, Grant};
use marram_store::{Row, Snapshot, Tx, params};
use marram_tdm::model::{Metatype, Urn};
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::realm::Realm;
use crate::tag;

/// The two targets (TG 7.1).
pub(crate) const CLOUD: &str = "CLOUD";
pub(crate) const GREENGRASS: &str = "GREENGRASS";

/// Where a deployment stands (TG 7.5). `BOOTSTRAP` and `PENDING_DELETE` belong to the GREENGRASS target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    NotDeployed,
    Bootstrap,
    DeployInProgress,
    DeployedInTarget,
    UndeployInProgress,
    PendingDelete,
    Failed,
    DeletedInTarget,
}

impl Status {
    const ALL: [(Self, &'static str); 8] = [
        (Self::NotDeployed, "NOT_DEPLOYED"),
        (Self::Bootstrap, "BOOTSTRAP"),
        (Self::PendingDelete, "PENDING_DELETE"),
        (Self::DeployInProgress, "DEPLOY_IN_PROGRESS"),
        (Self::DeployedInTarget, "DEPLOYED_IN_TARGET"),
        (Self::UndeployInProgress, "UNDEPLOY_IN_PROGRESS"),
        (Self::Failed, "FAILED"),
        (Self::DeletedInTarget, "DELETED_IN_TARGET"),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(status, _)| *status == self).map_or("FAILED", |(_, text)| text)
    }

    fn parse(text: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == text).map_or(Self::Failed, |(status, _)| *status)
    }

    /// Another step of the status machine is under way.
    pub(crate) fn is_moving(self) -> bool {
        matches!(self, Self::Bootstrap | Self::DeployInProgress | Self::UndeployInProgress | Self::PendingDelete)
    }
}

/// A deployment's row.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    /// Display form.
    pub(crate) id: Urn,
    pub(crate) definition: String,
    pub(crate) target: String,
    pub(crate) status: Status,
    pub(crate) role_arn: Option<String>,
    /// `metricsConfiguration` as it was given.
    pub(crate) metrics: Option<Value>,
    /// Namespace version it was validated against.
    pub(crate) version: i64,
    /// `validatedDependencyRevisions`.
    pub(crate) dependencies: Value,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Of the target GREENGRASS.
    pub(crate) group: Option<Group>,
    /// The target's deployments hold it.
    pub(crate) is_in_target: bool,
}

/// Where a GREENGRASS deployment goes.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// `greengrassGroupName`.
    pub(crate) name: String,
    /// `thinggroup/NAME`.
    pub(crate) resource: String,
    /// `greengrassGroupId`, since the first deploy.
    pub(crate) id: Option<String>,
    /// `greengrassGroupVersionId`, since the first deploy.
    pub(crate) version: Option<String>,
    /// `s3BucketName`.
    pub(crate) bucket: String,
}

const COLUMNS: &str =
    "id, definition, target, status, role_arn, metrics, version, dependencies, created_at, updated_at,
    group_name, group_resource, group_id, group_version, bucket, in_target";
/// How many [`COLUMNS`] are.
const COLUMN_COUNT: usize = 16;

fn read_row(row: &Row<'_>) -> Result<Instance, CallError> {
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(Instance {
        id: row.parse(0)?,
        definition: row.get(1)?,
        target: row.get(2)?,
        status: Status::parse(row.text(3)?),
        role_arn: row.get(4)?,
        metrics: json(row.get(5)?),
        version: row.get(6)?,
        dependencies: json(row.get(7)?).unwrap_or_else(|| json!([])),
        created: row.get(8)?,
        updated: row.get(9)?,
        group: match (row.get::<Option<String>>(10)?, row.get::<Option<String>>(11)?) {
            (Some(name), Some(resource)) => Some(Group {
                name,
                resource,
                id: row.get(12)?,
                version: row.get(13)?,
                bucket: row.get::<Option<String>>(14)?.unwrap_or_default(),
            }),
            _ => None,
        },
        is_in_target: row.get::<i64>(15)? != 0,
    })
}

/// The deployment of that URN.
pub(crate) fn find(s: &Snapshot<'_>, realm: &Realm, urn: &Urn) -> Result<Option<Instance>, CallError> {
    s.query_opt(
        &format!("SELECT {COLUMNS} FROM tg_instance WHERE account = $1 AND region = $2 AND urn_key = $3"),
        params![realm.account, realm.region, urn.key()],
        read_row,
    )
}

/// Moves a deployment to `status`.
pub(crate) fn set_status(
    tx: &mut Tx<'_>,
    realm: &Realm,
    urn: &Urn,
    status: Status,
    now: Timestamp,
) -> Result<(), CallError> {
    tx.execute(
        "UPDATE tg_instance SET status = $4, updated_at = $5 WHERE account = $1 AND region = $2 AND urn_key = $3",
        params![realm.account, realm.region, urn.key(), status.as_str(), now],
    )?;
    Ok(())
}

/// The deployment a request names and leave to work on it: the stored spelling and tags decide (TG 11.2).
pub(crate) fn authorized_target(
    ctx: &CallContext,
    realm: &Realm,
    id: &str,
) -> Result<(Urn, Option<Instance>, Grant), ApiError> {
    let urn = realm.own_urn(id, Metatype::Deployment)?;
    let (instance, tags) = ctx.read(|s| Ok((find(s, realm, &urn)?, tag::tags_of(s, realm, &urn)?)))?;
    let named = instance.as_ref().map_or(&urn, |instance| &instance.id);
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(named), |values| {
        tag::resource_conditions(values, &tags);
    })?;
    Ok((urn, instance, grant))
}

pub(crate) fn not_found(urn: &Urn) -> ApiError {
    ApiError::not_found(format!("{urn} does not exist"))
}

/// `SystemInstanceSummary`.
pub(crate) fn summary(realm: &Realm, instance: &Instance) -> Value {
    let mut summary = json!({
        "id": instance.id.as_str(),
        "arn": realm.arn(&instance.id),
        "status": instance.status.as_str(),
        "target": instance.target,
        "createdAt": instance.created.epoch_seconds(),
        "updatedAt": instance.updated.epoch_seconds(),
    });
    if let Some(group) = &instance.group {
        summary["greengrassGroupName"] = group.name.as_str().into();
        for (member, value) in [("greengrassGroupId", &group.id), ("greengrassGroupVersionId", &group.version)] {
            if let Some(value) = value {
                summary[member] = value.as_str().into();
            }
        }
    }
    summary
}
