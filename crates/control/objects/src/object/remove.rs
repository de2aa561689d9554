//! `DeleteObject` and `DeleteObjects`.

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Tx, params};
use marram_types::AccountId;

use super::condition::may_go;
use super::find;
use crate::blob::{Blobs, drop_uses};
use crate::reply::Reply;
use crate::service::Call;
use crate::{fault, xml};

/// What a caller must be allowed besides to be told whether a condition holds.
const CONDITION: &str = "s3:GetObject";
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
    let if_match = call.header("if-match").map(str::to_owned);
    if if_match.is_some() {
        drop(call.permit(CONDITION)?);
    }
    let (key, blobs) = (call.to.key.clone(), call.objects.inner.blobs.clone());
    call.ctx
        .commit(grant, move |tx| {
            if !may_go(if_match.as_deref(), find(tx, &bucket.account, &bucket.name, &key)?.as_ref()) {
                return Err(fault::precondition_failed().into());
            }
            remove(tx, &blobs, &bucket.account, &bucket.name, &key)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// A key to be deleted.
#[derive(Clone)]
struct Doomed {
    key: String,
    version: Option<String>,
    /// Deleted only while it has this entity tag.
    etag: Option<String>,
}

/// The keys of a `Delete` document.
fn doomed(document: &xml::Element) -> Result<Vec<Doomed>, ApiError> {
    let mut keys = Vec::new();
    for entry in document.all("Object") {
        let known = ["Key", "VersionId", "ETag"];
        if let Some(other) = entry.children.iter().find(|child| !known.contains(&child.name.as_str())) {
            return Err(fault::not_implemented(&format!("{} of an object to delete", other.name)));
        }
        let text = |name: &str| entry.child(name).map(str::to_owned);
        keys.push(Doomed { key: text("Key").unwrap_or_default(), version: text("VersionId"), etag: text("ETag") });
    }
    if keys.is_empty() || keys.len() > MAX_KEYS || keys.iter().any(|entry| entry.key.is_empty()) {
        return Err(fault::malformed_xml());
    }
    Ok(keys)
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
    let mut allowed = Vec::new();
    let mut granted = None;
    let mut denied = None;
    let mut errors = Vec::new();
    for entry in doomed(&document)? {
        if entry.version.as_ref().is_some_and(|version| version != "null") {
            errors.push((entry.key, fault::no_such_version()));
            continue;
        }
        let permit = |action| call.objects.permit(call.ctx, action, &call.to.bucket, Some(&entry.key), |_| {});
        let conditional = if entry.etag.is_some() { permit(CONDITION).map(drop) } else { Ok(()) };
        match conditional.and_then(|()| permit("s3:DeleteObject")) {
            Ok((grant, bucket)) => {
                granted = Some((grant, bucket));
                allowed.push(entry);
            }
            Err(error) if error.code == "AccessDeniedException" => {
                denied = Some(error.clone());
                errors.push((entry.key, ApiError::new("AccessDenied", 403, "Access Denied")));
            }
            Err(error) => return Err(error),
        }
    }
    let mut deleted = Vec::new();
    match (granted, denied) {
        (Some((grant, bucket)), _) => {
            let blobs = call.objects.inner.blobs.clone();
            let (gone, kept) = call
                .ctx
                .commit(grant, move |tx| {
                    let (mut gone, mut kept) = (Vec::new(), Vec::new());
                    for Doomed { key, etag, .. } in allowed {
                        let existing = find(tx, &bucket.account, &bucket.name, &key)?;
                        if may_go(etag.as_deref(), existing.as_ref()) {
                            remove(tx, &blobs, &bucket.account, &bucket.name, &key)?;
                            gone.push(key);
                        } else {
                            kept.push((key, fault::precondition_failed()));
                        }
                    }
                    Ok((gone, kept))
                })
                .await?;
            deleted = gone;
            errors.extend(kept);
        }
        (None, Some(denied)) => return Err(denied),
        (None, None) => {}
    }
    let mut answer = xml::Document::new("DeleteResult");
    for key in deleted.iter().filter(|_| !quiet) {
        answer.open("Deleted").text("Key", key).close();
    }
    for (key, error) in errors {
        answer.open("Error").text("Key", key).text("Code", &error.code).text("Message", &error.message).close();
    }
    Ok(Reply::xml(answer.finish()))
}
