//! Policy versions: `CreatePolicyVersion`, `GetPolicyVersion`, `ListPolicyVersions`, `DeletePolicyVersion`,
//! `SetDefaultPolicyVersion`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, params};
use marram_types::{PolicyName, Timestamp};
use serde_json::{Value, json};

use super::{MAX_VERSIONS, check_document, conditions, document, get, parse_version};
use crate::change::Change;
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Adds a version; with `setAsDefault` it is in force at once, also for live sessions.
pub(crate) async fn create_policy_version(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let arn = realm.policy_arn(name.as_str());
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = tags)?;
    let text = input.required("policyDocument")?.to_owned();
    check_document(&name, &text, registry.options().max_policy_chars)?;
    let default = input.flag("setAsDefault");
    let (changes, now) = (registry.changes().clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let policy = get(tx, &realm, name.as_str())?;
        let versions: i64 = tx.query_one(
            "SELECT COUNT(*) FROM iot_policy_version WHERE account = $1 AND region = $2 AND policy = $3",
            params![realm.account, realm.region, name],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?;
        if versions >= MAX_VERSIONS {
            return Err(ApiError::new(
                "VersionsLimitExceededException",
                409,
                format!("The policy {name} already has the maximum number of versions ({MAX_VERSIONS})"),
            )
            .into());
        }
        let version = policy.last_version + 1;
        tx.execute(
            "INSERT INTO iot_policy_version (account, region, policy, version, document, generation, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params![realm.account, realm.region, name, version, text, uuid::Uuid::new_v4().to_string(), now],
        )?;
        let in_force = if default { version } else { policy.default_version };
        tx.execute(
            "UPDATE iot_policy SET default_version = $4, last_version = $5, modified_at = $6
             WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, name, in_force, version, now],
        )?;
        if default {
            changes.announce(tx, Change::Policy(realm, name.to_string()));
        }
        Ok(json!({
            "policyArn": arn,
            "policyDocument": text,
            "policyVersionId": version.to_string(),
            "isDefaultVersion": default,
        }))
    })
    .await
}

/// Answers one version.
pub(crate) async fn get_policy_version(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let arn = realm.policy_arn(name.as_str());
    let tags = conditions(ctx, &realm, &name)?;
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = tags)?);
    let version = parse_version(input.required("policyVersionId")?)?;
    let (policy, (text, generation, created)) = ctx.read(|snapshot| {
        let policy = get(snapshot, &realm, name.as_str())?;
        Ok((policy, document(snapshot, &realm, name.as_str(), version)?))
    })?;
    Ok(json!({
        "policyArn": arn,
        "policyName": name.as_str(),
        "policyDocument": text,
        "policyVersionId": version.to_string(),
        "isDefaultVersion": version == policy.default_version,
        "creationDate": created.epoch_seconds(),
        "lastModifiedDate": created.epoch_seconds(),
        "generationId": generation,
    }))
}

/// Lists the versions, newest first.
pub(crate) async fn list_policy_versions(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let tags = conditions(ctx, &realm, &name)?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.policy_arn(name.as_str()), |c| *c = tags)?);
    let versions = ctx.read(|snapshot| {
        let policy = get(snapshot, &realm, name.as_str())?;
        snapshot.query_all(
            "SELECT version, created_at FROM iot_policy_version WHERE account = $1 AND region = $2 AND policy = $3
             ORDER BY version DESC LIMIT $4",
            params![realm.account, realm.region, name, MAX_VERSIONS],
            |row: &Row<'_>| {
                let version: i64 = row.get(0)?;
                Ok::<_, CallError>(json!({
                    "versionId": version.to_string(),
                    "isDefaultVersion": version == policy.default_version,
                    "createDate": row.get::<Timestamp>(1)?.epoch_seconds(),
                }))
            },
        )
    })?;
    Ok(json!({"policyVersions": versions}))
}

/// Deletes a version that is not in force.
pub(crate) async fn delete_policy_version(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.policy_arn(name.as_str()), |c| *c = tags)?;
    let version = parse_version(input.required("policyVersionId")?)?;
    ctx.commit(grant, move |tx| {
        let policy = get(tx, &realm, name.as_str())?;
        document(tx, &realm, name.as_str(), version)?;
        if version == policy.default_version {
            return Err(ApiError::invalid_request("Cannot delete the default version of a policy").into());
        }
        tx.execute(
            "DELETE FROM iot_policy_version WHERE account = $1 AND region = $2 AND policy = $3 AND version = $4",
            params![realm.account, realm.region, name, version],
        )?;
        Ok(json!({}))
    })
    .await
}

/// Puts a version in force, also for live sessions.
pub(crate) async fn set_default_policy_version(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.policy_arn(name.as_str()), |c| *c = tags)?;
    let version = parse_version(input.required("policyVersionId")?)?;
    let (changes, now) = (registry.changes().clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        get(tx, &realm, name.as_str())?;
        document(tx, &realm, name.as_str(), version)?;
        tx.execute(
            "UPDATE iot_policy SET default_version = $4, modified_at = $5
             WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, name, version, now],
        )?;
        changes.announce(tx, Change::Policy(realm, name.to_string()));
        Ok(json!({}))
    })
    .await
}
