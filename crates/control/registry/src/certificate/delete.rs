//! `DeleteCertificate`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use serde_json::{Value, json};

use super::{ACTIVE, read_id, resource, state_error, status};
use crate::change::Change;
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Deletes a certificate that is not ACTIVE and not attached to a thing; attached policies only with `forceDelete`.
pub(crate) async fn delete_certificate(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id = read_id(&input, "certificateId")?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.certificate_arn(&id), |_| ())?;
    let force = input.flag("forceDelete");
    let changes = registry.changes().clone();
    ctx.commit(grant, move |tx| {
        delete(tx, &realm, &id, force)?;
        changes.announce(tx, Change::Certificate(realm, id));
        Ok(json!({}))
    })
    .await
}

fn delete(tx: &mut Tx<'_>, realm: &Realm, id: &str, force: bool) -> Result<(), CallError> {
    if status(tx, realm, id)? == ACTIVE {
        return Err(state_error(format!("Certificate must be deactivated before deletion (id: {id})")).into());
    }
    let (arn, target) = (realm.certificate_arn(id), resource(id));
    let exists = |sql: &str| {
        tx.query_opt(sql, params![realm.account, realm.region, target], |row| Ok::<_, CallError>(row.get::<i64>(0)?))
    };
    let thing =
        exists("SELECT 1 FROM iot_thing_principal WHERE account = $1 AND region = $2 AND principal = $3 LIMIT 1")?;
    if thing.is_some() {
        return Err(ApiError::delete_conflict(format!("Things must be detached before deletion (arn: {arn})")).into());
    }
    let policy =
        exists("SELECT 1 FROM iot_policy_attachment WHERE account = $1 AND region = $2 AND target = $3 LIMIT 1")?;
    if policy.is_some() && !force {
        return Err(ApiError::delete_conflict(format!(
            "Certificate policies must be detached before deletion (arn: {arn})"
        ))
        .into());
    }
    tx.execute(
        "DELETE FROM iot_policy_attachment WHERE account = $1 AND region = $2 AND target = $3",
        params![realm.account, realm.region, target],
    )?;
    tx.execute(
        "DELETE FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, id],
    )?;
    tx.execute("DELETE FROM iot_certificate_home WHERE id = $1", params![id])?;
    Ok(())
}
