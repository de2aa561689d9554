//! Versions of templates.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::params;
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::{authorize, name_of, page, resource};
use crate::provisioning::Provisioning;
use crate::row::{get_template, get_version};
use crate::template::Template;

/// Versions of a template (CP 4.6, as for policies).
const MAX_VERSIONS: i64 = 5;

pub(super) async fn create(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name = name_of(&input)?;
    let grant = authorize(ctx, &realm, &name)?;
    let body = input["templateBody"].as_str().unwrap_or_default().to_owned();
    Template::parse(&body).map_err(|error| ApiError::invalid_request(error.to_string()))?;
    let default = input["setAsDefault"].as_bool().unwrap_or(false);
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let row = get_template(tx, &realm, name.as_str())?;
        let count: i64 = tx.query_one(
            "SELECT COUNT(*) FROM iot_provisioning_template_version WHERE account = $1 AND region = $2 AND template = $3",
            params![realm.account, realm.region, name],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?;
        if count >= MAX_VERSIONS {
            let text = format!("The template {name} already has the maximum number of versions ({MAX_VERSIONS})");
            return Err(ApiError::new("VersionsLimitExceededException", 409, text).into());
        }
        let version = row.last_version + 1;
        tx.execute(
            "INSERT INTO iot_provisioning_template_version (account, region, template, version, body, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![realm.account, realm.region, name, version, body, now],
        )?;
        tx.execute(
            "UPDATE iot_provisioning_template SET last_version = $4, default_version = $5, modified_at = $6
             WHERE account = $1 AND region = $2 AND name = $3",
            params![
                realm.account,
                realm.region,
                name,
                version,
                if default { version } else { row.default_version },
                now
            ],
        )?;
        Ok(json!({
            "templateArn": realm.arn(resource(&name)),
            "templateName": name.as_str(),
            "versionId": version,
            "isDefaultVersion": default,
        }))
    })
    .await
}

fn version_of(input: &Value) -> Result<i64, ApiError> {
    input["versionId"].as_i64().ok_or_else(|| ApiError::invalid_request("Invalid versionId"))
}

pub(super) async fn describe(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let (name, version) = (name_of(&input)?, version_of(&input)?);
    drop(authorize(ctx, &realm, &name)?);
    let (row, (body, created)) = ctx.read(|snapshot| {
        let row = get_template(snapshot, &realm, name.as_str())?;
        Ok((row, get_version(snapshot, &realm, name.as_str(), version)?))
    })?;
    Ok(json!({
        "versionId": version,
        "creationDate": created.as_secs(),
        "templateBody": body,
        "isDefaultVersion": row.default_version == version,
    }))
}

pub(super) async fn delete(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let (name, version) = (name_of(&input)?, version_of(&input)?);
    let grant = authorize(ctx, &realm, &name)?;
    ctx.commit(grant, move |tx| {
        let row = get_template(tx, &realm, name.as_str())?;
        get_version(tx, &realm, name.as_str(), version)?;
        if row.default_version == version {
            return Err(ApiError::delete_conflict("The default version of a template cannot be deleted").into());
        }
        tx.execute(
            "DELETE FROM iot_provisioning_template_version
             WHERE account = $1 AND region = $2 AND template = $3 AND version = $4",
            params![realm.account, realm.region, name, version],
        )?;
        Ok(json!({}))
    })
    .await
}

pub(super) async fn list(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name = name_of(&input)?;
    drop(authorize(ctx, &realm, &name)?);
    let row = ctx.read(|snapshot| get_template(snapshot, &realm, name.as_str()))?;
    page(ctx, &input, name.as_str(), "versions", |after, limit| {
        let after: i64 = match after {
            "" => 0,
            text => text.parse().map_err(|_| ApiError::invalid_request("invalid nextToken"))?,
        };
        Ok(ctx.read(|snapshot| {
            snapshot.query_all(
                "SELECT version, created_at FROM iot_provisioning_template_version
                 WHERE account = $1 AND region = $2 AND template = $3 AND version > $4 ORDER BY version LIMIT $5",
                params![realm.account, realm.region, name, after, limit],
                |found| {
                    let version: i64 = found.get(0)?;
                    let item = json!({
                        "versionId": version,
                        "creationDate": found.get::<Timestamp>(1)?.as_secs(),
                        "isDefaultVersion": version == row.default_version,
                    });
                    Ok::<_, CallError>((version.to_string(), item))
                },
            )
        })?)
    })
}
