//! Tags of deployments (TG 9.5, 11.2).

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, Tx, params};
use marram_tdm::model::Urn;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::input::{Tag, read};
use crate::instance;
use crate::realm::Realm;
use crate::service::ThingsGraph;

/// Tags of one deployment (TG 9.1: TagList 0..50).
const MAX_TAGS: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagResource {
    resource_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

/// Keys and values, sorted by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// The tags of a request.
pub(crate) fn collect(tags: Vec<Tag>) -> Result<Tags, ApiError> {
    let mut all = Tags::new();
    for tag in tags {
        if tag.key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(ApiError::invalid_request("Tag keys must not begin with aws:"));
        }
        if all.insert(tag.key, tag.value).is_some() {
            return Err(ApiError::invalid_request("A tag key occurs twice"));
        }
    }
    Ok(all)
}

/// Keys and values as the authorizer takes them.
pub(crate) fn pairs(tags: &Tags) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// `iotthingsgraph:ResourceTag/<key>` beside `aws:ResourceTag/<key>` (TG 11.2).
pub(crate) fn resource_conditions(values: &mut marram_identity::ConditionValues, tags: &Tags) {
    values.resource_tags(pairs(tags));
    for (key, value) in tags {
        values.set(&format!("iotthingsgraph:ResourceTag/{key}"), value.as_str());
    }
}

/// The tags of a deployment.
pub(crate) fn tags_of(s: &Snapshot<'_>, realm: &Realm, urn: &Urn) -> Result<Tags, CallError> {
    let rows = s.query_all(
        "SELECT key, value FROM tg_tag WHERE account = $1 AND region = $2 AND urn_key = $3 ORDER BY key",
        params![realm.account, realm.region, urn.key()],
        |row| Ok::<_, CallError>((row.get(0)?, row.get(1)?)),
    )?;
    Ok(rows.into_iter().collect())
}

/// Adds tags or replaces their values.
pub(crate) fn put(tx: &mut Tx<'_>, realm: &Realm, urn: &Urn, tags: &Tags) -> Result<(), CallError> {
    for (key, value) in tags {
        tx.execute(
            "INSERT INTO tg_tag (account, region, urn_key, key, value) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, urn_key, key) DO UPDATE SET value = excluded.value",
            params![realm.account, realm.region, urn.key(), key, value],
        )?;
    }
    Ok(())
}

/// The deployment an ARN names, in its stored spelling when it exists.
fn target(ctx: &CallContext, realm: &Realm, arn: &str) -> Result<Urn, ApiError> {
    let untaggable = || ApiError::invalid_request("The ARN does not name a taggable resource");
    let urn = realm.deployment_of_arn(arn).ok_or_else(untaggable)?;
    let stored = ctx.read(|s| instance::find(s, realm, &urn))?;
    Ok(stored.map_or(urn, |instance| instance.id))
}

fn must_exist(s: &Snapshot<'_>, realm: &Realm, urn: &Urn) -> Result<(), CallError> {
    match instance::find(s, realm, urn)? {
        Some(_) => Ok(()),
        None => Err(ApiError::invalid_request("The ARN does not name an existing resource").into()),
    }
}

/// `TagResource`.
pub(crate) async fn tag(_: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: TagResource = read(input)?;
    let realm = Realm::of(ctx);
    let urn = target(ctx, &realm, &request.resource_arn)?;
    let tags = collect(request.tags)?;
    let existing = ctx.read(|s| tags_of(s, &realm, &urn))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(&urn), |values| {
        resource_conditions(values, &existing);
        values.request_tags(pairs(&tags));
    })?;
    ctx.commit(grant, move |tx| {
        must_exist(tx, &realm, &urn)?;
        put(tx, &realm, &urn, &tags)?;
        if tags_of(tx, &realm, &urn)?.len() > MAX_TAGS {
            return Err(ApiError::invalid_request(format!("A resource has at most {MAX_TAGS} tags")).into());
        }
        Ok(json!({}))
    })
    .await
}

/// `UntagResource`.
pub(crate) async fn untag(_: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: TagResource = read(input)?;
    let realm = Realm::of(ctx);
    let urn = target(ctx, &realm, &request.resource_arn)?;
    let existing = ctx.read(|s| tags_of(s, &realm, &urn))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(&urn), |values| {
        resource_conditions(values, &existing);
        values.set_all("aws:TagKeys", request.tag_keys.iter().map(String::as_str));
    })?;
    ctx.commit(grant, move |tx| {
        must_exist(tx, &realm, &urn)?;
        for key in &request.tag_keys {
            tx.execute(
                "DELETE FROM tg_tag WHERE account = $1 AND region = $2 AND urn_key = $3 AND key = $4",
                params![realm.account, realm.region, urn.key(), key],
            )?;
        }
        Ok(json!({}))
    })
    .await
}

/// `ListTagsForResource`.
pub(crate) fn list(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: TagResource = read(input)?;
    let realm = Realm::of(ctx);
    let urn = target(ctx, &realm, &request.resource_arn)?;
    let tags = ctx.read(|s| tags_of(s, &realm, &urn))?;
    let _grant =
        ctx.authorize(ctx.operation.iam_action, &realm.arn(&urn), |values| resource_conditions(values, &tags))?;
    ctx.read(|s| must_exist(s, &realm, &urn))?;
    let page = service.inner.tokens.page(ctx, input)?;
    let rows = tags.into_iter().filter(|(key, _)| page.after.as_ref().is_none_or(|after| key > after));
    let rows = rows.map(|(key, value)| (key.clone(), json!({ "key": key, "value": value })));
    Ok(page.answer("tags", rows.collect()))
}
