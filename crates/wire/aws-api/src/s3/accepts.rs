//! What each built operation of the object store takes notice of: query parameters and headers that change what a request means.
//!
//! S3 says in a query parameter or a header that a request is another operation than its method and path say, or that it is
//! to happen only under a condition. One that is not known here makes the request one that is not built (control-plane-api
//! 9.1): it is refused, and never carried out as if it were not there.

/// Query parameters that say nothing: clients name the operation in it, for logs.
const QUERY_OF_ALL: &[&str] = &["x-id"];

/// Parameters that carry the signature of a presigned URL, checked with it.
const SIGNATURE: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Headers that may come with every operation. The signature's are checked with it. Nothing is charged, so who would pay
/// says nothing. The name of the checksum's algorithm repeats the name of the checksum's header, which is checked where it
/// is one of [`CHECKSUMS`] and refused otherwise. `x-amz-user-agent` is the `User-Agent` of browsers.
const HEADERS_OF_ALL: &[&str] = &[
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-user-agent",
];
/// The account that must own the bucket: every operation on one.
const OWNER: &[&str] = &["x-amz-expected-bucket-owner"];
/// Checksums of the body.
const CHECKSUMS: &[&str] = &[
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];
/// The framing of a body that is sent in chunks.
const CHUNKS: &[&str] = &["x-amz-decoded-content-length", "x-amz-trailer"];
/// A document in chunks. Its checksums are taken from headers, not from trailers.
const DOCUMENT: &[&str] = &["x-amz-decoded-content-length"];
/// Conditions on what is read.
const READ: &[&str] = &["if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"];
/// Conditions on what is overwritten.
const WRITE: &[&str] = &["if-match", "if-none-match"];
/// What is kept with an object, or must say what is the case anyhow; every `x-amz-meta-` too.
const STORED: &[&str] = &[
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-meta-",
    "x-amz-storage-class",
];

/// Query parameters and groups of headers of one operation.
struct Accepts {
    query: &'static [&'static str],
    headers: &'static [&'static [&'static str]],
}

const fn accepts(query: &'static [&'static str], headers: &'static [&'static [&'static str]]) -> Accepts {
    Accepts { query, headers }
}

/// Answers of a read that the request may ask for, and the part or version.
const GET: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "versionId",
];
/// `x-amz-te` says what the client could read besides, as `TE` does.
const GET_HEADERS: &[&[&str]] = &[OWNER, READ, &["x-amz-checksum-mode", "x-amz-te"]];
/// Nothing here is archived, so there is no optional attribute to tell.
const LIST_HEADERS: &[&[&str]] = &[OWNER, &["x-amz-optional-object-attributes"]];

fn of(operation: &str) -> Option<Accepts> {
    Some(match operation {
        "ListBuckets" => accepts(&["bucket-region", "continuation-token", "max-buckets", "prefix"], &[]),
        "CreateBucket" => accepts(
            &[],
            &[
                CHECKSUMS,
                DOCUMENT,
                &[
                    "x-amz-acl",
                    "x-amz-bucket-object-lock-enabled",
                    "x-amz-grant-full-control",
                    "x-amz-grant-read",
                    "x-amz-grant-read-acp",
                    "x-amz-grant-write",
                    "x-amz-grant-write-acp",
                    "x-amz-object-ownership",
                ],
            ],
        ),
        "HeadBucket" | "DeleteBucket" => accepts(&[], &[OWNER]),
        "GetBucketLocation" => accepts(&["location"], &[OWNER]),
        "GetBucketPolicy" | "DeleteBucketPolicy" => accepts(&["policy"], &[OWNER]),
        // No policy is refused for shutting out its writer, so there is nothing to confirm.
        "PutBucketPolicy" => {
            accepts(&["policy"], &[OWNER, CHECKSUMS, DOCUMENT, &["x-amz-confirm-remove-self-bucket-access"]])
        }
        "ListObjects" => accepts(&["delimiter", "encoding-type", "marker", "max-keys", "prefix"], LIST_HEADERS),
        "ListObjectsV2" => accepts(
            &[
                "continuation-token",
                "delimiter",
                "encoding-type",
                "fetch-owner",
                "list-type",
                "max-keys",
                "prefix",
                "start-after",
            ],
            LIST_HEADERS,
        ),
        "ListMultipartUploads" => accepts(
            &["delimiter", "encoding-type", "key-marker", "max-uploads", "prefix", "upload-id-marker", "uploads"],
            &[OWNER],
        ),
        "DeleteObjects" => accepts(&["delete"], &[OWNER, CHECKSUMS, DOCUMENT]),
        "GetObject" | "HeadObject" => accepts(GET, GET_HEADERS),
        "PutObject" => accepts(&[], &[OWNER, CHECKSUMS, CHUNKS, WRITE, STORED]),
        // Nothing has tags, so it is all the same which tags the copy gets.
        "CopyObject" => accepts(
            &[],
            &[
                OWNER,
                WRITE,
                STORED,
                &[
                    "x-amz-copy-source",
                    "x-amz-copy-source-if-match",
                    "x-amz-copy-source-if-modified-since",
                    "x-amz-copy-source-if-none-match",
                    "x-amz-copy-source-if-unmodified-since",
                    "x-amz-metadata-directive",
                    "x-amz-source-expected-bucket-owner",
                    "x-amz-tagging-directive",
                ],
            ],
        ),
        "DeleteObject" => accepts(&["versionId"], &[OWNER, &["if-match"]]),
        "CreateMultipartUpload" => {
            accepts(&["uploads"], &[OWNER, STORED, &["x-amz-checksum-algorithm", "x-amz-checksum-type"]])
        }
        "UploadPart" => accepts(&["partNumber", "uploadId"], &[OWNER, CHECKSUMS, CHUNKS]),
        "CompleteMultipartUpload" => {
            accepts(&["uploadId"], &[OWNER, WRITE, DOCUMENT, &["x-amz-checksum-type", "x-amz-mp-object-size"]])
        }
        "AbortMultipartUpload" => accepts(&["uploadId"], &[OWNER]),
        "ListParts" => accepts(&["max-parts", "part-number-marker", "uploadId"], &[OWNER]),
        _ => return None,
    })
}

/// Whether a query parameter belongs to the signature of a presigned URL.
pub(super) fn is_signature(parameter: &str) -> bool {
    SIGNATURE.iter().any(|name| name.eq_ignore_ascii_case(parameter))
}

/// Whether a header changes what a request means, and so must be known.
fn is_meaningful(header: &str) -> bool {
    header.starts_with("x-amz-") || header.starts_with("if-") || header == "content-range"
}

/// The first query parameter or header that `operation` takes no notice of.
pub(super) fn unknown<'a>(
    operation: &str,
    query: impl Iterator<Item = &'a str>,
    headers: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let known = of(operation);
    let (parameters, groups) = known.as_ref().map_or((&[][..], &[][..]), |known| (known.query, known.headers));
    let mut query = query;
    let mut headers = headers;
    query.find(|name| !parameters.contains(name) && !QUERY_OF_ALL.contains(name)).or_else(|| {
        headers.find(|header| {
            let mut names = groups.iter().chain([&HEADERS_OF_ALL]).flat_map(|group| group.iter());
            let is_known = |name: &&str| *name == *header || (name.ends_with('-') && header.starts_with(*name));
            is_meaningful(header) && !names.any(is_known)
        })
    })
}
