//! The service role of an account: one per region (control-plane-api 7.4).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::place::realm;
use crate::service::ACTOR;
use crate::{Greengrass, fault};

/// `AssociateServiceRoleToAccount`; the caller must be allowed to pass the role.
pub(crate) async fn associate(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (realm, now) = (realm(ctx), ctx.now);
    let role = input["roleArn"].as_str().unwrap_or_default().to_owned();
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    if !role.starts_with(&format!("arn:{}:iam::", realm.partition)) || !role.contains(":role/") {
        return Err(fault::field("RoleArn", "RoleArn is not the ARN of a role."));
    }
    ctx.authorize_pass_role(&role, ACTOR)?;
    ctx.commit(grant, move |tx| {
        tx.execute(
            "INSERT INTO gg_service_role (account, region, role, associated_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account, region) DO UPDATE SET role = excluded.role, associated_at = excluded.associated_at",
            params![realm.account, realm.region, role, now],
        )?;
        Ok(json!({"associatedAt": now.rfc3339()}))
    })
    .await
}

/// `GetServiceRoleForAccount`. The model knows no error for its absence but the internal one (control-plane-api 7.1).
pub(crate) async fn get(_: &Greengrass, ctx: &CallContext, _: Value) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let realm = realm(ctx);
    let found = ctx.read(|snapshot| {
        snapshot.query_opt(
            "SELECT role, associated_at FROM gg_service_role WHERE account = $1 AND region = $2",
            params![realm.account, realm.region],
            |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<Timestamp>(1)?)),
        )
    })?;
    match found {
        Some((role, at)) => Ok(json!({"roleArn": role, "associatedAt": at.rfc3339()})),
        None => Err(fault::not_found("service role", "of this account")),
    }
}

/// `DisassociateServiceRoleFromAccount`: that there was none is no error.
pub(crate) async fn disassociate(_: &Greengrass, ctx: &CallContext, _: Value) -> Result<Value, ApiError> {
    let (realm, now) = (realm(ctx), ctx.now);
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    ctx.commit(grant, move |tx| {
        tx.execute(
            "DELETE FROM gg_service_role WHERE account = $1 AND region = $2",
            params![realm.account, realm.region],
        )?;
        Ok(json!({"disassociatedAt": now.rfc3339()}))
    })
    .await
}
