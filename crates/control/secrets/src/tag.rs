//! TagResource, UntagResource.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use serde_json::{Value, json};

use crate::lookup::Asked;
use crate::row::{Place, put_tags, tags};
use crate::service::{invalid_parameter, text};

/// Tags of a secret (control-plane-api.md section 10.1).
const TAGS_MAX: usize = 50;

/// Tags of a request as they are, for the decision; [`check`] comes after it.
pub(crate) fn tags_of(input: &Value) -> BTreeMap<String, String> {
    let list = input.get("Tags").and_then(Value::as_array).into_iter().flatten();
    let part = |tag: &Value, member: &str| text(tag, member).unwrap_or_default().to_owned();
    list.map(|tag| (part(tag, "Key"), part(tag, "Value"))).collect()
}

/// Refuses tags that cannot be kept.
pub(crate) fn check(input: &Value, tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.keys().any(|key| key.is_empty() || key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(invalid_parameter("A tag key is empty or begins with aws:"));
    }
    if input.get("Tags").and_then(Value::as_array).is_some_and(|list| list.len() != tags.len()) {
        return Err(invalid_parameter("A tag key is given twice."));
    }
    if tags.len() > TAGS_MAX {
        return Err(too_many());
    }
    Ok(())
}

pub(crate) fn pairs(tags: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// TagResource.
pub(crate) async fn tag(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let added = tags_of(input);
    let (grant, secret) = asked.authorize(ctx, |conditions| {
        conditions.request_tags(pairs(&added));
    })?;
    check(input, &added)?;
    secret.must_live()?;
    let (at, name) = (Place::of(ctx), secret.name.clone());
    ctx.commit(grant, move |tx| {
        put_tags(tx, &at, &name, &added)?;
        if tags(tx, &at, &name)?.len() > TAGS_MAX {
            return Err(too_many().into());
        }
        Ok(json!({}))
    })
    .await
}

/// UntagResource.
pub(crate) async fn untag(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let list = input.get("TagKeys").and_then(Value::as_array);
    let keys: Vec<String> = list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let (grant, secret) = asked.authorize(ctx, |conditions| {
        conditions.set_all("aws:TagKeys", keys.iter().map(String::as_str));
    })?;
    secret.must_live()?;
    let (at, name) = (Place::of(ctx), secret.name.clone());
    ctx.commit(grant, move |tx| {
        for key in keys {
            tx.execute(
                "DELETE FROM secret_tag WHERE account = $1 AND region = $2 AND secret = $3 AND key = $4",
                params![at.account, at.region, name, key],
            )?;
        }
        Ok(json!({}))
    })
    .await
}

fn too_many() -> ApiError {
    invalid_parameter(format!("A secret has at most {TAGS_MAX} tags."))
}
