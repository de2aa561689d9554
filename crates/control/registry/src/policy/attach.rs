//! Attaching policies to certificates and thing groups: `AttachPolicy`, `DetachPolicy` and their older forms
//! `AttachPrincipalPolicy`, `DetachPrincipalPolicy`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, Tx, params};
use marram_types::{GroupName, PolicyName, Timestamp};
use serde_json::{Value, json};

use super::{MAX_PER_CERTIFICATE, MAX_PER_GROUP, get};
use crate::certificate;
use crate::change::Change;
use crate::input::Input;
use crate::realm::{Realm, shown};
use crate::service::Registry;
use crate::thing_group;

/// What a policy can be attached to: the resource part of its ARN.
pub(super) enum Target {
    /// `cert/{id}`.
    Certificate(String),
    /// `thinggroup/{name}`.
    Group(GroupName),
}

impl Target {
    /// Reads a target of a request. Identity pool ids are not known here, because there are no identity pools.
    pub(super) fn read(realm: &Realm, arn: &str) -> Result<Self, ApiError> {
        let resource = realm.resource(arn)?;
        if certificate::id_of_resource(&resource).is_some() {
            return Ok(Self::Certificate(resource));
        }
        resource
            .strip_prefix("thinggroup/")
            .and_then(|name| name.parse().ok())
            .map(Self::Group)
            .ok_or_else(|| ApiError::invalid_request(format!("Invalid policy target: {}", shown(arn))))
    }

    /// The resource part of its ARN.
    pub(super) fn resource(&self) -> String {
        match self {
            Self::Certificate(resource) => resource.clone(),
            Self::Group(name) => thing_group::resource(name.as_str()),
        }
    }

    /// Refuses a target this account does not have.
    pub(super) fn must_exist(&self, snapshot: &Snapshot<'_>, realm: &Realm) -> Result<(), CallError> {
        match self {
            Self::Certificate(resource) => certificate::must_exist(snapshot, realm, resource),
            Self::Group(name) => thing_group::get(snapshot, realm, name.as_str()).map(|_| ()),
        }
    }

    fn limit(&self) -> i64 {
        match self {
            Self::Certificate(_) => MAX_PER_CERTIFICATE,
            Self::Group(_) => MAX_PER_GROUP,
        }
    }

    fn changed(&self, realm: &Realm) -> Change {
        match self {
            Self::Certificate(resource) => certificate::changed(realm, resource),
            Self::Group(name) => Change::Group(realm.clone(), name.to_string()),
        }
    }
}

/// `AttachPolicy`: idempotent.
pub(crate) async fn attach_policy(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let target = Target::read(&Realm::of(ctx), input.required("target")?)?;
    attach(registry, ctx, &input, target).await
}

/// `AttachPrincipalPolicy`: the older form.
pub(crate) async fn attach_principal_policy(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let target = Target::read(&Realm::of(ctx), input.required("principal")?)?;
    attach(registry, ctx, &input, target).await
}

async fn attach(registry: &Registry, ctx: &CallContext, input: &Input, target: Target) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(target.resource()), |_| ())?;
    let (changes, now) = (registry.changes().clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        get(tx, &realm, name.as_str())?;
        target.must_exist(tx, &realm)?;
        insert(tx, &realm, &target, &name, now)?;
        changes.announce(tx, target.changed(&realm));
        Ok(json!({}))
    })
    .await
}

fn insert(tx: &mut Tx<'_>, realm: &Realm, target: &Target, name: &PolicyName, now: Timestamp) -> Result<(), CallError> {
    let inserted = tx.execute(
        "INSERT INTO iot_policy_attachment (account, region, target, policy, attached_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account, region, target, policy) DO NOTHING",
        params![realm.account, realm.region, target.resource(), name, now],
    )?;
    let attached: i64 = tx.query_one(
        "SELECT COUNT(*) FROM iot_policy_attachment WHERE account = $1 AND region = $2 AND target = $3",
        params![realm.account, realm.region, target.resource()],
        |row| Ok::<_, CallError>(row.get(0)?),
    )?;
    if inserted > 0 && attached > target.limit() {
        return Err(ApiError::limit_exceeded(format!(
            "The maximum number of policies on {} is {}",
            realm.arn(target.resource()),
            target.limit()
        ))
        .into());
    }
    Ok(())
}

/// `DetachPolicy`: what is not attached is detached already.
pub(crate) async fn detach_policy(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let target = Target::read(&Realm::of(ctx), input.required("target")?)?;
    detach(registry, ctx, &input, target, false).await
}

/// `DetachPrincipalPolicy`: the older form, which knows the policy must exist.
pub(crate) async fn detach_principal_policy(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let target = Target::read(&Realm::of(ctx), input.required("principal")?)?;
    detach(registry, ctx, &input, target, true).await
}

async fn detach(
    registry: &Registry,
    ctx: &CallContext,
    input: &Input,
    target: Target,
    must_exist: bool,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(target.resource()), |_| ())?;
    let changes = registry.changes().clone();
    ctx.commit(grant, move |tx| {
        if must_exist {
            get(tx, &realm, name.as_str())?;
            target.must_exist(tx, &realm)?;
        }
        tx.execute(
            "DELETE FROM iot_policy_attachment WHERE account = $1 AND region = $2 AND target = $3 AND policy = $4",
            params![realm.account, realm.region, target.resource(), name],
        )?;
        changes.announce(tx, target.changed(&realm));
        Ok(json!({}))
    })
    .await
}
