//! `CreatePolicy`, `GetPolicy`, `DeletePolicy`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::PolicyName;
use serde_json::{Value, json};

use super::{check_document, conditions, document, find, get, resource};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;
use crate::tag;

/// Creates a policy with its version 1.
pub(crate) async fn create_policy(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let arn = realm.policy_arn(name.as_str());
    let tags = tag::read_tags(&input)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |conditions| {
        conditions.request_tags(tag::pairs(&tags));
    })?;
    let text = input.required("policyDocument")?.to_owned();
    check_document(&name, &text, registry.options().max_policy_chars)?;
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        if find(tx, &realm, name.as_str())?.is_some() {
            return Err(ApiError::already_exists(format!(
                "Policy cannot be created - name already exists (name={name})"
            ))
            .with("resourceId", name.as_str())
            .with("resourceArn", arn)
            .into());
        }
        let generation = uuid::Uuid::new_v4().to_string();
        tx.execute(
            "INSERT INTO iot_policy (account, region, name, default_version, last_version, generation, created_at,
                 modified_at)
             VALUES ($1, $2, $3, 1, 1, $4, $5, $5)",
            params![realm.account, realm.region, name, generation, now],
        )?;
        tx.execute(
            "INSERT INTO iot_policy_version (account, region, policy, version, document, generation, created_at)
             VALUES ($1, $2, $3, 1, $4, $5, $6)",
            params![realm.account, realm.region, name, text, generation, now],
        )?;
        tag::insert_tags(tx, &realm, &resource(name.as_str()), &tags)?;
        Ok(json!({
            "policyName": name.as_str(),
            "policyArn": arn,
            "policyDocument": text,
            "policyVersionId": "1",
        }))
    })
    .await
}

/// Answers a policy with the document in force.
pub(crate) async fn get_policy(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let arn = realm.policy_arn(name.as_str());
    let tags = conditions(ctx, &realm, &name)?;
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = tags)?);
    let (policy, text) = ctx.read(|snapshot| {
        let policy = get(snapshot, &realm, name.as_str())?;
        let (text, ..) = document(snapshot, &realm, name.as_str(), policy.default_version)?;
        Ok((policy, text))
    })?;
    Ok(json!({
        "policyName": name.as_str(),
        "policyArn": arn,
        "policyDocument": text,
        "defaultVersionId": policy.default_version.to_string(),
        "creationDate": policy.created_at.epoch_seconds(),
        "lastModifiedDate": policy.modified_at.epoch_seconds(),
        "generationId": policy.generation,
    }))
}

/// Deletes a policy that has only its default version and no targets.
pub(crate) async fn delete_policy(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let tags = conditions(ctx, &realm, &name)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.policy_arn(name.as_str()), |c| *c = tags)?;
    ctx.commit(grant, move |tx| {
        delete(tx, &realm, &name)?;
        Ok(json!({}))
    })
    .await
}

fn delete(tx: &mut Tx<'_>, realm: &Realm, name: &PolicyName) -> Result<(), CallError> {
    get(tx, realm, name.as_str())?;
    let count = |sql: &str| {
        tx.query_one(sql, params![realm.account, realm.region, name], |row| Ok::<i64, CallError>(row.get(0)?))
    };
    if count("SELECT COUNT(*) FROM iot_policy_version WHERE account = $1 AND region = $2 AND policy = $3")? > 1 {
        return Err(ApiError::delete_conflict(format!(
            "Cannot delete the policy because it has one or more policy versions attached to it (name={name})"
        ))
        .into());
    }
    let attached = tx.query_opt(
        "SELECT 1 FROM iot_policy_attachment WHERE account = $1 AND region = $2 AND policy = $3 LIMIT 1",
        params![realm.account, realm.region, name],
        |row| Ok::<i64, CallError>(row.get(0)?),
    )?;
    if attached.is_some() {
        return Err(ApiError::delete_conflict(format!(
            "The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
        ))
        .into());
    }
    tx.execute(
        "DELETE FROM iot_policy_version WHERE account = $1 AND region = $2 AND policy = $3",
        params![realm.account, realm.region, name],
    )?;
    tx.execute(
        "DELETE FROM iot_policy WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
    )?;
    tag::delete_tags(tx, realm, &resource(name.as_str()))
}
