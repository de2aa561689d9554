//! `GetRegistrationCode` and `DeleteRegistrationCode`: what a verification certificate must say.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, params};
use serde_json::{Value, json};

use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Random bytes of a code: 64 hex digits (CP 4.1).
const CODE_BYTES: usize = 32;

/// The account's code, if one was made.
pub(super) fn code_of(snapshot: &Snapshot<'_>, realm: &Realm) -> Result<Option<String>, CallError> {
    snapshot.query_opt(
        "SELECT code FROM iot_registration_code WHERE account = $1 AND region = $2",
        params![realm.account, realm.region],
        |row| Ok(row.get(0)?),
    )
}

/// Answers the account's code; the first call makes it.
pub(crate) async fn get_registration_code(_: &Registry, ctx: &CallContext, _: Input) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| ())?;
    let realm = Realm::of(ctx);
    if let Some(code) = ctx.read(|snapshot| code_of(snapshot, &realm))? {
        drop(grant);
        return Ok(json!({"registrationCode": code}));
    }
    ctx.commit(grant, move |tx| {
        tx.execute(
            "INSERT INTO iot_registration_code (account, region, code) VALUES ($1, $2, $3)
             ON CONFLICT (account, region) DO NOTHING",
            params![realm.account, realm.region, marram_types::random_hex(CODE_BYTES)],
        )?;
        let code = code_of(tx, &realm)?.ok_or_else(ApiError::internal)?;
        Ok(json!({"registrationCode": code}))
    })
    .await
}

/// Forgets the code; the next [`get_registration_code`] makes another.
pub(crate) async fn delete_registration_code(_: &Registry, ctx: &CallContext, _: Input) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| ())?;
    let realm = Realm::of(ctx);
    ctx.commit(grant, move |tx| {
        let gone = tx.execute(
            "DELETE FROM iot_registration_code WHERE account = $1 AND region = $2",
            params![realm.account, realm.region],
        )?;
        if gone == 0 {
            return Err(ApiError::not_found("The account has no registration code").into());
        }
        Ok(json!({}))
    })
    .await
}
