//! Tags of registry resources: `TagResource`, `UntagResource`, `ListTagsForResource` (CP 10.1).
//!
//! One tag store keyed by the resource part of the ARN. Things and certificates cannot carry tags.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues};
use marram_store::{Snapshot, Tx, params};
use serde_json::{Value, json};

use crate::input::Input;
use crate::page::Style;
use crate::realm::{Realm, shown};
use crate::service::Registry;

/// Tags of one resource (CP 10.1).
const MAX_TAGS: usize = 50;
/// Characters of a key.
const MAX_KEY_CHARS: usize = 128;
/// Characters of a value.
const MAX_VALUE_CHARS: usize = 256;

/// Keys and values, sorted by key.
pub type Tags = BTreeMap<String, String>;

/// Resources that can carry tags: the first word of the ARN's resource, its table and its key column.
const TAGGABLE: [(&str, &str, &str); 8] = [
    ("thinggroup", "iot_thing_group", "name"),
    ("thingtype", "iot_thing_type", "name"),
    ("policy", "iot_policy", "name"),
    ("rolealias", "iot_role_alias", "name"),
    ("cacert", "iot_ca_certificate", "id"),
    ("job", "iot_job", "id"),
    ("jobtemplate", "iot_job_template", "id"),
    ("provisioningtemplate", "iot_provisioning_template", "name"),
];

/// The tags of a request's `[{"Key", "Value"}]` member.
pub(crate) fn read_tags(input: &Input) -> Result<Tags, ApiError> {
    tags_from(input.list("tags").map_or(&[], Vec::as_slice))
}

/// The tags of a list of `{"Key", "Value"}`, checked.
///
/// # Errors
/// `InvalidRequestException`: a key or value that is none, a key that comes twice, more than 50.
pub fn tags_from(list: &[Value]) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in list {
        let key = tag.get("Key").and_then(Value::as_str).unwrap_or_default();
        let value = tag.get("Value").and_then(Value::as_str).unwrap_or_default();
        check(key, value)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::invalid_request(format!("Duplicate tag key: {}", shown(key))));
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(ApiError::invalid_request(format!("A resource has at most {MAX_TAGS} tags")));
    }
    Ok(tags)
}

fn check(key: &str, value: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    if key.is_empty() || key.chars().count() > MAX_KEY_CHARS || !key.chars().all(allowed) {
        return Err(ApiError::invalid_request(format!("Invalid tag key: {}", shown(key))));
    }
    if value.chars().count() > MAX_VALUE_CHARS || !value.chars().all(allowed) {
        return Err(ApiError::invalid_request(format!("Invalid tag value for key {}", shown(key))));
    }
    if key.to_lowercase().starts_with("aws:") {
        return Err(ApiError::invalid_request("Tag keys must not begin with aws:"));
    }
    Ok(())
}

/// The tags of a resource.
///
/// # Errors
/// The store's.
pub fn tags_of(snapshot: &Snapshot<'_>, realm: &Realm, resource: &str) -> Result<Tags, CallError> {
    let rows = snapshot.query_all(
        "SELECT key, value FROM iot_tag WHERE account = $1 AND region = $2 AND resource = $3 ORDER BY key LIMIT 50",
        params![realm.account, realm.region, resource],
        |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<String>(1)?)),
    )?;
    Ok(rows.into_iter().collect())
}

/// Stores the tags of a new resource.
///
/// # Errors
/// The store's.
pub fn insert_tags(tx: &mut Tx<'_>, realm: &Realm, resource: &str, tags: &Tags) -> Result<(), CallError> {
    for (key, value) in tags {
        tx.execute(
            "INSERT INTO iot_tag (account, region, resource, key, value) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, resource, key) DO UPDATE SET value = excluded.value",
            params![realm.account, realm.region, resource, key, value],
        )?;
    }
    Ok(())
}

/// Forgets the tags of a resource that goes away.
///
/// # Errors
/// The store's.
pub fn delete_tags(tx: &mut Tx<'_>, realm: &Realm, resource: &str) -> Result<(), CallError> {
    tx.execute(
        "DELETE FROM iot_tag WHERE account = $1 AND region = $2 AND resource = $3",
        params![realm.account, realm.region, resource],
    )?;
    Ok(())
}

/// `aws:ResourceTag/*` of an existing resource, for the authorizer.
pub(crate) fn resource_conditions(
    ctx: &CallContext,
    realm: &Realm,
    resource: &str,
) -> Result<ConditionValues, ApiError> {
    let tags = ctx.read(|snapshot| tags_of(snapshot, realm, resource))?;
    let mut values = ConditionValues::new();
    values.resource_tags(pairs(&tags));
    Ok(values)
}

/// Keys and values as the authorizer takes them.
pub fn pairs(tags: &Tags) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The resource of a tag operation, of a kind that carries tags. Whether it exists is [`must_exist`]'s to say, after
/// the caller was authorized.
fn tagged(realm: &Realm, input: &Input) -> Result<String, ApiError> {
    let resource = realm.resource(input.required("resourceArn")?)?;
    taggable(&resource)?;
    Ok(resource)
}

fn taggable(resource: &str) -> Result<(&'static str, &'static str, &str), ApiError> {
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    TAGGABLE
        .iter()
        .find(|(word, ..)| *word == kind)
        .map(|(_, table, key)| (*table, *key, name))
        .ok_or_else(|| ApiError::invalid_request(format!("Resources of type {} cannot be tagged", shown(kind))))
}

fn must_exist(snapshot: &Snapshot<'_>, realm: &Realm, resource: &str) -> Result<(), CallError> {
    let (table, key, name) = taggable(resource)?;
    let sql = format!("SELECT 1 FROM {table} WHERE account = $1 AND region = $2 AND {key} = $3");
    let found = snapshot
        .query_opt(&sql, params![realm.account, realm.region, name], |row| Ok::<_, CallError>(row.get::<i64>(0)?))?;
    found
        .map(|_| ())
        .ok_or_else(|| ApiError::not_found(format!("Resource {} does not exist", realm.arn(resource))).into())
}

/// `TagResource`: adds tags or replaces their values.
pub(crate) async fn tag_resource(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let tags = read_tags(&input)?;
    let resource = tagged(&realm, &input)?;
    let existing = resource_conditions(ctx, &realm, &resource)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(&resource), |conditions| {
        *conditions = existing;
        conditions.request_tags(pairs(&tags));
    })?;
    ctx.commit(grant, move |tx| {
        must_exist(tx, &realm, &resource)?;
        insert_tags(tx, &realm, &resource, &tags)?;
        let count: i64 = tx.query_one(
            "SELECT COUNT(*) FROM iot_tag WHERE account = $1 AND region = $2 AND resource = $3",
            params![realm.account, realm.region, resource],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?;
        if count > MAX_TAGS as i64 {
            return Err(ApiError::limit_exceeded(format!("A resource has at most {MAX_TAGS} tags")).into());
        }
        Ok(json!({}))
    })
    .await
}

/// `UntagResource`: removes tags; keys that are not there are no error.
pub(crate) async fn untag_resource(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let keys = input.texts("tagKeys");
    let resource = tagged(&realm, &input)?;
    let existing = resource_conditions(ctx, &realm, &resource)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(&resource), |conditions| {
        *conditions = existing;
        conditions.set_all("aws:TagKeys", keys.iter().map(String::as_str));
    })?;
    ctx.commit(grant, move |tx| {
        must_exist(tx, &realm, &resource)?;
        for key in keys {
            tx.execute(
                "DELETE FROM iot_tag WHERE account = $1 AND region = $2 AND resource = $3 AND key = $4",
                params![realm.account, realm.region, resource, key],
            )?;
        }
        Ok(json!({}))
    })
    .await
}

/// `ListTagsForResource`: at most 50, so one page holds them all.
pub(crate) async fn list_tags_for_resource(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let resource = tagged(&realm, &input)?;
    registry.tokens().page(ctx, &input, Style::NextToken, &[&resource])?;
    let tags = ctx.read(|snapshot| tags_of(snapshot, &realm, &resource))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(&resource), |conditions| {
        conditions.resource_tags(pairs(&tags));
    })?;
    drop(grant);
    ctx.read(|snapshot| must_exist(snapshot, &realm, &resource))?;
    let tags: Vec<Value> = tags.into_iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    Ok(json!({"tags": tags}))
}
