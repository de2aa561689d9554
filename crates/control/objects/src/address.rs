//! Which requests are the object store's, and the bucket a host name names.

use marram_http::Head;

/// Path of contents that a bearer of the URL may read.
pub(crate) const SHARED_PREFIX: &str = "/-/shared/";

/// Paths of ours on the same origin, which no bucket is called: what answers there is never a tenant's (SEC-97).
const RESERVED: [&str; 6] = ["console", "favicon.ico", "healthz", "metrics", "mqtt", "robots.txt"];

/// Names in the scope of a signature that clients of the object store write. Behind all but the first there is nothing.
pub(crate) const SERVICES: [&str; 3] = ["s3", "s3express", "s3-object-lambda"];

/// Whether a scope, `key/date/region/service/aws4_request`, is one of the object store's.
fn is_scope(scope: &str) -> bool {
    let service = scope.strip_suffix("/aws4_request").and_then(|rest| rest.rsplit('/').next());
    service.is_some_and(|service| SERVICES.contains(&service))
}

/// Whether a request is for the object store: it is signed for it, it bears a shared URL, or its host names a bucket.
pub(crate) fn claims(head: &Head, hosts: &[String]) -> bool {
    let query = head.uri.query().unwrap_or("");
    let signed = head
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once("Credential=")?.1.split([',', ' ']).next())
        .is_some_and(is_scope);
    signed
        || head.uri.path().starts_with(SHARED_PREFIX)
        || query.split('&').any(|pair| match pair.split_once('=') {
            Some(("X-Amz-Credential", scope)) => is_scope(&scope.replace("%2F", "/").replace("%2f", "/")),
            Some(("AWSAccessKeyId", _)) => true,
            _ => false,
        })
        || virtual_bucket(head, hosts).is_some()
}

/// The bucket in `bucket.host`, where `host` is one of ours and `bucket.host` is not.
pub(crate) fn virtual_bucket<'a>(head: &'a Head, hosts: &[String]) -> Option<&'a str> {
    let host = head.headers.get("host")?.to_str().ok()?;
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if hosts.iter().any(|ours| ours == name) {
        return None;
    }
    hosts.iter().find_map(|base| {
        let bucket = name.strip_suffix(base.as_str())?.strip_suffix('.')?;
        is_bucket_name(bucket).then_some(bucket)
    })
}

/// 3 to 63 of `a-z0-9.-`, letters or digits at the ends, no empty label, not an address (control-plane-api 9.1), and not a
/// path of ours.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !RESERVED.contains(&name)
}
