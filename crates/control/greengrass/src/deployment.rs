//! Deployments: a document for a thing or a group, one revision after the other (control-plane-api 7.3).

mod create;
mod deliver;
mod document;
mod read;
mod remove;

pub(crate) use create::create;
pub(crate) use deliver::{hand_over, recover};
pub(crate) use document::SHADOW as SHADOW_NAME;
pub(crate) use read::{configuration, get, list};
pub(crate) use remove::{cancel, delete};

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::{Row, Snapshot, params};
use marram_types::Timestamp;
use serde_json::Value;

use crate::place::Target;
use crate::{fault, place, tag};

/// The queue that nuclei listen to.
pub(crate) const NAMESPACE: &str = "aws-gg-deployment";

/// A deployment's row.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    /// `thing/{name}` or `thinggroup/{name}`.
    pub(crate) target: String,
    pub(crate) revision: i64,
    pub(crate) latest: bool,
    pub(crate) status: String,
    pub(crate) name: Option<String>,
    pub(crate) parent: Option<String>,
    /// Members of `CreateDeployment`, defaults filled in.
    pub(crate) request: Value,
    pub(crate) job: Option<String>,
    /// The whole document in the object store, when it is too large for its way.
    pub(crate) large: Option<String>,
    /// Its SHA-256, base64.
    pub(crate) large_sha256: Option<String>,
    pub(crate) created_at: Timestamp,
}

const COLUMNS: &str = "SELECT id, target, revision, latest, status, name, parent, request, job, large, large_sha256,
    created_at FROM gg_deployment";

impl Deployment {
    fn read(row: &Row<'_>) -> Result<Deployment, CallError> {
        Ok(Deployment {
            id: row.get(0)?,
            target: row.get(1)?,
            revision: row.get(2)?,
            latest: row.get(3)?,
            status: row.get(4)?,
            name: row.get(5)?,
            parent: row.get(6)?,
            request: serde_json::from_str(row.text(7)?).unwrap_or_default(),
            job: row.get(8)?,
            large: row.get(9)?,
            large_sha256: row.get(10)?,
            created_at: row.get(11)?,
        })
    }

    /// Names of the components it asks for.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> {
        self.request["components"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }

    pub(crate) fn target(&self) -> Target {
        match self.target.split_once('/') {
            Some(("thing", name)) => Target::Thing(name.to_owned()),
            Some((_, name)) => Target::Group(name.to_owned()),
            None => Target::Group(self.target.clone()),
        }
    }

    /// `arn:…:configuration:thinggroup/{group}:{revision}`: how devices know one deployment from the next.
    pub(crate) fn configuration_arn(&self, realm: &Realm) -> String {
        place::arn(realm, &format!("configuration:{}:{}", self.target, self.revision))
    }
}

/// The deployment called `id`.
pub(crate) fn find(snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<Option<Deployment>, CallError> {
    snapshot.query_opt(
        &format!("{COLUMNS} WHERE account = $1 AND region = $2 AND id = $3"),
        params![realm.account, realm.region, id],
        Deployment::read,
    )
}

/// The deployment whose job this is.
pub(crate) fn find_by_job(snapshot: &Snapshot<'_>, realm: &Realm, job: &str) -> Result<Option<Deployment>, CallError> {
    snapshot.query_opt(
        &format!("{COLUMNS} WHERE account = $1 AND region = $2 AND job = $3"),
        params![realm.account, realm.region, job],
        Deployment::read,
    )
}

/// Whether the thing's last deployment of its own went to it as a job.
pub(crate) fn came_as_job(snapshot: &Snapshot<'_>, realm: &Realm, thing: &str) -> Result<bool, CallError> {
    let found = snapshot.query_opt(
        "SELECT 1 FROM gg_deployment WHERE account = $1 AND region = $2 AND target = $3 AND latest = 1 AND job IS NOT NULL",
        params![realm.account, realm.region, format!("thing/{thing}")],
        |row| Ok::<_, CallError>(row.get::<i64>(0)?),
    )?;
    Ok(found.is_some())
}

/// The deployment of a configuration ARN, as devices report it.
pub(crate) fn find_by_configuration(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    arn: &str,
) -> Result<Option<Deployment>, CallError> {
    let prefix = place::arn(realm, "configuration:");
    let Some((target, revision)) = arn.strip_prefix(prefix.as_str()).and_then(|rest| rest.rsplit_once(':')) else {
        return Ok(None);
    };
    let Ok(revision) = revision.parse::<i64>() else { return Ok(None) };
    snapshot.query_opt(
        &format!("{COLUMNS} WHERE account = $1 AND region = $2 AND target = $3 AND revision = $4"),
        params![realm.account, realm.region, target, revision],
        Deployment::read,
    )
}

/// Deployments in force to groups that a core says it carried out.
pub(crate) fn succeeded_on(snapshot: &Snapshot<'_>, realm: &Realm, thing: &str) -> Result<Vec<Deployment>, CallError> {
    snapshot.query_all(
        &format!(
            "{COLUMNS} WHERE account = $1 AND region = $2 AND latest = 1 AND status = 'ACTIVE'
             AND target LIKE 'thinggroup/%' AND id IN (SELECT deployment FROM gg_effective
                 WHERE account = $1 AND region = $2 AND thing = $3 AND status = 'SUCCEEDED')"
        ),
        params![realm.account, realm.region, thing],
        Deployment::read,
    )
}

/// The deployment in the input, once the caller may `action` on it.
fn permitted(ctx: &CallContext, input: &Value) -> Result<(marram_identity::Grant, Realm, Deployment), ApiError> {
    let realm = place::realm(ctx);
    let id = input["deploymentId"].as_str().unwrap_or_default();
    let tags = ctx.read(|snapshot| tag::of(snapshot, &realm, &format!("deployments:{id}")))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &place::deployment(&realm, id), |conditions| {
        conditions.resource_tags(tag::pairs(&tags));
    })?;
    let found = ctx.read(|snapshot| find(snapshot, &realm, id))?;
    let found = found.ok_or_else(|| fault::not_found("deployment", id))?;
    Ok((grant, realm, found))
}
