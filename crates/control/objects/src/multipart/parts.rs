//! `UploadPart`, `ListParts` and `ListMultipartUploads`.

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::params;
use marram_types::Timestamp;

use super::{MAX_PARTS, find};
use crate::blob::{Segment, add_uses, drop_uses};
use crate::checksum::Checksum;
use crate::list::{behind, encoded, encoding, page_size};
use crate::object::column;
use crate::receive::blocking;
use crate::reply::Reply;
use crate::service::Call;
use crate::{fault, xml};

/// `UploadPart`: the same number again replaces the part.
pub(crate) async fn upload_part(call: &mut Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:PutObject")?;
    let number = call.to.parameter("partNumber").and_then(|text| text.parse::<i64>().ok());
    let number = number.filter(|number| (1..=MAX_PARTS).contains(number));
    let number = number.ok_or_else(|| fault::invalid_argument("Part number must be an integer between 1 and 10000"))?;
    let id = call.to.parameter("uploadId").unwrap_or_default().to_owned();
    let key = call.to.key.clone();
    let upload = call.ctx.read(|snapshot| find(snapshot, &bucket.account, &bucket.name, &key, &id))?;
    let wanted = upload.algorithm.into_iter().collect();
    let received = call.receive(wanted, call.objects.inner.options.max_object).await?;
    let etag = hex::encode(received.md5);
    let checksum = received.checksums.first().map(|(algorithm, value)| Checksum {
        algorithm: algorithm.as_str().to_owned(),
        value: value.clone(),
        composite: false,
    });
    let segment = Segment { sha256: received.sha256.clone(), size: received.size };
    let mut reply = Reply::empty(200).with("etag", format!("\"{etag}\""));
    if let Some(checksum) = &checksum
        && let Some(algorithm) = checksum.algorithm()
    {
        reply = reply.with(algorithm.header(), &checksum.value);
    }
    let blobs = call.objects.inner.blobs.clone();
    let (keeping, account) = (blobs.clone(), bucket.account.clone());
    let pin = blocking(move || received.keep(&keeping, account.as_str())).await?;
    let now = call.ctx.now;
    call.ctx
        .commit(grant, move |tx| {
            find(tx, &bucket.account, &bucket.name, &key, &id)?;
            let old = tx.query_opt(
                "SELECT sha256, size FROM s3_part WHERE account = $1 AND upload = $2 AND number = $3",
                params![bucket.account, id, number],
                |row| {
                    let size = u64::try_from(row.get::<i64>(1)?).unwrap_or(0);
                    Ok::<_, CallError>(Segment { sha256: row.get(0)?, size })
                },
            )?;
            if segment.size > 0 {
                add_uses(tx, &bucket.account, std::slice::from_ref(&segment))?;
            }
            if let Some(old) = old.filter(|old| old.size > 0) {
                drop_uses(tx, &blobs, &bucket.account, &[old])?;
            }
            tx.execute(
                "INSERT INTO s3_part (account, upload, number, size, etag, sha256, checksum, modified_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (account, upload, number) DO UPDATE SET size = excluded.size, etag = excluded.etag,
                 sha256 = excluded.sha256, checksum = excluded.checksum, modified_at = excluded.modified_at",
                params![
                    bucket.account,
                    id,
                    number,
                    i64::try_from(segment.size).unwrap_or(i64::MAX),
                    etag,
                    segment.sha256,
                    checksum.as_ref().map(column),
                    now
                ],
            )?;
            Ok(())
        })
        .await?;
    drop(pin);
    Ok(reply)
}

/// `ListParts`.
pub(crate) fn list_parts(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:ListMultipartUploadParts")?;
    drop(grant);
    let id = call.to.parameter("uploadId").unwrap_or_default();
    let limit = page_size(call, "max-parts")?;
    let after = match call.to.parameter("part-number-marker") {
        None | Some("") => 0,
        Some(text) => text.parse::<i64>().map_err(|_| fault::invalid_argument("part-number-marker"))?,
    };
    let (upload, mut parts) = call.ctx.read(|snapshot| {
        let upload = find(snapshot, &bucket.account, &bucket.name, &call.to.key, id)?;
        let parts = snapshot.query_all(
            "SELECT number, size, etag, checksum, modified_at FROM s3_part
             WHERE account = $1 AND upload = $2 AND number > $3 ORDER BY number LIMIT $4",
            params![bucket.account, id, after, i64::try_from(limit).unwrap_or(1000) + 1],
            |row| {
                let checksum = row.get::<Option<String>>(3)?;
                let checksum = checksum.and_then(|text| serde_json::from_str::<Checksum>(&text).ok());
                let number: i64 = row.get(0)?;
                Ok::<_, CallError>((
                    number,
                    row.get::<i64>(1)?,
                    row.get::<String>(2)?,
                    checksum,
                    row.get::<Timestamp>(4)?,
                ))
            },
        )?;
        Ok::<_, CallError>((upload, parts))
    })?;
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    let mut document = xml::Document::new("ListPartsResult");
    document.text("Bucket", &bucket.name).text("Key", &call.to.key).text("UploadId", id);
    document.value("PartNumberMarker", after).value("MaxParts", limit).value("IsTruncated", truncated);
    if let Some((number, ..)) = parts.last().filter(|_| truncated) {
        document.value("NextPartNumberMarker", number);
    }
    document.open("Owner").text("ID", bucket.account.as_str()).close().text("StorageClass", "STANDARD");
    if let Some(algorithm) = upload.algorithm {
        document.text("ChecksumAlgorithm", algorithm.as_str());
    }
    for (number, size, etag, checksum, modified) in parts {
        document.open("Part").value("PartNumber", number).text("LastModified", modified.rfc3339_millis());
        document.text("ETag", format!("\"{etag}\"")).value("Size", size);
        if let Some(checksum) = checksum
            && let Some(algorithm) = checksum.algorithm()
        {
            document.text(algorithm.element(), checksum.value);
        }
        document.close();
    }
    Ok(Reply::xml(document.finish()))
}

/// `ListMultipartUploads`.
pub(crate) fn list_uploads(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:ListBucketMultipartUploads")?;
    drop(grant);
    let to = call.to;
    if to.parameter("delimiter").is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(fault::not_implemented("delimiter in a list of uploads"));
    }
    let limit = page_size(call, "max-uploads")?;
    let url = encoding(call)?;
    let prefix = to.parameter("prefix").unwrap_or("");
    let key_marker = to.parameter("key-marker").unwrap_or("");
    // Without an upload's id, every upload of the marker's key has been told.
    let id_marker = match to.parameter("upload-id-marker") {
        None | Some("") if !key_marker.is_empty() => "\u{10ffff}",
        None => "",
        Some(id) => id,
    };
    let mut uploads = call.ctx.read(|snapshot| {
        snapshot.query_all(
            "SELECT key, id, created_at, initiator FROM s3_upload
             WHERE account = $1 AND bucket = $2 AND key >= $3 AND ($4 IS NULL OR key < $4)
             AND (key > $5 OR (key = $5 AND id > $6)) ORDER BY key, id LIMIT $7",
            params![
                bucket.account,
                bucket.name,
                prefix,
                behind(prefix),
                key_marker,
                id_marker,
                i64::try_from(limit).unwrap_or(1000) + 1
            ],
            |row| {
                let key: String = row.get(0)?;
                Ok::<_, CallError>((key, row.get::<String>(1)?, row.get::<Timestamp>(2)?, row.get::<String>(3)?))
            },
        )
    })?;
    let truncated = uploads.len() > limit;
    uploads.truncate(limit);
    let mut document = xml::Document::new("ListMultipartUploadsResult");
    document.text("Bucket", &bucket.name).text("KeyMarker", encoded(key_marker, url));
    document.text("UploadIdMarker", to.parameter("upload-id-marker").unwrap_or(""));
    document.text("Prefix", encoded(prefix, url)).value("MaxUploads", limit).value("IsTruncated", truncated);
    if url {
        document.text("EncodingType", "url");
    }
    if let Some((key, id, ..)) = uploads.last().filter(|_| truncated) {
        document.text("NextKeyMarker", encoded(key, url)).text("NextUploadIdMarker", id);
    }
    for (key, id, created, initiator) in &uploads {
        document.open("Upload").text("Key", encoded(key, url)).text("UploadId", id);
        document.open("Initiator").text("ID", initiator).close();
        document.open("Owner").text("ID", bucket.account.as_str()).close();
        document.text("StorageClass", "STANDARD").text("Initiated", created.rfc3339_millis()).close();
    }
    Ok(Reply::xml(document.finish()))
}
