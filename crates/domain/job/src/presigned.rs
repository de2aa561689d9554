//! `${aws:iot:s3-presigned-url:https://..}` in job documents: where they stand and which object they mean (CP 4.7).

use std::ops::Range;

use serde_json::Value;

/// Presigned URLs of one document (CP 4.7).
pub const MAX_PRESIGNED_URLS: usize = 10;
/// How a placeholder begins, up to its variant.
const OPEN: &str = "${aws:iot:s3-presigned-url";
/// What follows: the first form and the second, which differ in nothing here.
const VARIANTS: [&str; 2] = [":", "-v2:"];
/// Longest URL of a placeholder, in bytes: a bucket, a key of 1,024 bytes written with escapes, a host.
const MAX_URL_BYTES: usize = 4096;
/// Longest key of an object, in bytes (CP 9.1).
const MAX_KEY_BYTES: usize = 1024;
/// Domains of the original's object store.
const DOMAINS: [&str; 2] = ["amazonaws.com", "amazonaws.com.cn"];

/// An object in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlace {
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
}

/// A placeholder of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedUrl {
    /// Bytes of the document that the URL replaces.
    pub range: Range<usize>,
    /// Which object is meant.
    pub place: ObjectPlace,
}

/// Why a document's placeholders cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceholderError {
    /// No `}` follows.
    #[error("a placeholder of a presigned URL is not closed")]
    Open,
    /// It names no object.
    #[error("`{0}` is not an https URL of an object in S3, bucket and key")]
    NoObject(String),
    /// There are more than [`MAX_PRESIGNED_URLS`].
    #[error("a job document has at most {MAX_PRESIGNED_URLS} presigned URLs")]
    TooMany,
}

/// The placeholders of a document, in order. `own` is `host:port` of the object store here: documents may name it in place of
/// the original's hosts.
///
/// # Errors
/// [`PlaceholderError`].
pub fn presigned_urls(document: &str, own: Option<&str>) -> Result<Vec<PresignedUrl>, PlaceholderError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = document.get(at..).and_then(|rest| rest.find(OPEN)).map(|offset| at + offset) {
        at = start + OPEN.len();
        let after = &document[at..];
        let Some(raw) = VARIANTS.iter().find_map(|variant| after.strip_prefix(variant)) else { continue };
        let (raw, rest) = raw.split_once('}').ok_or(PlaceholderError::Open)?;
        at = document.len() - rest.len();
        if found.len() == MAX_PRESIGNED_URLS {
            return Err(PlaceholderError::TooMany);
        }
        let place = unescaped(raw).and_then(|url| object_url(&url, own));
        let place = place.ok_or_else(|| PlaceholderError::NoObject(raw.chars().take(128).collect()))?;
        found.push(PresignedUrl { range: start..at, place });
    }
    Ok(found)
}

/// The document with `urls` in place of its placeholders. They hold nothing that JSON escapes.
pub fn with_urls<'u>(document: &str, found: &[PresignedUrl], urls: impl IntoIterator<Item = &'u str>) -> String {
    let mut filled = String::with_capacity(document.len());
    let mut at = 0;
    for (placeholder, url) in found.iter().zip(urls) {
        filled.push_str(document.get(at..placeholder.range.start).unwrap_or_default());
        filled.push_str(url);
        at = placeholder.range.end;
    }
    filled.push_str(document.get(at..).unwrap_or_default());
    filled
}

/// What stands inside a JSON text, as it is meant.
fn unescaped(raw: &str) -> Option<String> {
    if raw.len() > MAX_URL_BYTES {
        return None;
    }
    match serde_json::from_str(&format!("\"{raw}\"")) {
        Ok(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The object an https URL names: `s3.REGION.amazonaws.com/BUCKET/KEY`, `BUCKET.s3.REGION.amazonaws.com/KEY`, or the same
/// below `own`. Nothing for URLs with a query or a fragment: versions are not kept.
pub fn object_url(url: &str, own: Option<&str>) -> Option<ObjectPlace> {
    let rest = url.strip_prefix("https://")?;
    if url.len() > MAX_URL_BYTES || rest.contains(['?', '#', '\\']) || rest.chars().any(char::is_control) {
        return None;
    }
    let (authority, path) = rest.split_once('/')?;
    let authority = authority.to_ascii_lowercase();
    let bucket = match own.map(str::to_ascii_lowercase) {
        Some(own) if authority == own => None,
        Some(own) if authority.ends_with(&format!(".{own}")) => authority.get(..authority.len() - own.len() - 1),
        _ => original(&authority)?,
    };
    let (bucket, key) = match bucket {
        Some(bucket) => (bucket, path),
        None => path.split_once('/')?,
    };
    let key = percent_decoded(key)?;
    let fits = is_bucket(bucket) && !key.is_empty() && key.len() <= MAX_KEY_BYTES;
    fits.then(|| ObjectPlace { bucket: bucket.to_owned(), key })
}

/// The bucket in a host of the original's object store; `None` inside when the path names it.
fn original(host: &str) -> Option<Option<&str>> {
    let host = DOMAINS.iter().find_map(|domain| host.strip_suffix(domain)?.strip_suffix('.'))?;
    let labels: Vec<&str> = host.split('.').collect();
    // `s3`, `s3-REGION`, `s3.REGION`, `s3.dualstack.REGION`, behind the bucket's own labels.
    let service = labels.iter().rposition(|label| *label == "s3" || label.starts_with("s3-"))?;
    let behind = labels.get(service + 1..)?;
    let regional = match behind {
        [] => true,
        [region] => is_label(region),
        [dual, region] => *dual == "dualstack" && is_label(region),
        _ => false,
    };
    let bucket = labels.get(..service)?.iter().map(|label| label.len() + 1).sum::<usize>();
    regional.then(|| if bucket == 0 { None } else { host.get(..bucket - 1) })
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// 3 to 63 of `a-z0-9.-` (CP 9.1); the object store knows the finer rules.
fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

/// `%41` is `A`; a `%` that begins no escape stands for itself. Nothing when the bytes are no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%').then(|| tail.get(..2)).flatten().and_then(|digits| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
        });
        match escape {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 4.7: both ways of addressing, every spelling of the host, our own; nothing that is no object.
    #[test]
    fn urls_name_objects() {
        let own = Some("plant.example:8443");
        for (url, wanted) in [
            ("https://s3.amazonaws.com/parts/a.bin", Some(("parts", "a.bin"))),
            ("https://s3.eu-central-1.amazonaws.com/parts/dir/a.bin", Some(("parts", "dir/a.bin"))),
            ("https://s3-us-west-2.amazonaws.com/parts/a", Some(("parts", "a"))),
            ("https://s3.dualstack.us-west-2.amazonaws.com/parts/a", Some(("parts", "a"))),
            ("https://s3.cn-north-1.amazonaws.com.cn/parts/a", Some(("parts", "a"))),
            ("https://parts.s3.eu-west-1.amazonaws.com/dir/a%20b", Some(("parts", "dir/a b"))),
            ("https://my.parts.s3.amazonaws.com/100%/a b", Some(("my.parts", "100%/a b"))),
            ("https://PLANT.example:8443/parts/a", Some(("parts", "a"))),
            ("https://parts.plant.example:8443/a", Some(("parts", "a"))),
            ("http://s3.amazonaws.com/parts/a", None),
            ("https://plant.example/parts/a", None),
            ("https://evil.example/parts/a", None),
            ("https://s3.amazonaws.com.evil.example/parts/a", None),
            ("https://s3.amazonaws.com@evil.example/parts/a", None),
            ("https://xs3.eu-west-1.amazonaws.com/parts/a", None),
            ("https://s3.a.b.c.amazonaws.com/parts/a", None),
            ("https://s3.amazonaws.com/parts", None),
            ("https://s3.amazonaws.com/parts/", None),
            ("https://s3.amazonaws.com/p/a", None),
            ("https://s3.amazonaws.com/Parts/a", None),
            ("https://s3.amazonaws.com/parts/a?versionId=1", None),
            ("https://s3.amazonaws.com/parts/%ff", None),
        ] {
            let place = object_url(url, own);
            assert_eq!(place.as_ref().map(|place| (place.bucket.as_str(), place.key.as_str())), wanted, "{url}");
        }
    }

    /// CP 4.7: each placeholder becomes a URL, everything around it stays, escapes of JSON are understood.
    #[test]
    fn placeholders_are_replaced() {
        let document = r#"{"a":"x ${aws:iot:s3-presigned-url:https:\/\/s3.amazonaws.com\/parts\/ö} y","b":
            ["${aws:iot:s3-presigned-url-v2:https://parts.s3.eu-west-1.amazonaws.com/b}"],"c":"${aws:iot:s3-presigned-urls}"}"#;
        let found = presigned_urls(document, None).unwrap();
        let keys: Vec<&str> = found.iter().map(|one| one.place.key.as_str()).collect();
        assert_eq!(keys, ["ö", "b"]);
        let filled = with_urls(document, &found, ["https://1", "https://2"]);
        let value: Value = serde_json::from_str(&filled).unwrap();
        assert_eq!(value["a"], "x https://1 y");
        assert_eq!(value["b"][0], "https://2");
        assert_eq!(value["c"], "${aws:iot:s3-presigned-urls}", "no placeholder of ours");
    }

    /// CP 4.7: ten a document; what is not closed or names nothing is said.
    #[test]
    fn wrong_placeholders_are_refused() {
        let one = "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/parts/a}";
        assert_eq!(presigned_urls(&one.repeat(10), None).unwrap().len(), 10);
        assert_eq!(presigned_urls(&one.repeat(11), None), Err(PlaceholderError::TooMany));
        assert_eq!(presigned_urls("${aws:iot:s3-presigned-url:https://s3", None), Err(PlaceholderError::Open));
        for url in ["", "parts/a", "https://s3.amazonaws.com/\\u00zz/a"] {
            let error = presigned_urls(&format!("${{aws:iot:s3-presigned-url:{url}}}"), None).unwrap_err();
            assert_eq!(error, PlaceholderError::NoObject(url.to_owned()));
        }
    }
}
