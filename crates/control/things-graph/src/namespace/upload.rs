//! `UploadEntityDefinitions`: accepts an upload; [`super::upload_task`] carries it out (TG 8, 9.2).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use serde::Deserialize;
use serde_json::{Value, json};

use super::upload_task;
use crate::input::{Document, read};
use crate::realm::Realm;
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    document: Option<Document>,
    #[serde(default)]
    sync_with_public_namespace: bool,
    #[serde(default)]
    deprecate_existing_entities: bool,
}

pub(crate) async fn upload(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: Upload = read(input)?;
    let (sync, deprecate) = (request.sync_with_public_namespace, request.deprecate_existing_entities);
    let document = request.document.map(|document| document.text);
    if document.is_none() && !sync && !deprecate {
        return Err(ApiError::invalid_request(
            "A document is required unless syncWithPublicNamespace or deprecateExistingEntities is true",
        ));
    }
    let realm = Realm::of(ctx);
    let id = uuid::Uuid::new_v4().to_string();
    let (row_realm, row_id, now, most) = (realm.clone(), id.clone(), ctx.now, service.inner.quotas.uploads);
    let answer = ctx
        .commit(grant, move |tx| {
            let (account, region) = (&row_realm.account, &row_realm.region);
            let (open, last): (i64, i64) = tx.query_one(
                "SELECT COUNT(CASE WHEN status = 'IN_PROGRESS' THEN 1 END), COALESCE(MAX(seq), 0)
                 FROM tg_upload WHERE account = $1 AND region = $2",
                params![account, region],
                |row| Ok::<_, marram_identity::CallError>((row.get(0)?, row.get(1)?)),
            )?;
            if open >= most {
                return Err(ApiError::invalid_request(format!("{most} uploads are already in progress")).into());
            }
            tx.execute(
                "INSERT INTO tg_upload
                 (account, region, id, seq, status, document, sync_public, deprecate_existing, created_at)
                 VALUES ($1, $2, $3, $4, 'IN_PROGRESS', $5, $6, $7, $8)",
                params![account, region, row_id, last + 1, document, sync, deprecate, now],
            )?;
            Ok(json!({ "uploadId": row_id }))
        })
        .await?;
    upload_task::spawn(service.clone(), realm, id);
    Ok(answer)
}
