//! Templates: create, describe, update, delete, list.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::{Realm, delete_tags, insert_tags, tag_pairs, tags_from};
use marram_store::params;
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::{authorize, name_of, page, resource};
use crate::provisioning::{ACTOR, Provisioning};
use crate::row::{get_template, get_version};
use crate::template::Template;

/// Makes a template with its first version; the caller hands its role over to the service.
pub(super) async fn create(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name = name_of(&input)?;
    let tags = tags_from(input["tags"].as_array().map_or(&[], Vec::as_slice))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(resource(&name)), |conditions| {
        conditions.request_tags(tag_pairs(&tags));
    })?;
    let role = input["provisioningRoleArn"].as_str().unwrap_or_default().to_owned();
    ctx.authorize_pass_role(&role, ACTOR)?;
    let body = input["templateBody"].as_str().unwrap_or_default().to_owned();
    Template::parse(&body).map_err(|error| ApiError::invalid_request(error.to_string()))?;
    let kind = input["type"].as_str().unwrap_or("FLEET_PROVISIONING").to_owned();
    let description = input["description"].as_str().unwrap_or_default().to_owned();
    let enabled = input["enabled"].as_bool().unwrap_or(false);
    let hook = input.get("preProvisioningHook").filter(|hook| !hook.is_null()).map(Value::to_string);
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let inserted = tx.execute(
            "INSERT INTO iot_provisioning_template (account, region, name, description, enabled, role_arn, type, hook,
                 default_version, last_version, created_at, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, 1, $9, $9) ON CONFLICT (account, region, name) DO NOTHING",
            params![realm.account, realm.region, name, description, enabled, role, kind, hook, now],
        )?;
        let arn = realm.arn(resource(&name));
        if inserted == 0 {
            return Err(ApiError::already_exists(format!("Provisioning template {name} already exists."))
                .with("resourceId", name.as_str())
                .with("resourceArn", arn)
                .into());
        }
        tx.execute(
            "INSERT INTO iot_provisioning_template_version (account, region, template, version, body, created_at)
             VALUES ($1, $2, $3, 1, $4, $5)",
            params![realm.account, realm.region, name, body, now],
        )?;
        insert_tags(tx, &realm, &resource(&name), &tags)?;
        Ok(json!({"templateArn": arn, "templateName": name.as_str(), "defaultVersionId": 1}))
    })
    .await
}

pub(super) async fn describe(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name = name_of(&input)?;
    drop(authorize(ctx, &realm, &name)?);
    let (row, body) = ctx.read(|snapshot| {
        let row = get_template(snapshot, &realm, name.as_str())?;
        let (body, _) = get_version(snapshot, &realm, name.as_str(), row.default_version)?;
        Ok((row, body))
    })?;
    let mut answer = json!({
        "templateArn": realm.arn(resource(&name)),
        "templateName": row.name,
        "description": row.description,
        "creationDate": row.created_at.as_secs(),
        "lastModifiedDate": row.modified_at.as_secs(),
        "defaultVersionId": row.default_version,
        "templateBody": body,
        "enabled": row.enabled,
        "provisioningRoleArn": row.role_arn,
        "type": row.kind,
    });
    if let Some(hook) = row.hook {
        answer["preProvisioningHook"] = hook;
    }
    Ok(answer)
}

/// Changes what is given and leaves the rest.
pub(super) async fn update(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name = name_of(&input)?;
    let grant = authorize(ctx, &realm, &name)?;
    if let Some(role) = input["provisioningRoleArn"].as_str() {
        ctx.authorize_pass_role(role, ACTOR)?;
    }
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let row = get_template(tx, &realm, name.as_str())?;
        let text = |member: &str, old: String| input[member].as_str().map_or(old, str::to_owned);
        let version = input["defaultVersionId"].as_i64().unwrap_or(row.default_version);
        get_version(tx, &realm, name.as_str(), version)?;
        let hook = match (&input["preProvisioningHook"], input["removePreProvisioningHook"].as_bool()) {
            (Value::Null, Some(true)) => None,
            (Value::Null, _) => row.hook,
            (hook, _) => Some(hook.clone()),
        };
        tx.execute(
            "UPDATE iot_provisioning_template SET description = $4, enabled = $5, role_arn = $6, hook = $7,
                 default_version = $8, modified_at = $9 WHERE account = $1 AND region = $2 AND name = $3",
            params![
                realm.account,
                realm.region,
                name,
                text("description", row.description),
                input["enabled"].as_bool().unwrap_or(row.enabled),
                text("provisioningRoleArn", row.role_arn),
                hook.map(|hook| hook.to_string()),
                version,
                now
            ],
        )?;
        Ok(json!({}))
    })
    .await
}

pub(super) async fn delete(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name = name_of(&input)?;
    let grant = authorize(ctx, &realm, &name)?;
    ctx.commit(grant, move |tx| {
        get_template(tx, &realm, name.as_str())?;
        for (table, column) in
            [("iot_provisioning_template_version", "template"), ("iot_provisioning_template", "name")]
        {
            let sql = format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND {column} = $3");
            tx.execute(&sql, params![realm.account, realm.region, name])?;
        }
        delete_tags(tx, &realm, &resource(&name))?;
        Ok(json!({}))
    })
    .await
}

pub(super) async fn list(_: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    page(ctx, &input, "", "templates", |after, limit| {
        Ok(ctx.read(|snapshot| {
            snapshot.query_all(
                "SELECT name, description, enabled, type, created_at, modified_at FROM iot_provisioning_template
                 WHERE account = $1 AND region = $2 AND name > $3 ORDER BY name LIMIT $4",
                params![realm.account, realm.region, after, limit],
                |row| {
                    let name: String = row.get(0)?;
                    let item = json!({
                        "templateArn": realm.arn(format_args!("provisioningtemplate/{name}")),
                        "templateName": name,
                        "description": row.text(1)?,
                        "enabled": row.get::<bool>(2)?,
                        "type": row.text(3)?,
                        "creationDate": row.get::<Timestamp>(4)?.as_secs(),
                        "lastModifiedDate": row.get::<Timestamp>(5)?.as_secs(),
                    });
                    Ok::<_, CallError>((name, item))
                },
            )
        })?)
    })
}
