//! Which requests are the object store's, and the bucket a host name names.

use marram_http::Head;

/// Path of contents that a bearer of the URL may read.
pub(crate) const SHARED_PREFIX: &str = "/-/shared/";

/// Whether a request is for the object store: it is signed for it, it bears a shared URL, or its host names a bucket.
pub(crate) fn claims(head: &Head, hosts: &[String]) -> bool {
    let query = head.uri.query().unwrap_or("");
    let signed = head
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("/s3/aws4_request"));
    signed
        || head.uri.path().starts_with(SHARED_PREFIX)
        || query.split('&').any(|pair| match pair.split_once('=') {
            Some(("X-Amz-Credential", scope)) => {
                scope.ends_with("%2Fs3%2Faws4_request") || scope.ends_with("/s3/aws4_request")
            }
            Some(("AWSAccessKeyId", _)) => true,
            _ => false,
        })
        || virtual_bucket(head, hosts).is_some()
}

/// The bucket in `bucket.host`, where `host` is one of ours.
pub(crate) fn virtual_bucket<'a>(head: &'a Head, hosts: &[String]) -> Option<&'a str> {
    let host = head.headers.get("host")?.to_str().ok()?;
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    hosts.iter().find_map(|base| {
        let bucket = name.strip_suffix(base.as_str())?.strip_suffix('.')?;
        is_bucket_name(bucket).then_some(bucket)
    })
}

/// 3 to 63 of `a-z0-9.-`, letters or digits at the ends, no empty label, not an address (control-plane-api 9.1).
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}
