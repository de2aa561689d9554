//! `DeleteNamespace`, `GetNamespaceDeletionStatus` and the task between them (TG 8).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::{AccountId, Partition, Region};
use serde_json::{Value, json};

use crate::realm::Realm;
use crate::service::ThingsGraph;

/// `DeleteNamespace`: answers at once, the task checks and deletes.
pub(crate) async fn delete(service: &ThingsGraph, ctx: &CallContext) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let realm = Realm::of(ctx);
    let (row_realm, now) = (realm.clone(), ctx.now);
    let answer = ctx
        .commit(grant, move |tx| {
            tx.execute(
                "INSERT INTO tg_deletion (account, region, status, message, requested_at)
                 VALUES ($1, $2, 'IN_PROGRESS', NULL, $3)
                 ON CONFLICT (account, region) DO UPDATE
                 SET status = excluded.status, message = NULL, requested_at = excluded.requested_at",
                params![row_realm.account, row_realm.region, now],
            )?;
            Ok(names(&row_realm))
        })
        .await?;
    spawn(service.clone(), realm);
    Ok(answer)
}

/// `GetNamespaceDeletionStatus`.
pub(crate) fn status(_: &ThingsGraph, ctx: &CallContext) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let realm = Realm::of(ctx);
    let found = ctx.read(|s| {
        s.query_opt(
            "SELECT status, message FROM tg_deletion WHERE account = $1 AND region = $2",
            params![realm.account, realm.region],
            |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<Option<String>>(1)?)),
        )
    })?;
    let Some((status, message)) = found else {
        return Err(ApiError::invalid_request("No deletion of the namespace was requested"));
    };
    let mut answer = names(&realm);
    answer["status"] = status.into();
    if let Some(message) = message {
        answer["errorCode"] = "VALIDATION_FAILED".into();
        answer["errorMessage"] = message.into();
    }
    Ok(answer)
}

fn names(realm: &Realm) -> Value {
    json!({ "namespaceArn": realm.namespace_arn(), "namespaceName": realm.namespace().as_str() })
}

/// Takes up deletions a crash interrupted.
pub(crate) fn run_pending(service: &ThingsGraph, partition: &Partition) -> Result<usize, CallError> {
    let pending = service.inner.store.read(|s| {
        s.query_all("SELECT account, region FROM tg_deletion WHERE status = 'IN_PROGRESS'", params![], |row| {
            Ok::<_, CallError>((row.parse::<AccountId>(0)?, row.parse::<Region>(1)?))
        })
    })?;
    let count = pending.len();
    for (account, region) in pending {
        spawn(service.clone(), Realm { partition: partition.clone(), account, region });
    }
    Ok(count)
}

fn spawn(service: ThingsGraph, realm: Realm) {
    tokio::spawn(async move {
        let lock = service.namespace_lock(&realm);
        let _serial = lock.lock().await;
        let row_realm = realm.clone();
        let done = service.system(&realm).commit("NamespaceDeletion", move |tx| carry_out(tx, &row_realm)).await;
        match done {
            Ok(()) => service.inner.catalog.forget(&realm),
            Err(error) => tracing::error!(%error, "a namespace could not be deleted"),
        }
    });
}

/// Longest list of obstacles in the error message, bytes; the message may have 2,048 characters.
const MAX_LISTED_BYTES: usize = 1900;

fn carry_out(tx: &mut Tx<'_>, realm: &Realm) -> Result<(), CallError> {
    let (account, region) = (&realm.account, &realm.region);
    let obstacles = tx.query_all(
        "SELECT id FROM tg_template WHERE account = $1 AND region = $2
         UNION ALL
         SELECT id FROM tg_instance WHERE account = $1 AND region = $2 AND status <> 'DEPLOYED_IN_TARGET'
         ORDER BY 1 LIMIT 50",
        params![account, region],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    if !obstacles.is_empty() {
        let mut message = "These must be deleted first: ".to_owned();
        for (index, id) in obstacles.iter().enumerate() {
            if message.len() > MAX_LISTED_BYTES {
                message.push_str(", ...");
                break;
            }
            message.push_str(if index == 0 { "" } else { ", " });
            message.push_str(id);
        }
        tx.execute(
            "UPDATE tg_deletion SET status = 'FAILED', message = $3 WHERE account = $1 AND region = $2",
            params![account, region, message],
        )?;
        return Ok(());
    }
    for table in ["tg_namespace", "tg_namespace_version", "tg_entity", "tg_association"] {
        tx.execute(&format!("DELETE FROM {table} WHERE account = $1 AND region = $2"), params![account, region])?;
    }
    tx.execute(
        "UPDATE tg_deletion SET status = 'SUCCEEDED', message = NULL WHERE account = $1 AND region = $2",
        params![account, region],
    )?;
    Ok(())
}
