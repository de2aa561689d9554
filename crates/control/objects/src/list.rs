//! `ListObjects` and `ListObjectsV2`: keys in byte order, gathered below a delimiter (control-plane-api 9.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Snapshot, params};
use marram_types::{AccountId, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::checksum::Checksum;
use crate::reply::Reply;
use crate::service::Call;
use crate::{fault, xml};

/// Most entries of a page.
pub(crate) const MAX_KEYS: usize = 1000;
/// Rows read at a time.
const BATCH: i64 = 256;
/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'*');

/// A line of a listing.
enum Entry {
    Key { key: String, size: i64, etag: String, modified: Timestamp, checksum: Option<Checksum> },
    Prefix(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Entry::Key { key, .. } => key,
            Entry::Prefix(prefix) => prefix,
        }
    }
}

/// The smallest text behind every text that begins with `prefix`; `None` when there is none.
pub(crate) fn behind(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            char::MAX => continue,
            '\u{d7ff}' => '\u{e000}',
            c => char::from_u32(c as u32 + 1).unwrap_or(char::MAX),
        };
        chars.push(next);
        return Some(chars.into_iter().collect());
    }
    None
}

/// How names are written in the answer.
pub(crate) fn encoding(call: &Call<'_>) -> Result<bool, ApiError> {
    match call.to.parameter("encoding-type") {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(_) => Err(fault::invalid_argument("Invalid Encoding Method specified in Request")),
    }
}

pub(crate) fn encoded(name: &str, url: bool) -> String {
    if url { utf8_percent_encode(name, PLAIN).to_string() } else { name.to_owned() }
}

pub(crate) fn page_size(call: &Call<'_>, parameter: &str) -> Result<usize, ApiError> {
    match call.to.parameter(parameter) {
        None | Some("") => Ok(MAX_KEYS),
        Some(text) => text.parse::<usize>().map(|count| count.min(MAX_KEYS)).map_err(|_| {
            fault::invalid_argument(format!("Provided {parameter} not an integer or within integer range"))
        }),
    }
}

/// `ListObjects` and `ListObjectsV2`.
pub(crate) fn objects(call: &Call<'_>) -> Result<Reply, ApiError> {
    let to = call.to;
    let second = to.operation.name == "ListObjectsV2";
    let prefix = to.parameter("prefix").unwrap_or("");
    let delimiter = to.parameter("delimiter").unwrap_or("");
    let limit = page_size(call, "max-keys")?;
    let url = encoding(call)?;
    let (grant, bucket) = call.objects.permit(call.ctx, "s3:ListBucket", &to.bucket, None, |conditions| {
        conditions.set("s3:prefix", prefix).set("s3:delimiter", delimiter).set("s3:max-keys", limit.to_string());
    })?;
    drop(grant);
    let token = to.parameter("continuation-token").filter(|token| !token.is_empty());
    let after = match (second, token) {
        (true, Some(token)) => URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| fault::invalid_argument("The continuation token provided is incorrect"))?,
        (true, None) => to.parameter("start-after").unwrap_or("").to_owned(),
        (false, _) => to.parameter("marker").unwrap_or("").to_owned(),
    };
    let mut entries = call
        .ctx
        .read(|snapshot| collect(snapshot, &bucket.account, &bucket.name, prefix, delimiter, &after, limit + 1))?;
    let truncated = limit > 0 && entries.len() > limit;
    entries.truncate(limit);
    let last = entries.last().map(|entry| entry.name().to_owned()).filter(|_| truncated);

    let mut document = xml::Document::new("ListBucketResult");
    document.text("Name", &bucket.name).text("Prefix", encoded(prefix, url));
    if !delimiter.is_empty() {
        document.text("Delimiter", encoded(delimiter, url));
    }
    document.value("MaxKeys", limit).value("IsTruncated", truncated);
    if url {
        document.text("EncodingType", "url");
    }
    if second {
        document.value("KeyCount", entries.len());
        if let Some(token) = token {
            document.text("ContinuationToken", token);
        }
        if let Some(start) = to.parameter("start-after") {
            document.text("StartAfter", encoded(start, url));
        }
        if let Some(last) = &last {
            document.text("NextContinuationToken", URL_SAFE_NO_PAD.encode(last));
        }
    } else {
        document.text("Marker", encoded(&after, url));
        if let Some(last) = last.filter(|_| !delimiter.is_empty()) {
            document.text("NextMarker", encoded(&last, url));
        }
    }
    let fetch_owner = !second || to.parameter("fetch-owner") == Some("true");
    for entry in &entries {
        let Entry::Key { key, size, etag, modified, checksum } = entry else { continue };
        document.open("Contents").text("Key", encoded(key, url)).text("LastModified", modified.rfc3339_millis());
        document.text("ETag", format!("\"{etag}\""));
        if let Some(checksum) = checksum {
            document.text("ChecksumAlgorithm", &checksum.algorithm).text("ChecksumType", checksum.kind());
        }
        document.value("Size", size).text("StorageClass", "STANDARD");
        if fetch_owner {
            document.open("Owner").text("ID", bucket.account.as_str()).close();
        }
        document.close();
    }
    for entry in &entries {
        if let Entry::Prefix(prefix) = entry {
            document.open("CommonPrefixes").text("Prefix", encoded(prefix, url)).close();
        }
    }
    Ok(Reply::xml(document.finish()))
}

/// At most `limit` entries behind `after`. What shares a prefix up to the delimiter is passed over in one step, so a page
/// costs as many steps as it has entries.
fn collect(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    bucket: &str,
    prefix: &str,
    delimiter: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Entry>, CallError> {
    let end = behind(prefix);
    let mut entries: Vec<Entry> = Vec::new();
    // Names at or behind `from` are next; a position that is itself a common prefix has been told with all below it.
    let gathered = |name: &str| !delimiter.is_empty() && name.ends_with(delimiter) && name.len() > prefix.len();
    let mut from = match after {
        "" => prefix.to_owned(),
        after if gathered(after) && after.starts_with(prefix) => match behind(after) {
            Some(next) => next,
            None => return Ok(entries),
        },
        after => format!("{after}\0"),
    };
    if from.as_str() < prefix {
        from = prefix.to_owned();
    }
    'pages: loop {
        let mut rows = Vec::new();
        snapshot.query_each(
            "SELECT key, size, etag, modified_at, checksum FROM s3_object
             WHERE account = $1 AND bucket = $2 AND key >= $3 AND ($4 IS NULL OR key < $4) ORDER BY key LIMIT $5",
            params![account, bucket, from, end, BATCH],
            |row| {
                rows.push(Entry::Key {
                    key: row.get(0)?,
                    size: row.get(1)?,
                    etag: row.get(2)?,
                    modified: row.get(3)?,
                    checksum: row.get::<Option<String>>(4)?.and_then(|text| serde_json::from_str(&text).ok()),
                });
                Ok::<_, CallError>(true)
            },
        )?;
        let full = i64::try_from(rows.len()).unwrap_or(BATCH) == BATCH;
        for entry in rows {
            if entries.len() == limit {
                return Ok(entries);
            }
            let rest = entry.name().get(prefix.len()..).unwrap_or("");
            let cut = if delimiter.is_empty() { None } else { rest.find(delimiter) };
            match cut {
                Some(cut) => {
                    let common = entry.name()[..prefix.len() + cut + delimiter.len()].to_owned();
                    let next = behind(&common);
                    entries.push(Entry::Prefix(common));
                    match next {
                        Some(next) => from = next,
                        None => return Ok(entries),
                    }
                    continue 'pages;
                }
                None => {
                    from = format!("{}\0", entry.name());
                    entries.push(entry);
                }
            }
        }
        if !full {
            return Ok(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 9.1: the end of a prefix in byte order, over the gap of the surrogates and the last character.
    #[test]
    fn the_end_of_a_prefix() {
        for (prefix, wanted) in [
            ("a/", Some("a0")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(behind(prefix).as_deref(), wanted, "{prefix:?}");
        }
    }
}
