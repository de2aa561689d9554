//! Values: GetSecretValue, PutSecretValue, and what stages mean.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::lookup::Asked;
use crate::row::{Place, Plain, Secret, open, put_secret, sealed, stages};
use crate::service::{invalid_parameter, not_found, resource_exists, text};

/// The stage that is read when the caller names none.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// Where the version goes that was current.
const PREVIOUS: &str = "AWSPREVIOUS";
/// Largest value (control-plane-api.md section 9.2).
const VALUE_MAX: usize = 65_536;
/// Versions a secret keeps; beyond it those without a stage go, the oldest first.
const VERSIONS_MAX: i64 = 100;
/// Stages a secret may have.
const STAGES_MAX: usize = 20;

/// A new version on its way into the store.
pub(crate) struct NewVersion {
    pub(crate) id: String,
    is_text: bool,
    sealed: Vec<u8>,
    /// The value is that of the version of this id that is there already.
    is_known: bool,
}

/// The value in a request; none when it brings none.
pub(crate) fn plain_of(input: &Value) -> Result<Option<Plain>, ApiError> {
    let plain = match (text(input, "SecretString"), text(input, "SecretBinary")) {
        (Some(_), Some(_)) => {
            return Err(invalid_parameter(
                "You can't specify both a binary secret value and a string secret value in the same secret.",
            ));
        }
        (None, None) => return Ok(None),
        (Some(value), None) => Plain { is_text: true, bytes: Zeroizing::new(value.as_bytes().to_vec()) },
        (None, Some(value)) => {
            let bytes = STANDARD.decode(value).map_err(|_| invalid_parameter("SecretBinary is not base64"))?;
            Plain { is_text: false, bytes: Zeroizing::new(bytes) }
        }
    };
    if plain.bytes.len() > VALUE_MAX {
        return Err(invalid_parameter(format!("The secret value is larger than {VALUE_MAX} bytes")));
    }
    Ok(Some(plain))
}

/// Seals a value as the version that `ClientRequestToken` names; the same token with another value is refused.
pub(crate) fn version_of(
    ctx: &CallContext,
    at: &Place,
    secret: &Secret,
    plain: &Plain,
    token: Option<&str>,
) -> Result<NewVersion, ApiError> {
    let id = token.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let bound = at.bound(secret, &id);
    let mut is_known = false;
    if let Some((is_text, stored, _)) = ctx.read(|snapshot| sealed(snapshot, at, &secret.name, &id))? {
        if open(ctx, &bound, is_text, &stored)? != *plain {
            return Err(resource_exists(format!(
                "You can't use ClientRequestToken {id} because that value is already in use for a version of secret {}.",
                at.arn(&secret.name, &secret.suffix)
            )));
        }
        is_known = true;
    }
    let sealed = ctx.seal_secret(&bound, &plain.bytes);
    Ok(NewVersion { id, is_text: plain.is_text, sealed, is_known })
}

/// Stores a version and moves stages to it. Answers the stages it carries then.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    at: &Place,
    secret: &Secret,
    version: &NewVersion,
    wanted: &[String],
    now: Timestamp,
) -> Result<Vec<String>, CallError> {
    if !version.is_known {
        let added = tx.execute(
            "INSERT INTO secret_version (account, region, secret, version, is_text, sealed, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, region, secret, version) DO NOTHING",
            params![at.account, at.region, secret.name, version.id, version.is_text, version.sealed.as_slice(), now],
        )?;
        if added == 0 {
            return Err(resource_exists("Another request with this ClientRequestToken is under way.").into());
        }
        let mut wanted = wanted.to_vec();
        // The first version is the current one, whatever it is labelled.
        if !wanted.iter().any(|stage| stage == CURRENT) && holder(tx, at, secret, CURRENT)?.is_none() {
            wanted.push(CURRENT.to_owned());
        }
        for stage in &wanted {
            move_stage(tx, at, secret, stage, &version.id)?;
        }
        tx.execute(
            "DELETE FROM secret_version WHERE account = $1 AND region = $2 AND secret = $3 AND version IN (
                 SELECT version FROM secret_version v WHERE v.account = $1 AND v.region = $2 AND v.secret = $3
                 AND NOT EXISTS (SELECT 1 FROM secret_stage s WHERE s.account = $1 AND s.region = $2 AND s.secret = $3
                                 AND s.version = v.version)
                 ORDER BY created_at DESC LIMIT -1 OFFSET $4)",
            params![at.account, at.region, secret.name, VERSIONS_MAX],
        )?;
    }
    let carried = stages(tx, at, &secret.name)?;
    if carried.values().map(Vec::len).sum::<usize>() > STAGES_MAX {
        return Err(too_many_stages().into());
    }
    Ok(carried.get(&version.id).cloned().unwrap_or_default())
}

fn move_stage(tx: &mut Tx<'_>, at: &Place, secret: &Secret, stage: &str, version: &str) -> Result<(), CallError> {
    if stage == CURRENT
        && let Some(old) = holder(tx, at, secret, CURRENT)?.filter(|old| old != version)
    {
        set_stage(tx, at, secret, PREVIOUS, &old)?;
    }
    set_stage(tx, at, secret, stage, version)
}

fn set_stage(tx: &mut Tx<'_>, at: &Place, secret: &Secret, stage: &str, version: &str) -> Result<(), CallError> {
    tx.execute(
        "INSERT INTO secret_stage (account, region, secret, stage, version) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account, region, secret, stage) DO UPDATE SET version = excluded.version",
        params![at.account, at.region, secret.name, stage, version],
    )?;
    Ok(())
}

fn holder(tx: &Tx<'_>, at: &Place, secret: &Secret, stage: &str) -> Result<Option<String>, CallError> {
    tx.query_opt(
        "SELECT version FROM secret_stage WHERE account = $1 AND region = $2 AND secret = $3 AND stage = $4",
        params![at.account, at.region, secret.name, stage],
        |row| Ok(row.get(0)?),
    )
}

/// UpdateSecretVersionStage: a label moves to a version, away from one, or both; who moves it says where it is.
pub(crate) async fn update_stage(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let stage = text(input, "VersionStage").unwrap_or_default().to_owned();
    let (grant, secret) = asked.authorize(ctx, |conditions| {
        conditions.set("secretsmanager:VersionStage", stage.as_str());
    })?;
    secret.must_live()?;
    let (from, to) =
        (text(input, "RemoveFromVersionId").map(str::to_owned), text(input, "MoveToVersionId").map(str::to_owned));
    if from.is_none() && to.is_none() {
        return Err(invalid_parameter("Give RemoveFromVersionId, MoveToVersionId, or both."));
    }
    if stage == CURRENT && to.is_none() {
        return Err(invalid_parameter("You can't remove the staging label AWSCURRENT; move it to another version."));
    }
    let (at, secret, arn, now) = (Place::of(ctx), secret.clone(), asked.arn.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        if holder(tx, &at, &secret, &stage)? != from {
            return Err(invalid_parameter(format!(
                "The staging label {stage} is attached to another version; RemoveFromVersionId must name it."
            ))
            .into());
        }
        match &to {
            Some(to) => {
                if sealed(tx, &at, &secret.name, to)?.is_none() {
                    return Err(not_found(format!(
                        "Secrets Manager can't find the specified secret value for VersionId: {to}"
                    ))
                    .into());
                }
                move_stage(tx, &at, &secret, &stage, to)?;
                if stages(tx, &at, &secret.name)?.values().map(Vec::len).sum::<usize>() > STAGES_MAX {
                    return Err(too_many_stages().into());
                }
            }
            None => {
                tx.execute(
                    "DELETE FROM secret_stage WHERE account = $1 AND region = $2 AND secret = $3 AND stage = $4",
                    params![at.account, at.region, secret.name, stage],
                )?;
            }
        }
        put_secret(tx, &at, &Secret { changed_at: now, ..secret.clone() })?;
        Ok(json!({"ARN": arn, "Name": secret.name}))
    })
    .await
}

fn too_many_stages() -> ApiError {
    ApiError::limit_exceeded(format!("A secret has at most {STAGES_MAX} staging labels"))
}

/// GetSecretValue.
pub(crate) fn get(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let (wanted_id, wanted_stage) = (text(input, "VersionId"), text(input, "VersionStage"));
    let more = |conditions: &mut marram_identity::ConditionValues| {
        if let Some(id) = wanted_id {
            conditions.set("secretsmanager:VersionId", id);
        }
        if let Some(stage) = wanted_stage.or(wanted_id.is_none().then_some(CURRENT)) {
            conditions.set("secretsmanager:VersionStage", stage);
        }
    };
    let (grant, secret) = asked.authorize_with(ctx, more, Some("kms:Decrypt"))?;
    drop(grant);
    secret.must_live()?;
    let at = Place::of(ctx);
    let mut stages = ctx.read(|snapshot| stages(snapshot, &at, &secret.name))?;
    let staged = |stage: &str| {
        stages.iter().find(|(_, carried)| carried.iter().any(|s| s == stage)).map(|(version, _)| version.clone())
    };
    let missing = |what: String| not_found(format!("Secrets Manager can't find the specified secret value for {what}"));
    let version = match (wanted_id, wanted_stage) {
        (Some(id), Some(stage)) if staged(stage).as_deref() != Some(id) => {
            return Err(ApiError::invalid_request(
                "You provided a VersionStage that is not associated to the provided VersionId.",
            ));
        }
        (Some(id), _) => id.to_owned(),
        (None, stage) => {
            let stage = stage.unwrap_or(CURRENT);
            staged(stage).ok_or_else(|| missing(format!("staging label: {stage}")))?
        }
    };
    let (is_text, stored, created) = ctx
        .read(|snapshot| sealed(snapshot, &at, &secret.name, &version))?
        .ok_or_else(|| missing(format!("VersionId: {version}")))?;
    let plain = open(ctx, &at.bound(secret, &version), is_text, &stored)?;
    let mut answer = json!({
        "ARN": asked.arn,
        "Name": secret.name,
        "VersionId": version,
        "CreatedDate": created.epoch_seconds(),
    });
    if let Some(carried) = stages.remove(&version) {
        answer["VersionStages"] = carried.into();
    }
    match (plain.is_text, std::str::from_utf8(&plain.bytes)) {
        (true, Ok(text)) => answer["SecretString"] = text.into(),
        _ => answer["SecretBinary"] = STANDARD.encode(&plain.bytes).into(),
    }
    Ok(answer)
}

/// PutSecretValue.
pub(crate) async fn put(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let (grant, secret) = asked.authorize_with(ctx, |_| {}, Some("kms:GenerateDataKey"))?;
    secret.must_live()?;
    if text(input, "RotationToken").is_some() {
        return Err(invalid_parameter("Rotation functions are not supported."));
    }
    let plain = plain_of(input)?
        .ok_or_else(|| ApiError::invalid_request("You must provide either SecretString or SecretBinary."))?;
    let at = Place::of(ctx);
    let version = version_of(ctx, &at, secret, &plain, text(input, "ClientRequestToken"))?;
    let wanted: Vec<String> = match input.get("VersionStages").and_then(Value::as_array) {
        Some(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => vec![CURRENT.to_owned()],
    };
    let (mut secret, arn, now) = (secret.clone(), asked.arn.clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let carried = insert(tx, &at, &secret, &version, &wanted, now)?;
        secret.changed_at = now;
        put_secret(tx, &at, &secret)?;
        Ok(json!({"ARN": arn, "Name": secret.name, "VersionId": version.id, "VersionStages": carried}))
    })
    .await
}
