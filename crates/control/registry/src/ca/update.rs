//! `UpdateCACertificate` and `DeleteCACertificate`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, params};
use serde_json::{Value, json};

use super::register::needs_proof;
use super::{PASSED_TO, conditions, not_found, read_id, resource};
use crate::certificate::{ACTIVE, MODE_DEFAULT, state_error};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;
use crate::tag;

/// Changes state and automatic registration. Device certificates of an INACTIVE CA keep working; new ones are refused.
pub(crate) async fn update_ca_certificate(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id = read_id(&input)?;
    let registration = input.object("registrationConfig").cloned();
    let arn = realm.ca_arn(&id);
    let tags = conditions(ctx, &realm, &id)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = tags)?;
    if let Some(role) = registration.as_ref().and_then(|r| r.get("roleArn")).and_then(Value::as_str) {
        ctx.authorize_pass_role(role, PASSED_TO)?;
    }
    let new_status = input.text("newStatus").map(str::to_owned);
    let new_auto = input.text("newAutoRegistrationStatus").map(str::to_owned);
    let remove_auto = input.flag("removeAutoRegistration");
    let registration = registration.map(|r| Value::Object(r).to_string());
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        status(tx, &realm, &id)?;
        let auto = if remove_auto { Some("DISABLE".to_owned()) } else { new_auto };
        if auto.as_deref() == Some("ENABLE") && mode(tx, &realm, &id)? != MODE_DEFAULT {
            return Err(needs_proof().into());
        }
        tx.execute(
            "UPDATE iot_ca_certificate SET status = COALESCE($4, status),
                 auto_registration = COALESCE($5, auto_registration),
                 registration = CASE WHEN $6 THEN NULL ELSE COALESCE($7, registration) END,
                 customer_version = customer_version + 1, generation = $8, modified_at = $9
             WHERE account = $1 AND region = $2 AND id = $3",
            params![
                realm.account,
                realm.region,
                id,
                new_status,
                auto,
                remove_auto,
                registration,
                uuid::Uuid::new_v4().to_string(),
                now
            ],
        )?;
        Ok(json!({}))
    })
    .await
}

/// Deletes a CA that is INACTIVE; certificates registered with it stay.
pub(crate) async fn delete_ca_certificate(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id = read_id(&input)?;
    let tags = conditions(ctx, &realm, &id)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.ca_arn(&id), |c| *c = tags)?;
    ctx.commit(grant, move |tx| {
        if status(tx, &realm, &id)? == ACTIVE {
            return Err(state_error(format!("CA certificate must be deactivated before deletion (id: {id})")).into());
        }
        tag::delete_tags(tx, &realm, &resource(&id))?;
        tx.execute(
            "DELETE FROM iot_ca_certificate WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
        )?;
        Ok(json!({}))
    })
    .await
}

fn status(snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<String, CallError> {
    column(snapshot, realm, id, "SELECT status FROM iot_ca_certificate WHERE account = $1 AND region = $2 AND id = $3")
}

fn mode(snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<String, CallError> {
    column(snapshot, realm, id, "SELECT mode FROM iot_ca_certificate WHERE account = $1 AND region = $2 AND id = $3")
}

fn column(snapshot: &Snapshot<'_>, realm: &Realm, id: &str, sql: &'static str) -> Result<String, CallError> {
    snapshot
        .query_opt(sql, params![realm.account, realm.region, id], |row| Ok::<_, CallError>(row.get(0)?))?
        .ok_or_else(|| not_found(id).into())
}
