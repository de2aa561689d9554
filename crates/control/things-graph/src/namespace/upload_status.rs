//! `GetUploadStatus` (TG 9.2).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use marram_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::input::read;
use crate::realm::Realm;
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetUploadStatus {
    upload_id: String,
}

pub(crate) fn get(_: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: GetUploadStatus = read(input)?;
    let realm = Realm::of(ctx);
    let found = ctx.read(|s| {
        s.query_opt(
            "SELECT status, created_at, version, failure FROM tg_upload
             WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, request.upload_id],
            |row| {
                let failure: Option<String> = row.get(3)?;
                Ok::<_, CallError>((
                    row.get::<String>(0)?,
                    row.get::<Timestamp>(1)?,
                    row.get::<Option<i64>>(2)?,
                    failure,
                ))
            },
        )
    })?;
    let Some((status, created, version, failure)) = found else {
        return Err(ApiError::not_found("The upload does not exist"));
    };
    let mut answer = json!({
        "uploadId": request.upload_id,
        "uploadStatus": status,
        "createdDate": created.epoch_seconds(),
        "namespaceArn": realm.namespace_arn(),
        "namespaceName": realm.namespace().as_str(),
    });
    if let Some(version) = version {
        answer["namespaceVersion"] = version.into();
    }
    if let Some(reasons) = failure.and_then(|text| serde_json::from_str::<Vec<String>>(&text).ok()) {
        answer["failureReason"] = reasons.into();
    }
    Ok(answer)
}
