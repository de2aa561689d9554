//! `CompleteMultipartUpload`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Snapshot, params};
use marram_types::AccountId;
use md5::{Digest, Md5};

use super::{find, forget};
use crate::blob::Segment;
use crate::checksum::{Algorithm, Checksum, Hasher};
use crate::object::{self, Stored};
use crate::reply::Reply;
use crate::service::Call;
use crate::{fault, xml};

/// Smallest part but the last (control-plane-api 9.1).
const MIN_PART: u64 = 5 << 20;

/// A part the caller names.
struct Named {
    number: i64,
    etag: String,
    checksums: Vec<(Algorithm, String)>,
}

/// A part as it was uploaded.
struct Part {
    etag: String,
    segment: Segment,
    checksum: Option<Checksum>,
}

fn named(body: &[u8]) -> Result<Vec<Named>, ApiError> {
    let document = xml::parse(body, "CompleteMultipartUpload")?;
    let mut parts = Vec::new();
    for part in document.all("Part") {
        let number = part.child("PartNumber").and_then(|text| text.trim().parse().ok());
        let etag = part.child("ETag").ok_or_else(fault::malformed_xml)?.trim().trim_matches('"').to_owned();
        let checksums = Algorithm::ALL
            .into_iter()
            .filter_map(|algorithm| Some((algorithm, part.child(algorithm.element())?.to_owned())))
            .collect();
        parts.push(Named { number: number.ok_or_else(fault::malformed_xml)?, etag, checksums });
    }
    if parts.is_empty() {
        return Err(fault::malformed_xml());
    }
    if !parts.windows(2).all(|pair| pair[0].number < pair[1].number) {
        return Err(fault::invalid_part_order());
    }
    Ok(parts)
}

/// The parts as they were uploaded, in the caller's order, each checked against what the caller says of it.
fn assemble(snapshot: &Snapshot<'_>, account: &AccountId, id: &str, wanted: &[Named]) -> Result<Vec<Part>, CallError> {
    let mut parts = Vec::with_capacity(wanted.len());
    for named in wanted {
        let found = snapshot.query_opt(
            "SELECT etag, sha256, size, checksum FROM s3_part WHERE account = $1 AND upload = $2 AND number = $3",
            params![account, id, named.number],
            |row| {
                let size = u64::try_from(row.get::<i64>(2)?).unwrap_or(0);
                let checksum = row.get::<Option<String>>(3)?;
                Ok::<_, CallError>(Part {
                    etag: row.get(0)?,
                    segment: Segment { sha256: row.get(1)?, size },
                    checksum: checksum.and_then(|text| serde_json::from_str(&text).ok()),
                })
            },
        )?;
        let part = found.filter(|part| part.etag == named.etag).ok_or_else(fault::invalid_part)?;
        for (algorithm, value) in &named.checksums {
            let known = part.checksum.as_ref().filter(|known| known.algorithm() == Some(*algorithm));
            if known.is_some_and(|known| known.value != *value) {
                return Err(fault::invalid_part().into());
            }
        }
        parts.push(part);
    }
    if parts.iter().rev().skip(1).any(|part| part.segment.size < MIN_PART) {
        return Err(fault::entity_too_small().into());
    }
    Ok(parts)
}

/// `md5(md5s)-N`.
fn entity_tag(parts: &[Part]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(hex::decode(&part.etag).unwrap_or_default());
    }
    let digest: [u8; 16] = md5.finalize().into();
    format!("{}-{}", hex::encode(digest), parts.len())
}

/// The checksum of the parts' checksums, when every part has one.
fn composite(algorithm: Algorithm, parts: &[Part]) -> Option<Checksum> {
    let mut hasher = Hasher::new(algorithm);
    for part in parts {
        let checksum = part.checksum.as_ref().filter(|known| known.algorithm() == Some(algorithm))?;
        hasher.update(&STANDARD.decode(&checksum.value).ok()?);
    }
    let value = format!("{}-{}", hasher.finish(), parts.len());
    Some(Checksum { algorithm: algorithm.as_str().to_owned(), value, composite: true })
}

/// `CompleteMultipartUpload`: the parts named become the object, the others go.
pub(crate) async fn complete(call: &mut Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:PutObject")?;
    let body = call.document().await?;
    let wanted = named(&body)?;
    let id = call.to.parameter("uploadId").unwrap_or_default().to_owned();
    let (key, now, blobs) = (call.to.key.clone(), call.ctx.now, call.objects.inner.blobs.clone());
    let limit = call.objects.inner.options.max_object;
    let if_match = call.header("if-match").map(str::to_owned);
    let if_none_match = call.header("if-none-match").map(str::to_owned);
    let kind = call.header("x-amz-checksum-type").map(str::to_owned);
    let announced = match call.header("x-amz-mp-object-size") {
        None => None,
        Some(text) => {
            Some(text.parse::<u64>().map_err(|_| fault::invalid_argument("x-amz-mp-object-size is not a size"))?)
        }
    };
    let mut document = xml::Document::new("CompleteMultipartUploadResult");
    document.text("Location", format!("/{}/{key}", bucket.name)).text("Bucket", &bucket.name).text("Key", &key);
    let (etag, checksum) = call
        .ctx
        .commit(grant, move |tx| {
            let upload = find(tx, &bucket.account, &bucket.name, &key, &id)?;
            let parts = assemble(tx, &bucket.account, &id, &wanted)?;
            let size: u64 = parts.iter().map(|part| part.segment.size).sum();
            if size > limit {
                return Err(fault::entity_too_large().into());
            }
            if announced.is_some_and(|announced| announced != size) {
                return Err(fault::invalid_request("x-amz-mp-object-size is not the size of the parts together").into());
            }
            let kept_kind = if upload.full_object { "FULL_OBJECT" } else { "COMPOSITE" };
            if upload.algorithm.is_some() && kind.is_some_and(|kind| kind != kept_kind) {
                return Err(fault::invalid_request("The checksum type is not the one the upload began with.").into());
            }
            let etag = entity_tag(&parts);
            // A checksum of the whole would have to be combined or computed anew; none is better than a wrong one.
            let algorithm = upload.algorithm.filter(|_| !upload.full_object);
            let checksum = algorithm.and_then(|algorithm| composite(algorithm, &parts));
            let segments = parts.into_iter().map(|part| part.segment).filter(|segment| segment.size > 0).collect();
            let stored =
                Stored { size, etag: etag.clone(), segments, headers: upload.headers, checksum: checksum.clone() };
            let existing = object::find(tx, &bucket.account, &bucket.name, &key)?;
            object::check_write(if_match.as_deref(), if_none_match.as_deref(), existing.as_ref())?;
            object::write(tx, &blobs, (&bucket.account, &bucket.name, &key), &stored, existing.as_ref(), now)?;
            forget(tx, &blobs, &bucket.account, &bucket.name, &key, &id)?;
            Ok((etag, checksum))
        })
        .await?;
    document.text("ETag", format!("\"{etag}\""));
    if let Some(checksum) = checksum
        && let Some(algorithm) = checksum.algorithm()
    {
        document.text(algorithm.element(), &checksum.value).text("ChecksumType", checksum.kind());
    }
    Ok(Reply::xml(document.finish()))
}
