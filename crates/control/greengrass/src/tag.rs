//! Tags of components, deployments and core devices: a plain map on the wire (control-plane-api 10.1).

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::{Snapshot, Tx, params};
use serde_json::{Value, json};

use crate::place::{arn, own_resource, realm};
use crate::{Greengrass, fault};

/// Tags of a resource (control-plane-api 10.1).
const MAX_TAGS: usize = 50;

pub(crate) type Tags = BTreeMap<String, String>;

/// The tags of a request.
pub(crate) fn given(input: &Value) -> Result<Tags, ApiError> {
    let tags: Tags = input["tags"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    if tags.len() > MAX_TAGS {
        return Err(fault::field("tags", format!("A resource has at most {MAX_TAGS} tags.")));
    }
    if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(fault::field("tags", "Tag keys must not begin with aws:."));
    }
    Ok(tags)
}

pub(crate) fn pairs(tags: &Tags) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The tags of `resource` (`components:x:versions:1.0.0`).
pub(crate) fn of(snapshot: &Snapshot<'_>, realm: &Realm, resource: &str) -> Result<Tags, CallError> {
    let rows = snapshot.query_all(
        "SELECT key, value FROM gg_tag WHERE account = $1 AND region = $2 AND resource = $3 ORDER BY key LIMIT 50",
        params![realm.account, realm.region, resource],
        |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<String>(1)?)),
    )?;
    Ok(rows.into_iter().collect())
}

pub(crate) fn insert(tx: &mut Tx<'_>, realm: &Realm, resource: &str, tags: &Tags) -> Result<(), CallError> {
    for (key, value) in tags {
        tx.execute(
            "INSERT INTO gg_tag (account, region, resource, key, value) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, resource, key) DO UPDATE SET value = excluded.value",
            params![realm.account, realm.region, resource, key, value],
        )?;
    }
    Ok(())
}

pub(crate) fn forget(tx: &mut Tx<'_>, realm: &Realm, resource: &str) -> Result<(), CallError> {
    tx.execute(
        "DELETE FROM gg_tag WHERE account = $1 AND region = $2 AND resource = $3",
        params![realm.account, realm.region, resource],
    )?;
    Ok(())
}

fn tagged(realm: &Realm, input: &Value) -> Result<String, ApiError> {
    let text = input["resourceArn"].as_str().unwrap_or_default();
    let kinds = ["components:", "deployments:", "coreDevices:"];
    own_resource(realm, text)
        .filter(|resource| kinds.iter().any(|kind| resource.starts_with(kind)))
        .ok_or_else(|| fault::field("resourceArn", "The resource ARN does not name a resource that carries tags."))
}

fn must_exist(snapshot: &Snapshot<'_>, realm: &Realm, resource: &str) -> Result<(), CallError> {
    let (kind, rest) = resource.split_once(':').unwrap_or((resource, ""));
    let (name, version) = rest.split_once(":versions:").unwrap_or((rest, ""));
    let sql = match kind {
        "components" if version.is_empty() => {
            "SELECT 1 FROM gg_component WHERE account = $1 AND region = $2 AND name = $3 AND version >= $4 LIMIT 1"
        }
        "components" => "SELECT 1 FROM gg_component WHERE account = $1 AND region = $2 AND name = $3 AND version = $4",
        "deployments" => "SELECT 1 FROM gg_deployment WHERE account = $1 AND region = $2 AND id = $3 AND $4 = ''",
        _ => "SELECT 1 FROM gg_core WHERE account = $1 AND region = $2 AND thing = $3 AND $4 = ''",
    };
    let found = snapshot.query_opt(sql, params![realm.account, realm.region, name, version], |row| {
        Ok::<_, CallError>(row.get::<i64>(0)?)
    })?;
    found.map(|_| ()).ok_or_else(|| fault::not_found("resource", &arn(realm, resource)).into())
}

/// `ListTagsForResource`.
pub(crate) async fn list(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = realm(ctx);
    let resource = tagged(&realm, &input)?;
    let tags = ctx.read(|snapshot| of(snapshot, &realm, &resource))?;
    drop(ctx.authorize(ctx.operation.iam_action, &arn(&realm, &resource), |conditions| {
        conditions.resource_tags(pairs(&tags));
    })?);
    ctx.read(|snapshot| must_exist(snapshot, &realm, &resource))?;
    Ok(json!({"tags": tags}))
}

/// `TagResource`.
pub(crate) async fn add(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = realm(ctx);
    let resource = tagged(&realm, &input)?;
    let tags = given(&input)?;
    let existing = ctx.read(|snapshot| of(snapshot, &realm, &resource))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn(&realm, &resource), |conditions| {
        conditions.resource_tags(pairs(&existing)).request_tags(pairs(&tags));
    })?;
    ctx.commit(grant, move |tx| {
        must_exist(tx, &realm, &resource)?;
        insert(tx, &realm, &resource, &tags)?;
        let count: i64 = tx.query_one(
            "SELECT COUNT(*) FROM gg_tag WHERE account = $1 AND region = $2 AND resource = $3",
            params![realm.account, realm.region, resource],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?;
        if count > MAX_TAGS as i64 {
            return Err(fault::field("tags", format!("A resource has at most {MAX_TAGS} tags.")).into());
        }
        Ok(json!({}))
    })
    .await
}

/// `UntagResource`.
pub(crate) async fn remove(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = realm(ctx);
    let resource = tagged(&realm, &input)?;
    let keys: Vec<String> =
        input["tagKeys"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let existing = ctx.read(|snapshot| of(snapshot, &realm, &resource))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn(&realm, &resource), |conditions| {
        conditions.resource_tags(pairs(&existing)).set_all("aws:TagKeys", keys.iter().map(String::as_str));
    })?;
    ctx.commit(grant, move |tx| {
        must_exist(tx, &realm, &resource)?;
        for key in keys {
            tx.execute(
                "DELETE FROM gg_tag WHERE account = $1 AND region = $2 AND resource = $3 AND key = $4",
                params![realm.account, realm.region, resource, key],
            )?;
        }
        Ok(json!({}))
    })
    .await
}
