//! The object store's table, its routing and its error document (control-plane-api 9.1).
//!
//! Written by hand: the operations of the first tier are few, their bodies are streams, and what names an operation is a method
//! together with the presence of a query parameter or a header, which the generated tables cannot say.

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

/// Query parameters that turn a request into another operation than the plain one of its method, and that are not built.
const SUBRESOURCES: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "tagging",
    "torrent",
    "versioning",
    "versions",
    "website",
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

/// Which operation a request asks for. `virtual_bucket` is the bucket named by the host, if it was.
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
    let mut query = Vec::new();
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).map_err(|_| Unroutable::Undecodable)?;
        if !name.starts_with("X-Amz-") {
            query.push((name, decode(value).map_err(|_| Unroutable::Undecodable)?));
        }
    }
    let has = |name: &str| query.iter().any(|(known, _)| known == name);
    let unknown = SUBRESOURCES.iter().any(|name| has(name));
    let name = match (request.method, bucket.is_empty(), key.is_empty()) {
        ("GET", true, true) => "ListBuckets",
        (_, true, _) => "UnknownServiceOperation",
        (_, false, true) if unknown => "UnknownBucketOperation",
        (_, false, false) if unknown => "UnknownObjectOperation",
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
        ("PUT", false, false) if has("uploadId") && request.header("x-amz-copy-source").is_some() => {
            "UnknownObjectOperation"
        }
        ("PUT", false, false) if has("uploadId") => "UploadPart",
        ("PUT", false, false) if request.header("x-amz-copy-source").is_some() => "CopyObject",
        ("PUT", false, false) => "PutObject",
        ("DELETE", false, false) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", false, false) => "DeleteObject",
        ("POST", false, false) if has("uploads") => "CreateMultipartUpload",
        ("POST", false, false) if has("uploadId") => "CompleteMultipartUpload",
        ("POST", false, false) => "UnknownObjectOperation",
        _ => return Err(Unroutable::Method),
    };
    let operation = ServiceId::S3.operation(name).ok_or(Unroutable::Method)?;
    Ok(Addressed { operation, bucket, key, query })
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
            ("GET", "/b", "versioning=", false, "UnknownBucketOperation", "b", ""),
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

    #[test]
    fn the_table_is_sorted() {
        assert!(OPERATIONS.is_sorted_by_key(|operation| operation.name));
    }
}
