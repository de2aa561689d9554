//! `DeleteObject` and `DeleteObjects`.

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Tx, params};
use marram_types::AccountId;

use super::find;
use crate::blob::{Blobs, drop_uses};
use crate::reply::Reply;
use crate::service::Call;
use crate::{fault, xml};

/// Most keys of one request.
const MAX_KEYS: usize = 1000;

pub(crate) fn remove(
    tx: &mut Tx<'_>,
    blobs: &Blobs,
    account: &AccountId,
    bucket: &str,
    key: &str,
) -> Result<(), CallError> {
    let Some(object) = find(tx, account, bucket, key)? else { return Ok(()) };
    tx.execute("DELETE FROM s3_object WHERE account = $1 AND bucket = $2 AND key = $3", params![account, bucket, key])?;
    drop_uses(tx, blobs, account, &object.segments)
}

/// `DeleteObject`: what is not there is as good as deleted.
pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:DeleteObject")?;
    let (key, blobs) = (call.to.key.clone(), call.objects.inner.blobs.clone());
    call.ctx.commit(grant, move |tx| remove(tx, &blobs, &bucket.account, &bucket.name, &key)).await?;
    Ok(Reply::empty(204))
}

/// `DeleteObjects`: each key is decided for itself; those that may be deleted go in one transaction.
pub(crate) async fn delete_many(call: &mut Call<'_>) -> Result<Reply, ApiError> {
    // Nobody without a permission below the bucket is told whether it exists.
    let any = call.objects.permit(call.ctx, "s3:DeleteObject", &call.to.bucket, Some("*"), |_| {});
    let body = match &any {
        Err(error) if error.code != "AccessDeniedException" => return Err(error.clone()),
        _ => call.document().await?,
    };
    let document = xml::parse(&body, "Delete")?;
    let quiet = document.child("Quiet") == Some("true");
    let entries: Vec<(String, Option<String>)> = document
        .all("Object")
        .map(|entry| (entry.child("Key").unwrap_or_default().to_owned(), entry.child("VersionId").map(str::to_owned)))
        .collect();
    if entries.is_empty() || entries.len() > MAX_KEYS || entries.iter().any(|(key, _)| key.is_empty()) {
        return Err(fault::malformed_xml());
    }
    let mut answer = xml::Document::new("DeleteResult");
    let mut allowed = Vec::new();
    let mut granted = None;
    let mut denied = None;
    let mut errors = Vec::new();
    for (key, version) in entries {
        if version.is_some_and(|version| version != "null") {
            errors.push((key, fault::no_such_version()));
            continue;
        }
        match call.objects.permit(call.ctx, "s3:DeleteObject", &call.to.bucket, Some(&key), |_| {}) {
            Ok((grant, bucket)) => {
                granted = Some((grant, bucket));
                allowed.push(key);
            }
            Err(error) if error.code == "AccessDeniedException" => {
                denied = Some(error.clone());
                errors.push((key, ApiError::new("AccessDenied", 403, "Access Denied")));
            }
            Err(error) => return Err(error),
        }
    }
    match (granted, denied) {
        (Some((grant, bucket)), _) => {
            let (keys, blobs) = (allowed.clone(), call.objects.inner.blobs.clone());
            call.ctx
                .commit(grant, move |tx| {
                    keys.iter().try_for_each(|key| remove(tx, &blobs, &bucket.account, &bucket.name, key))
                })
                .await?;
        }
        (None, Some(denied)) => return Err(denied),
        (None, None) => {}
    }
    for key in allowed.iter().filter(|_| !quiet) {
        answer.open("Deleted").text("Key", key).close();
    }
    for (key, error) in errors {
        answer.open("Error").text("Key", key).text("Code", &error.code).text("Message", &error.message).close();
    }
    Ok(Reply::xml(answer.finish()))
}
