//! Uploads in parts (control-plane-api 9.1). The parts become the segments of the object; nothing is copied.

mod complete;
mod parts;

pub(crate) use complete::complete;
pub(crate) use parts::{list_parts, list_uploads, upload_part};

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Snapshot, Tx, params};
use marram_types::{AccountId, random_base64_alphabet};
use serde_json::{Map, Value};

use crate::blob::{Blobs, Segment, drop_uses};
use crate::checksum::Algorithm;
use crate::object::{column, stored_headers};
use crate::reply::Reply;
use crate::service::Call;
use crate::{fault, xml};

/// Part numbers are 1 to this (control-plane-api 9.1).
pub(crate) const MAX_PARTS: i64 = 10_000;

/// An upload under way.
pub(crate) struct Upload {
    pub(crate) headers: Map<String, Value>,
    /// The checksum each part carries, and whether the object's covers the whole.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) full_object: bool,
}

/// The upload called `id`.
pub(crate) fn find(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Upload, CallError> {
    let found = snapshot.query_opt(
        "SELECT headers, algorithm FROM s3_upload
         WHERE account = $1 AND bucket = $2 AND key = $3 AND id = $4",
        params![account, bucket, key, id],
        |row| {
            let algorithm: Option<String> = row.get(1)?;
            let (name, full) = match algorithm.as_deref() {
                Some(text) => text.split_once('/').map_or((text, false), |(name, _)| (name, true)),
                None => ("", false),
            };
            Ok::<_, CallError>(Upload {
                headers: serde_json::from_str(row.text(0)?).unwrap_or_default(),
                algorithm: Algorithm::from_name(name),
                full_object: full,
            })
        },
    )?;
    Ok(found.ok_or_else(fault::no_such_upload)?)
}

/// `CreateMultipartUpload`.
pub(crate) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:PutObject")?;
    let headers = stored_headers(call)?;
    let algorithm = match call.header("x-amz-checksum-algorithm") {
        None => None,
        Some(name) => Some(
            Algorithm::from_name(name)
                .ok_or_else(|| fault::invalid_request("Checksum algorithm provided is unsupported"))?,
        ),
    };
    let full = match call.header("x-amz-checksum-type") {
        None => algorithm == Some(Algorithm::Crc64Nvme),
        Some("FULL_OBJECT") => true,
        Some("COMPOSITE") => false,
        Some(_) => return Err(fault::invalid_request("Value for x-amz-checksum-type header is invalid.")),
    };
    if full && !matches!(algorithm, None | Some(Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme)) {
        return Err(fault::invalid_request("The FULL_OBJECT checksum type cannot be used with this algorithm."));
    }
    let id = random_base64_alphabet(32).replace(['+', '/'], "x");
    let (key, now, initiator) = (call.to.key.clone(), call.ctx.now, call.ctx.principal.arn.to_string());
    let mut document = xml::Document::new("InitiateMultipartUploadResult");
    document.text("Bucket", &bucket.name).text("Key", &key).text("UploadId", &id);
    let kept = algorithm.map(|algorithm| format!("{}{}", algorithm.as_str(), if full { "/full" } else { "" }));
    call.ctx
        .commit(grant, move |tx| {
            tx.execute(
                "INSERT INTO s3_upload (account, bucket, key, id, headers, algorithm, initiator, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                params![bucket.account, bucket.name, key, id, column(&headers), kept, initiator, now],
            )?;
            Ok(())
        })
        .await?;
    let mut reply = Reply::xml(document.finish());
    if let Some(algorithm) = algorithm {
        reply = reply
            .with("x-amz-checksum-algorithm", algorithm.as_str())
            .with("x-amz-checksum-type", if full { "FULL_OBJECT" } else { "COMPOSITE" });
    }
    Ok(reply)
}

/// `AbortMultipartUpload`.
pub(crate) async fn abort(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:AbortMultipartUpload")?;
    let id = call.to.parameter("uploadId").unwrap_or_default().to_owned();
    let (key, blobs) = (call.to.key.clone(), call.objects.inner.blobs.clone());
    call.ctx
        .commit(grant, move |tx| {
            find(tx, &bucket.account, &bucket.name, &key, &id)?;
            forget(tx, &blobs, &bucket.account, &bucket.name, &key, &id)
        })
        .await?;
    Ok(Reply::empty(204))
}

/// Removes an upload and the uses of its parts.
pub(crate) fn forget(
    tx: &mut Tx<'_>,
    blobs: &Blobs,
    account: &AccountId,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<(), CallError> {
    let parts = tx.query_all(
        "SELECT sha256, size FROM s3_part WHERE account = $1 AND upload = $2",
        params![account, id],
        |row| {
            let size = u64::try_from(row.get::<i64>(1)?).unwrap_or(0);
            Ok::<_, CallError>(Segment { sha256: row.get(0)?, size })
        },
    )?;
    let parts: Vec<Segment> = parts.into_iter().filter(|part| part.size > 0).collect();
    drop_uses(tx, blobs, account, &parts)?;
    tx.execute("DELETE FROM s3_part WHERE account = $1 AND upload = $2", params![account, id])?;
    tx.execute(
        "DELETE FROM s3_upload WHERE account = $1 AND bucket = $2 AND key = $3 AND id = $4",
        params![account, bucket, key, id],
    )?;
    Ok(())
}
