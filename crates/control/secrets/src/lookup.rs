//! From `SecretId` to a secret: by name, by ARN, by ARN without the random characters.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, ConditionValues, Grant, Need};
use marram_store::Snapshot;

use crate::row::{Place, Secret, read_secret, tags};
use crate::service::not_found;

/// A secret that was asked for, before anything is decided: what the decision is about.
pub(crate) struct Asked {
    /// Full ARN; of an absent secret the one it would have, without random characters.
    pub(crate) arn: String,
    /// None: it does not exist.
    pub(crate) secret: Option<Secret>,
    conditions: ConditionValues,
}

impl Asked {
    /// Looks a secret up without telling anybody.
    pub(crate) fn find(ctx: &CallContext, secret_id: &str) -> Result<Self, ApiError> {
        let place = Place::of(ctx);
        let secret = ctx.read(|snapshot| find(snapshot, &place, secret_id, ctx))?;
        let mut conditions = ConditionValues::new();
        conditions.set("secretsmanager:SecretId", secret_id);
        let arn = match &secret {
            Some(secret) => {
                conditions.set("secretsmanager:Name", secret.name.as_str());
                let tags = ctx.read(|snapshot| tags(snapshot, &place, &secret.name))?;
                conditions.resource_tags(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
                place.arn(&secret.name, &secret.suffix)
            }
            None if secret_id.starts_with("arn:") => secret_id.to_owned(),
            None => place.bare_arn(secret_id),
        };
        Ok(Self { arn, secret, conditions })
    }

    /// Asks for the operation's permission on the secret; `more` adds conditions. Refusals come before any word about
    /// whether the secret exists.
    pub(crate) fn authorize(
        &self,
        ctx: &CallContext,
        more: impl FnOnce(&mut ConditionValues),
    ) -> Result<(Grant, &Secret), ApiError> {
        self.authorize_with(ctx, more, None)
    }

    /// As [`Asked::authorize`], and `kms_action` on the secret's own key when it has one.
    pub(crate) fn authorize_with(
        &self,
        ctx: &CallContext,
        more: impl FnOnce(&mut ConditionValues),
        kms_action: Option<&str>,
    ) -> Result<(Grant, &Secret), ApiError> {
        let mut conditions = self.conditions.clone();
        more(&mut conditions);
        let key = self.secret.as_ref().and_then(|secret| secret.kms_key.as_deref());
        let key = key.map(|key| key_arn(ctx, key));
        let mut needs = vec![Need { action: ctx.operation.iam_action, resource: &self.arn, conditions }];
        if let (Some(action), Some(key)) = (kms_action, &key) {
            needs.push(Need { action, resource: key, conditions: ConditionValues::new() });
        }
        let grant = ctx.authorize_all(needs)?;
        let secret =
            self.secret.as_ref().ok_or_else(|| not_found("Secrets Manager can't find the specified secret."))?;
        Ok((grant, secret))
    }
}

/// The secret an id names. The whole ARN of a secret wins over what the same text could mean without its random characters.
fn find(
    snapshot: &Snapshot<'_>,
    place: &Place,
    secret_id: &str,
    ctx: &CallContext,
) -> Result<Option<Secret>, marram_identity::CallError> {
    let living = |secret: Option<Secret>| secret.filter(|secret| !secret.is_gone(ctx.now));
    let Some(rest) = secret_id.strip_prefix(&place.bare_arn("")) else {
        return if secret_id.starts_with("arn:") {
            Ok(None)
        } else {
            Ok(living(read_secret(snapshot, place, secret_id)?))
        };
    };
    if let Some((name, suffix)) = rest.rsplit_once('-')
        && let Some(secret) = living(read_secret(snapshot, place, name)?)
        && secret.suffix == suffix
    {
        return Ok(Some(secret));
    }
    Ok(living(read_secret(snapshot, place, rest)?))
}

/// A key as policies name it.
fn key_arn(ctx: &CallContext, key: &str) -> String {
    if key.starts_with("arn:") {
        return key.to_owned();
    }
    let path = if key.starts_with("alias/") { key.to_owned() } else { format!("key/{key}") };
    format!("arn:{}:kms:{}:{}:{path}", ctx.partition, ctx.region, ctx.account)
}
