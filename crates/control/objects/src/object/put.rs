//! `PutObject` and `CopyObject`.

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Tx, params};
use marram_types::{AccountId, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::condition::{check_copy_source, check_write};
use super::{Object, find};
use crate::blob::{Blobs, Segment, add_uses, drop_uses};
use crate::bucket::private_acl;
use crate::checksum::Checksum;
use crate::receive::blocking;
use crate::reply::Reply;
use crate::service::Call;
use crate::{fault, xml};

/// Most bytes of `x-amz-meta-*` names and values.
const MAX_METADATA: usize = 2 << 10;
/// Headers that are kept with an object.
const KEPT: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];
/// What a write puts down.
pub(crate) struct Stored {
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) segments: Vec<Segment>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) checksum: Option<Checksum>,
}

/// The headers of a request that stay with the object.
pub(crate) fn stored_headers(call: &Call<'_>) -> Result<Map<String, Value>, ApiError> {
    if call.header("x-amz-storage-class").is_some_and(|class| class != "STANDARD") {
        return Err(ApiError::new("InvalidStorageClass", 400, "The storage class you specified is not valid"));
    }
    private_acl(call)?;
    let mut kept = Map::new();
    for name in KEPT {
        let Some(value) = call.header(name) else { continue };
        let value = match name {
            "content-encoding" => {
                let codings: Vec<&str> = value
                    .split(',')
                    .map(str::trim)
                    .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"))
                    .collect();
                codings.join(",")
            }
            _ => value.to_owned(),
        };
        if !value.is_empty() {
            kept.insert(name.to_owned(), value.into());
        }
    }
    kept.entry("content-type").or_insert_with(|| "binary/octet-stream".into());
    let mut bytes = 0;
    for (name, value) in call.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-")) {
        bytes += name.len() - "x-amz-meta-".len() + value.len();
        kept.insert((*name).to_owned(), (*value).into());
    }
    if bytes > MAX_METADATA {
        return Err(fault::metadata_too_large());
    }
    Ok(kept)
}

/// Writes an object's row over whatever stood there.
pub(crate) fn write(
    tx: &mut Tx<'_>,
    blobs: &Blobs,
    place: (&AccountId, &str, &str),
    stored: &Stored,
    replaced: Option<&Object>,
    now: Timestamp,
) -> Result<(), CallError> {
    let (account, bucket, key) = place;
    let alive =
        tx.query_opt("SELECT 1 FROM s3_bucket WHERE name = $1 AND account = $2", params![bucket, account], |row| {
            Ok::<_, CallError>(row.get::<i64>(0)?)
        })?;
    alive.ok_or_else(fault::no_such_bucket)?;
    add_uses(tx, account, &stored.segments)?;
    if let Some(old) = replaced {
        drop_uses(tx, blobs, account, &old.segments)?;
    }
    tx.execute(
        "INSERT INTO s3_object (account, bucket, key, size, etag, segments, headers, checksum, modified_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (account, bucket, key) DO UPDATE SET size = excluded.size, etag = excluded.etag,
         segments = excluded.segments, headers = excluded.headers, checksum = excluded.checksum,
         modified_at = excluded.modified_at",
        params![
            account,
            bucket,
            key,
            i64::try_from(stored.size).unwrap_or(i64::MAX),
            stored.etag,
            column(&stored.segments),
            column(&stored.headers),
            stored.checksum.as_ref().map(column),
            now
        ],
    )?;
    Ok(())
}

/// As it stands in a column.
pub(crate) fn column(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// `PutObject`. Answers once file and row are durable.
pub(crate) async fn put(call: &mut Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:PutObject")?;
    let headers = stored_headers(call)?;
    let if_match = call.header("if-match").map(str::to_owned);
    let if_none_match = call.header("if-none-match").map(str::to_owned);
    let received = call.receive(Vec::new(), call.objects.inner.options.max_object).await?;
    let etag = hex::encode(received.md5);
    let checksum = received.checksums.first().map(|(algorithm, value)| Checksum {
        algorithm: algorithm.as_str().to_owned(),
        value: value.clone(),
        composite: false,
    });
    let stored = Stored {
        size: received.size,
        etag: etag.clone(),
        segments: received.segments(),
        headers,
        checksum: checksum.clone(),
    };
    let blobs = call.objects.inner.blobs.clone();
    let (keeping, account) = (blobs.clone(), bucket.account.clone());
    let pin = blocking(move || received.keep(&keeping, account.as_str())).await?;
    let (key, now) = (call.to.key.clone(), call.ctx.now);
    call.ctx
        .commit(grant, move |tx| {
            let existing = find(tx, &bucket.account, &bucket.name, &key)?;
            check_write(if_match.as_deref(), if_none_match.as_deref(), existing.as_ref())?;
            write(tx, &blobs, (&bucket.account, &bucket.name, &key), &stored, existing.as_ref(), now)
        })
        .await?;
    drop(pin);
    let mut reply = Reply::empty(200).with("etag", format!("\"{etag}\""));
    if let Some(checksum) = checksum
        && let Some(algorithm) = checksum.algorithm()
    {
        reply = reply.with("x-amz-checksum-type", checksum.kind()).with(algorithm.header(), checksum.value);
    }
    Ok(reply)
}

/// `CopyObject`: the contents are shared, only the name is new.
pub(crate) async fn copy(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:PutObject")?;
    let source = call.header("x-amz-copy-source").unwrap_or_default();
    let (path, version) = source.split_once('?').unwrap_or((source, ""));
    if !matches!(version, "" | "versionId=null") {
        return Err(fault::no_such_version());
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| fault::invalid_argument("x-amz-copy-source"))?;
    let (from_bucket, from_key) = path
        .trim_start_matches('/')
        .split_once('/')
        .filter(|(_, key)| !key.is_empty())
        .ok_or_else(|| fault::invalid_argument("x-amz-copy-source must be bucket/key"))?;
    let (read, from) = call.objects.permit(call.ctx, "s3:GetObject", from_bucket, Some(from_key), |_| {})?;
    drop(read);
    let found = call.ctx.read(|snapshot| find(snapshot, &from.account, &from.name, from_key))?;
    let object = found.ok_or_else(fault::no_such_key)?;
    check_copy_source(call, &object)?;
    let replace = match call.header("x-amz-metadata-directive") {
        None | Some("COPY") => false,
        Some("REPLACE") => true,
        Some(_) => return Err(fault::invalid_argument("Unknown metadata directive.")),
    };
    let if_match = call.header("if-match").map(str::to_owned);
    let if_none_match = call.header("if-none-match").map(str::to_owned);
    let own = (from.name.as_str(), from_key) == (bucket.name.as_str(), call.to.key.as_str());
    if own && !replace {
        return Err(fault::invalid_request(
            "This copy request would change nothing: source and destination are the same",
        ));
    }
    let given = stored_headers(call)?;
    let headers = if replace { given } else { object.headers.clone() };
    let (from_name, from_key, known) = (from.name, from_key.to_owned(), (object.etag.clone(), object.modified_at));
    let etag = object.etag.clone();
    let (key, now, blobs) = (call.to.key.clone(), call.ctx.now, call.objects.inner.blobs.clone());
    call.ctx
        .commit(grant, move |tx| {
            // The source as it is now: its contents are in use as long as its row stands.
            let source = find(tx, &bucket.account, &from_name, &from_key)?.ok_or_else(fault::no_such_key)?;
            if (&source.etag, source.modified_at) != (&known.0, known.1) {
                return Err(fault::conflict().into());
            }
            let existing = find(tx, &bucket.account, &bucket.name, &key)?;
            check_write(if_match.as_deref(), if_none_match.as_deref(), existing.as_ref())?;
            let Object { size, etag, segments, checksum, .. } = source;
            let stored = Stored { size, etag, segments, headers, checksum };
            write(tx, &blobs, (&bucket.account, &bucket.name, &key), &stored, existing.as_ref(), now)
        })
        .await?;
    let mut document = xml::Document::new("CopyObjectResult");
    document.text("LastModified", now.rfc3339_millis()).text("ETag", format!("\"{etag}\""));
    Ok(Reply::xml(document.finish()))
}
