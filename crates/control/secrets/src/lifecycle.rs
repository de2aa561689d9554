//! CreateSecret, UpdateSecret, DeleteSecret.

use std::time::Duration;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use serde_json::{Value, json};

use crate::lookup::Asked;
use crate::row::{Place, Secret, count, erase, erase_gone, put_secret, put_tags, read_secret};
use crate::service::{invalid_parameter, resource_exists, text};
use crate::tag::{check, pairs, tags_of};
use crate::value::{CURRENT, insert, plain_of, version_of};

/// Secrets of an account and region.
const SECRETS_MAX: i64 = 10_000;
/// Days a deleted secret can be had back, at least, at most, and by default (control-plane-api.md section 9.2).
const RECOVERY_DAYS: (i64, i64, i64) = (7, 30, 30);
const DAY: u64 = 24 * 3600;
const SUFFIX_CHARS: usize = 6;

/// CreateSecret.
pub(crate) async fn create(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let at = Place::of(ctx);
    let name = text(input, "Name").unwrap_or_default().to_owned();
    let tags = tags_of(input);
    let grant = ctx.authorize(ctx.operation.iam_action, &at.bare_arn(&name), |conditions| {
        conditions.request_tags(pairs(&tags));
        conditions.set("secretsmanager:Name", name.as_str());
    })?;
    check_name(&name)?;
    check(input, &tags)?;
    refuse_unsupported(input)?;
    let plain = plain_of(input)?;
    let token = text(input, "ClientRequestToken");
    let present = ctx.read(|snapshot| read_secret(snapshot, &at, &name))?.filter(|secret| !secret.is_gone(ctx.now));
    if let Some(present) = present {
        return create_again(ctx, &at, &present, plain.as_ref(), token);
    }
    let secret = Secret {
        suffix: random_suffix(),
        description: text(input, "Description").filter(|text| !text.is_empty()).map(str::to_owned),
        kms_key: text(input, "KmsKeyId").filter(|text| !text.is_empty()).map(str::to_owned),
        created_at: ctx.now,
        changed_at: ctx.now,
        deleted_at: None,
        delete_after: None,
        name,
    };
    let arn = at.arn(&secret.name, &secret.suffix);
    let version = plain.as_ref().map(|plain| version_of(ctx, &at, &secret, plain, token)).transpose()?;
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        erase_gone(tx, &at, now)?;
        if read_secret(tx, &at, &secret.name)?.is_some() {
            return Err(exists(&secret.name).into());
        }
        if count(tx, &at)? >= SECRETS_MAX {
            return Err(ApiError::limit_exceeded(format!("An account has at most {SECRETS_MAX} secrets")).into());
        }
        put_secret(tx, &at, &secret)?;
        put_tags(tx, &at, &secret.name, &tags)?;
        let mut answer = json!({"ARN": arn, "Name": secret.name});
        if let Some(version) = version {
            insert(tx, &at, &secret, &version, &[CURRENT.to_owned()], now)?;
            answer["VersionId"] = version.id.into();
        }
        Ok(answer)
    })
    .await
}

/// The same request once more is answered as the first; anything else finds the name taken.
fn create_again(
    ctx: &CallContext,
    at: &Place,
    present: &Secret,
    plain: Option<&crate::row::Plain>,
    token: Option<&str>,
) -> Result<Value, ApiError> {
    if present.deleted_at.is_some() {
        return Err(ApiError::invalid_request(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        ));
    }
    if let (Some(plain), Some(token)) = (plain, token) {
        let known = ctx.read(|snapshot| crate::row::sealed(snapshot, at, &present.name, token))?;
        if let Some((is_text, sealed, _)) = known
            && crate::row::open(ctx, &at.bound(present, token), is_text, &sealed)? == *plain
        {
            let arn = at.arn(&present.name, &present.suffix);
            return Ok(json!({"ARN": arn, "Name": present.name, "VersionId": token}));
        }
    }
    Err(exists(&present.name))
}

/// UpdateSecret: description, key, and a new value as PutSecretValue would store it.
pub(crate) async fn update(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let (grant, secret) = asked.authorize_with(ctx, |_| {}, Some("kms:GenerateDataKey"))?;
    secret.must_live()?;
    refuse_unsupported(input)?;
    let at = Place::of(ctx);
    let plain = plain_of(input)?;
    let version = plain
        .as_ref()
        .map(|plain| version_of(ctx, &at, secret, plain, text(input, "ClientRequestToken")))
        .transpose()?;
    let mut secret = secret.clone();
    if let Some(description) = text(input, "Description") {
        secret.description = (!description.is_empty()).then(|| description.to_owned());
    }
    if let Some(key) = text(input, "KmsKeyId") {
        secret.kms_key = (!key.is_empty()).then(|| key.to_owned());
    }
    secret.changed_at = ctx.now;
    let (arn, now) = (asked.arn, ctx.now);
    ctx.commit(grant, move |tx| {
        let mut answer = json!({"ARN": arn, "Name": secret.name});
        put_secret(tx, &at, &secret)?;
        if let Some(version) = version {
            insert(tx, &at, &secret, &version, &[CURRENT.to_owned()], now)?;
            answer["VersionId"] = version.id.into();
        }
        Ok(answer)
    })
    .await
}

/// DeleteSecret: at once, or after a time in which it can be had back.
pub(crate) async fn delete(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let secret_id = text(input, "SecretId").unwrap_or_default();
    let asked = Asked::find(ctx, secret_id)?;
    let days = input.get("RecoveryWindowInDays").and_then(Value::as_i64);
    let at_once = input.get("ForceDeleteWithoutRecovery").and_then(Value::as_bool).unwrap_or(false);
    let (grant, secret) = asked.authorize(ctx, |conditions| {
        if let Some(days) = days {
            conditions.set("secretsmanager:RecoveryWindowInDays", days.to_string());
        }
        conditions.set("secretsmanager:ForceDeleteWithoutRecovery", at_once.to_string());
    })?;
    if at_once && days.is_some() {
        return Err(invalid_parameter(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        ));
    }
    let days = days.unwrap_or(RECOVERY_DAYS.2);
    if !(RECOVERY_DAYS.0..=RECOVERY_DAYS.1).contains(&days) {
        return Err(invalid_parameter(format!(
            "The RecoveryWindowInDays value must be between {} and {} days (inclusive).",
            RECOVERY_DAYS.0, RECOVERY_DAYS.1
        )));
    }
    let (at, arn, now) = (Place::of(ctx), asked.arn.clone(), ctx.now);
    let mut secret = secret.clone();
    if !at_once {
        secret.must_live()?;
    }
    let wait = Duration::from_secs(u64::try_from(days).unwrap_or_default() * DAY);
    let end = if at_once { now } else { now.saturating_add(wait) };
    ctx.commit(grant, move |tx| {
        if at_once {
            erase(tx, &at, &secret.name)?;
        } else {
            secret.deleted_at = Some(now);
            secret.delete_after = Some(end);
            put_secret(tx, &at, &secret)?;
        }
        Ok(json!({"ARN": arn, "Name": secret.name, "DeletionDate": end.epoch_seconds()}))
    })
    .await
}

/// RestoreSecret: a secret that waits for its end is had back.
pub(crate) async fn restore(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let (grant, secret) = asked.authorize(ctx, |_| {})?;
    let mut secret = Secret { deleted_at: None, delete_after: None, ..secret.clone() };
    secret.changed_at = ctx.now;
    let (at, arn) = (Place::of(ctx), asked.arn.clone());
    ctx.commit(grant, move |tx| {
        put_secret(tx, &at, &secret)?;
        Ok(json!({"ARN": arn, "Name": secret.name}))
    })
    .await
}

fn refuse_unsupported(input: &Value) -> Result<(), ApiError> {
    for member in ["AddReplicaRegions", "CrossAccountPrimaryARN", "Type"] {
        let is_given = match input.get(member) {
            None | Some(Value::Null) => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        if is_given {
            return Err(invalid_parameter(format!("{member} is not supported.")));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&b)) {
        return Ok(());
    }
    Err(invalid_parameter(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
    ))
}

fn exists(name: &str) -> ApiError {
    resource_exists(format!("The operation failed because the secret {name} already exists."))
}

/// Letters of both cases and digits, evenly drawn.
fn random_suffix() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut suffix = String::new();
    while suffix.len() < SUFFIX_CHARS {
        let [byte] = marram_types::random_bytes::<1>();
        if let Some(letter) = ALPHABET.get(usize::from(byte & 63)) {
            suffix.push(char::from(*letter));
        }
    }
    suffix
}
