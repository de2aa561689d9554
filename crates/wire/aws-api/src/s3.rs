//! The object store's table, its routing and its error document (control-plane-api 9.1).
//!
//! Written by hand: the operations of the first tier are few, their bodies are streams, and what names an operation is a method
//! together with the presence of a query parameter or a header, which the generated tables cannot say.

mod accepts;

use percent_encoding::percent_decode_str;

use crate::encode::xml::escape;
use crate::message::Request;
use crate::model::{DEFAULT_BODY_LIMIT, Operation, POLICY_BODY_LIMIT};
use crate::service::{Protocol, Service, ServiceId};

/// Namespace of requests and answers.
pub const XML_NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Largest XML body (`CompleteMultipartUpload` with 10,000 parts, `DeleteObjects` with 1,000 keys): 4 MiB.
pub const MAX_XML_BODY: u32 = 4 << 20;

/// The service.
pub static SERVICE: Service = Service {
    id: ServiceId::S3,
    name: "s3",
    protocol: Protocol::RestXml,
    api_version: "2006-03-01",
    signing_names: &["s3"],
    target_prefix: "",
    xml_namespace: XML_NAMESPACE,
    event_source: "s3.amazonaws.com",
    operations: &OPERATIONS,
    errors: &[],
};

/// The header that makes a write a copy.
const COPY_SOURCE: &str = "x-amz-copy-source";

const BUCKET: &str = "/{Bucket}";
const OBJECT: &str = "/{Bucket}/{Key+}";

const fn operation(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    status: u16,
    iam_action: &'static str,
    body_limit: u32,
) -> Operation {
    let read_only = matches!(method.as_bytes(), b"GET" | b"HEAD");
    Operation {
        service: ServiceId::S3,
        name,
        method,
        path,
        status,
        input: None,
        output: None,
        errors: &[],
        read_only,
        iam_action,
        paginated: None,
        body_limit,
        has_shapes: false,
    }
}

/// Sorted by name.
static OPERATIONS: [Operation; 25] = [
    operation("AbortMultipartUpload", "DELETE", OBJECT, 204, "s3:AbortMultipartUpload", DEFAULT_BODY_LIMIT),
    operation("CompleteMultipartUpload", "POST", OBJECT, 200, "s3:PutObject", MAX_XML_BODY),
    operation("CopyObject", "PUT", OBJECT, 200, "s3:PutObject", DEFAULT_BODY_LIMIT),
    operation("CreateBucket", "PUT", BUCKET, 200, "s3:CreateBucket", DEFAULT_BODY_LIMIT),
    operation("CreateMultipartUpload", "POST", OBJECT, 200, "s3:PutObject", DEFAULT_BODY_LIMIT),
    operation("DeleteBucket", "DELETE", BUCKET, 204, "s3:DeleteBucket", DEFAULT_BODY_LIMIT),
    operation("DeleteBucketPolicy", "DELETE", BUCKET, 204, "s3:DeleteBucketPolicy", DEFAULT_BODY_LIMIT),
    operation("DeleteObject", "DELETE", OBJECT, 204, "s3:DeleteObject", DEFAULT_BODY_LIMIT),
    operation("DeleteObjects", "POST", BUCKET, 200, "s3:DeleteObject", MAX_XML_BODY),
    operation("GetBucketLocation", "GET", BUCKET, 200, "s3:GetBucketLocation", DEFAULT_BODY_LIMIT),
    operation("GetBucketPolicy", "GET", BUCKET, 200, "s3:GetBucketPolicy", DEFAULT_BODY_LIMIT),
    operation("GetObject", "GET", OBJECT, 200, "s3:GetObject", DEFAULT_BODY_LIMIT),
    operation("HeadBucket", "HEAD", BUCKET, 200, "s3:ListBucket", DEFAULT_BODY_LIMIT),
    operation("HeadObject", "HEAD", OBJECT, 200, "s3:GetObject", DEFAULT_BODY_LIMIT),
    operation("ListBuckets", "GET", "/", 200, "s3:ListAllMyBuckets", DEFAULT_BODY_LIMIT),
    operation("ListMultipartUploads", "GET", BUCKET, 200, "s3:ListBucketMultipartUploads", DEFAULT_BODY_LIMIT),
    operation("ListObjects", "GET", BUCKET, 200, "s3:ListBucket", DEFAULT_BODY_LIMIT),
    operation("ListObjectsV2", "GET", BUCKET, 200, "s3:ListBucket", DEFAULT_BODY_LIMIT),
    operation("ListParts", "GET", OBJECT, 200, "s3:ListMultipartUploadParts", DEFAULT_BODY_LIMIT),
    operation("PutBucketPolicy", "PUT", BUCKET, 204, "s3:PutBucketPolicy", POLICY_BODY_LIMIT),
    operation("PutObject", "PUT", OBJECT, 200, "s3:PutObject", DEFAULT_BODY_LIMIT),
    operation("UnknownBucketOperation", "POST", BUCKET, 200, "s3:UnknownBucketOperation", DEFAULT_BODY_LIMIT),
    operation("UnknownObjectOperation", "POST", OBJECT, 200, "s3:UnknownObjectOperation", DEFAULT_BODY_LIMIT),
    operation("UnknownServiceOperation", "POST", "/", 200, "s3:UnknownServiceOperation", DEFAULT_BODY_LIMIT),
    operation("UploadPart", "PUT", OBJECT, 200, "s3:PutObject", DEFAULT_BODY_LIMIT),
];

/// A routed request of the object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    /// The operation.
    pub operation: &'static Operation,
    /// Decoded; empty for `ListBuckets`.
    pub bucket: String,
    /// Decoded; empty for operations on buckets.
    pub key: String,
    /// Decoded query parameters in order, those of a presigned URL left out.
    pub query: Vec<(String, String)>,
    /// Headers that a presigned URL carries as query parameters, names in lower case.
    pub hoisted: Vec<(String, String)>,
    /// The query parameter or header for which the operation is an unknown one.
    pub unknown: Option<String>,
}

impl Addressed {
    /// The value of a query parameter; empty when it is there without one.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why a request cannot be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// Path or query are not UTF-8 once decoded.
    #[error("path or query cannot be decoded")]
    Undecodable,
    /// No operation has this method here.
    #[error("the method is not allowed here")]
    Method,
}

/// Which operation a request asks for. `virtual_bucket` is the bucket named by the host, if it was. A request with a query
/// parameter or a header that its operation takes no notice of asks for one that is not built.
///
/// # Errors
/// [`Unroutable`].
pub fn route(request: &Request<'_>, virtual_bucket: Option<&str>) -> Result<Addressed, Unroutable> {
    let decode = |raw: &str| percent_decode_str(raw).decode_utf8().map(|text| text.into_owned());
    let path = request.path.strip_prefix('/').unwrap_or(request.path);
    let (bucket, key) = match virtual_bucket {
        Some(bucket) => (bucket.to_owned(), path),
        None => {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (decode(bucket).map_err(|_| Unroutable::Undecodable)?, key)
        }
    };
    let key = decode(key).map_err(|_| Unroutable::Undecodable)?;
    let (mut query, mut hoisted) = (Vec::new(), Vec::new());
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).map_err(|_| Unroutable::Undecodable)?;
        if accepts::is_signature(&name) {
            continue;
        }
        let value = decode(value).map_err(|_| Unroutable::Undecodable)?;
        match name.to_ascii_lowercase() {
            header if header.starts_with("x-amz-") => hoisted.push((header, value)),
            _ => query.push((name, value)),
        }
    }
    let has = |name: &str| query.iter().any(|(known, _)| known == name);
    let is_copy = request.header(COPY_SOURCE).is_some() || hoisted.iter().any(|(name, _)| name == COPY_SOURCE);
    let plain = match (request.method, bucket.is_empty(), key.is_empty()) {
        ("GET", true, true) => "ListBuckets",
        (_, true, _) => "UnknownServiceOperation",
        ("GET", false, true) if has("location") => "GetBucketLocation",
        ("GET", false, true) if has("policy") => "GetBucketPolicy",
        ("GET", false, true) if has("uploads") => "ListMultipartUploads",
        ("GET", false, true) if query.iter().any(|(key, value)| key == "list-type" && value == "2") => "ListObjectsV2",
        ("GET", false, true) => "ListObjects",
        ("HEAD", false, true) => "HeadBucket",
        ("PUT", false, true) if has("policy") => "PutBucketPolicy",
        ("PUT", false, true) => "CreateBucket",
        ("DELETE", false, true) if has("policy") => "DeleteBucketPolicy",
        ("DELETE", false, true) => "DeleteBucket",
        ("POST", false, true) if has("delete") => "DeleteObjects",
        ("POST", false, true) => "UnknownBucketOperation",
        ("GET", false, false) if has("uploadId") => "ListParts",
        ("GET", false, false) => "GetObject",
        ("HEAD", false, false) => "HeadObject",
        ("PUT", false, false) if has("uploadId") => "UploadPart",
        ("PUT", false, false) if is_copy => "CopyObject",
        ("PUT", false, false) => "PutObject",
        ("DELETE", false, false) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", false, false) => "DeleteObject",
        ("POST", false, false) if has("uploads") => "CreateMultipartUpload",
        ("POST", false, false) if has("uploadId") => "CompleteMultipartUpload",
        ("POST", false, false) => "UnknownObjectOperation",
        _ => return Err(Unroutable::Method),
    };
    let parameters = query.iter().map(|(name, _)| name.as_str());
    let headers = request.headers.iter().map(|(name, _)| *name).chain(hoisted.iter().map(|(name, _)| name.as_str()));
    let unknown = accepts::unknown(plain, parameters, headers).map(str::to_owned);
    let name = match (&unknown, bucket.is_empty(), key.is_empty()) {
        (None, ..) => plain,
        (_, true, _) => "UnknownServiceOperation",
        (_, false, true) => "UnknownBucketOperation",
        (_, false, false) => "UnknownObjectOperation",
    };
    let operation = ServiceId::S3.operation(name).ok_or(Unroutable::Method)?;
    Ok(Addressed { operation, bucket, key, query, hoisted, unknown })
}

/// Appends the `<Error>` document: no namespace, as clients expect.
pub fn error_body(code: &str, message: &str, resource: &str, request_id: &str, out: &mut String) {
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    for (name, text) in [
        ("Code", code),
        ("Message", message),
        ("Resource", resource),
        ("RequestId", request_id),
        ("HostId", request_id),
    ] {
        text_element(name, text, out);
    }
    out.push_str("</Error>");
}

/// Appends `<name>text</name>`, escaped.
pub fn text_element(name: &str, text: &str, out: &mut String) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    escape(text, out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, path: &str, query: &str, copy: bool) -> (&'static str, String, String) {
        let headers: &[(&str, &str)] = if copy { &[("x-amz-copy-source", "/a/b")] } else { &[] };
        let found = route(&Request { method, path, query, headers, body: &[] }, None).unwrap();
        (found.operation.name, found.bucket, found.key)
    }

    /// CP 9.1, 1.7: method, presence-only parameters and headers name the operation; keys keep every slash.
    #[test]
    fn requests_find_their_operation() {
        for (method, path, query, copy, name, bucket, key) in [
            ("GET", "/", "", false, "ListBuckets", "", ""),
            ("GET", "/b", "", false, "ListObjects", "b", ""),
            ("GET", "/b/", "list-type=2&prefix=a%2F", false, "ListObjectsV2", "b", ""),
            ("GET", "/b", "location", false, "GetBucketLocation", "b", ""),
            ("POST", "/b", "delete=", false, "DeleteObjects", "b", ""),
            ("PUT", "/b//x/%C3%A4", "", false, "PutObject", "b", "/x/ä"),
            ("PUT", "/b/k", "", true, "CopyObject", "b", "k"),
            ("PUT", "/b/k", "partNumber=1&uploadId=u", false, "UploadPart", "b", "k"),
            ("GET", "/b/k", "X-Amz-Signature=0&X-Amz-Date=1", false, "GetObject", "b", "k"),
            ("POST", "/b/k", "uploads", false, "CreateMultipartUpload", "b", "k"),
            ("DELETE", "/b/k", "uploadId=u", false, "AbortMultipartUpload", "b", "k"),
        ] {
            assert_eq!(routed(method, path, query, copy), (name, bucket.to_owned(), key.to_owned()), "{path}?{query}");
        }
    }

    /// CP 9.1, 13: what an operation takes no notice of makes it one that is not built, whatever it would have done without.
    #[test]
    fn what_is_not_known_is_not_carried_out() {
        for (method, path, query, headers, wanted) in [
            ("GET", "/b", "versioning=", &[][..], Some("versioning")),
            ("GET", "/b", "list-type=3", &[], Some("list-type")),
            ("DELETE", "/b", "metadataTable", &[], Some("metadataTable")),
            ("PUT", "/b", "abac", &[], Some("abac")),
            ("PUT", "/b/k", "annotation&annotationName=a", &[], Some("annotation")),
            ("DELETE", "/b/k", "tomorrow", &[], Some("tomorrow")),
            ("GET", "/", "max-directory-buckets=1", &[], Some("max-directory-buckets")),
            ("PUT", "/b/k", "uploadId=u&partNumber=1", &[("x-amz-copy-source", "/a/b")], Some("x-amz-copy-source")),
            ("PUT", "/b/k", "X-Amz-Date=1&X-Amz-Write-Offset-Bytes=8", &[], Some("x-amz-write-offset-bytes")),
            ("PUT", "/b/k", "", &[("x-amz-write-offset-bytes", "8")], Some("x-amz-write-offset-bytes")),
            ("PUT", "/b/k", "", &[("x-amz-checksum-sha512", "x")], Some("x-amz-checksum-sha512")),
            ("PUT", "/b/k", "", &[("if-unmodified-since", "x")], Some("if-unmodified-since")),
            ("PUT", "/b/k", "", &[("content-range", "bytes 0-1/2")], Some("content-range")),
            ("PUT", "/b", "", &[("x-amz-expected-bucket-owner", "1")], Some("x-amz-expected-bucket-owner")),
            ("DELETE", "/b/k", "", &[("x-amz-if-match-size", "8")], Some("x-amz-if-match-size")),
            ("PUT", "/b/k", "x-id=PutObject", &[("x-amz-meta-any", "8"), ("x-amz-date", "x")], None),
            ("GET", "/b/k", "versionId=null", &[("if-range", "x"), ("x-forwarded-for", "x")], None),
        ] {
            let found = route(&Request { method, path, query, headers, body: &[] }, None).unwrap();
            assert_eq!(found.unknown.as_deref(), wanted, "{method} {path}?{query} {headers:?}");
            assert_eq!(found.operation.name.starts_with("Unknown"), wanted.is_some(), "{}", found.operation.name);
        }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(OPERATIONS.is_sorted_by_key(|operation| operation.name));
    }
}
