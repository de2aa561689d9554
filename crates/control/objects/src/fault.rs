//! The refusals of the object store, by code (control-plane-api 9.1).

use marram_aws_api::ApiError;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident => $code:literal, $status:literal, $message:literal;)*) => {
        $($(#[$doc])* pub(crate) fn $name() -> ApiError { ApiError::new($code, $status, $message) })*
    };
}

refusals! {
    no_such_bucket => "NoSuchBucket", 404, "The specified bucket does not exist";
    no_such_key => "NoSuchKey", 404, "The specified key does not exist.";
    no_such_upload => "NoSuchUpload", 404, "The specified upload does not exist. It may have been completed or aborted.";
    no_such_version => "NoSuchVersion", 404, "The specified version does not exist.";
    no_such_bucket_policy => "NoSuchBucketPolicy", 404, "The bucket policy does not exist";
    bucket_exists => "BucketAlreadyExists", 409, "The requested bucket name is not available.";
    bucket_owned => "BucketAlreadyOwnedByYou", 409, "The bucket exists already and is yours.";
    bucket_not_empty => "BucketNotEmpty", 409, "The bucket you tried to delete is not empty";
    invalid_bucket_name => "InvalidBucketName", 400, "The specified bucket is not valid.";
    invalid_part => "InvalidPart", 400, "One or more of the specified parts could not be found or its entity tag differs.";
    invalid_part_order => "InvalidPartOrder", 400, "The list of parts was not in ascending order.";
    entity_too_small => "EntityTooSmall", 400, "A part other than the last is smaller than the allowed minimum.";
    entity_too_large => "EntityTooLarge", 400, "The object is larger than this endpoint accepts.";
    invalid_range => "InvalidRange", 416, "The requested range is not satisfiable";
    invalid_digest => "InvalidDigest", 400, "The Content-MD5 you specified is not valid.";
    bad_digest => "BadDigest", 400, "The checksum you specified did not match what was received.";
    incomplete_body => "IncompleteBody", 400, "The body ended before the announced length was received.";
    sha256_mismatch => "XAmzContentSHA256Mismatch", 400, "The provided x-amz-content-sha256 does not match what was received.";
    chunk_signature => "SignatureDoesNotMatch", 403, "The signature of a chunk of the body is not the expected one.";
    malformed_xml => "MalformedXML", 400, "The XML you provided was not well-formed or did not have the expected elements";
    method_not_allowed => "MethodNotAllowed", 405, "The specified method is not allowed against this resource.";
    precondition_failed => "PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold";
    conflict => "ConditionalRequestConflict", 409, "The object changed while the request was under way. Please retry.";
    not_modified => "NotModified", 304, "Not modified";
    key_too_long => "KeyTooLongError", 400, "Your key is too long";
    metadata_too_large => "MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size";
    acl_not_supported => "AccessControlListNotSupported", 400, "The bucket does not allow ACLs";
    illegal_location => "IllegalLocationConstraintException", 400,
        "The location constraint is not the region this request was sent to.";
    internal => "InternalError", 500, "We encountered an internal error. Please try again.";
    no_space => "SlowDown", 503, "The store is full. Please try again later.";
}

/// An argument that cannot be.
pub(crate) fn invalid_argument(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidArgument", 400, message)
}

/// A request that contradicts itself.
pub(crate) fn invalid_request(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidRequest", 400, message)
}

/// What is not built.
pub(crate) fn not_implemented(what: &str) -> ApiError {
    ApiError::new("NotImplemented", 501, format!("{what} is not implemented by this endpoint"))
}

/// The file system failed.
pub(crate) fn storage(error: &std::io::Error) -> ApiError {
    tracing::error!(%error, "the object store's files failed");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => no_space(),
        _ => internal(),
    }
}
