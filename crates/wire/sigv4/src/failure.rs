//! Why a request was not authenticated, and how each protocol says so.
//!
//! The outward text never holds the canonical request, the secret, or whether a key exists somewhere else.
//! Source: control-plane-api.md section 2.7.

/// Why a signature, or the absence of one, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthFailure {
    /// No credentials at all.
    #[error("request is missing an authentication token")]
    Missing,
    /// Credentials that cannot be read; the text says which part.
    #[error("authentication data is malformed: {0}")]
    Malformed(&'static str),
    /// A Signature Version 2 query string, as some S3 clients make by default.
    #[error("signature version 2 is not supported, use s3v4")]
    LegacySignature,
    /// `AWS4-ECDSA-P256-SHA256` or another algorithm that is not served.
    #[error("signature algorithm is not supported")]
    UnsupportedAlgorithm,
    /// The key id is not one of ours.
    #[error("access key id is unknown")]
    UnknownKey,
    /// The signature does not belong to the request.
    #[error("signature does not match")]
    SignatureMismatch,
    /// A header that changes meaning was sent but not signed.
    #[error("header `{0}` is not signed")]
    UnsignedHeader(String),
    /// `UNSIGNED-PAYLOAD` or a streaming literal where the body must be signed.
    #[error("the payload must be signed")]
    UnsignedPayload,
    /// S3 requests must carry `x-amz-content-sha256`.
    #[error("header `x-amz-content-sha256` is missing")]
    MissingContentSha256,
    /// The session behind the token has ended.
    #[error("security token has expired")]
    TokenExpired,
    /// The token is missing, not ours, revoked, or belongs to another key.
    #[error("security token is not valid")]
    TokenInvalid,
    /// The signing time is too far in the past.
    #[error("signature of {signed} is too old at {now}")]
    Expired {
        /// When the request says it was signed.
        signed: String,
        /// The server's time.
        now: String,
        /// Allowed distance in minutes.
        minutes: i64,
    },
    /// The signing time is too far in the future.
    #[error("signature of {signed} is in the future at {now}")]
    NotYetValid {
        /// When the request says it was signed.
        signed: String,
        /// The server's time.
        now: String,
        /// Allowed distance in minutes.
        minutes: i64,
    },
    /// A presigned URL after its `X-Amz-Expires`.
    #[error("presigned request has expired")]
    PresignExpired,
    /// The body is not the one that was signed.
    #[error("body does not match its signed hash")]
    BodyMismatch,
    /// The peer has failed too often of late.
    #[error("too many failed attempts")]
    TooManyFailures,
    /// Signed for another region.
    #[error("credential is scoped to another region than `{expected}`")]
    WrongRegion {
        /// The region served here.
        expected: String,
    },
    /// Signed for another service.
    #[error("credential is scoped to another service than `{expected}`")]
    WrongService {
        /// The signing name served here.
        expected: String,
    },
}

/// Which family of error codes the client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorStyle {
    /// `json` 1.0 and 1.1.
    Json,
    /// `rest-json`, and HTTP planes without a model.
    RestJson,
    /// `query` (STS, IAM).
    Query,
    /// `rest-xml` of S3.
    S3,
}

/// What goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Error code in the spelling of the protocol.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Text for a person.
    pub message: String,
}

const MISMATCH: &str = "The signature of this request is not the one expected for these credentials. \
    Check the secret access key and how the request was signed.";
const BAD_TOKEN: &str = "The security token included in the request is invalid.";
const EXPIRED_TOKEN: &str = "The security token included in the request is expired";

impl AuthFailure {
    /// Code, status and text of this failure for one protocol.
    pub fn refusal(&self, style: ErrorStyle) -> Refusal {
        let (code, status) = self.code_and_status(style);
        Refusal { code, status, message: self.outward_text() }
    }

    fn code_and_status(&self, style: ErrorStyle) -> (&'static str, u16) {
        use ErrorStyle::{Json, Query, RestJson, S3};
        // The json rows answer 400 where rest-json answers 403.
        let json_status = if style == Json { 400 } else { 403 };
        match self {
            AuthFailure::Missing => match style {
                Json | RestJson => ("MissingAuthenticationTokenException", 403),
                Query => ("MissingAuthenticationToken", 403),
                S3 => ("AccessDenied", 403),
            },
            AuthFailure::Malformed(_) => match style {
                Json | RestJson => ("IncompleteSignatureException", json_status),
                Query => ("IncompleteSignature", 400),
                S3 => ("AuthorizationHeaderMalformed", 400),
            },
            AuthFailure::LegacySignature => match style {
                Json | RestJson => ("IncompleteSignatureException", json_status),
                Query => ("IncompleteSignature", 400),
                S3 => ("InvalidRequest", 400),
            },
            AuthFailure::UnsupportedAlgorithm => match style {
                Json | RestJson => ("IncompleteSignatureException", json_status),
                Query => ("IncompleteSignature", 400),
                S3 => ("NotImplemented", 501),
            },
            AuthFailure::UnknownKey => match style {
                Json | RestJson => ("UnrecognizedClientException", json_status),
                Query => ("InvalidClientTokenId", 403),
                S3 => ("InvalidAccessKeyId", 403),
            },
            AuthFailure::SignatureMismatch => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query | S3 => ("SignatureDoesNotMatch", 403),
            },
            AuthFailure::UnsignedHeader(_) => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query => ("SignatureDoesNotMatch", 403),
                S3 => ("AccessDenied", 403),
            },
            AuthFailure::UnsignedPayload => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query => ("SignatureDoesNotMatch", 403),
                S3 => ("XAmzContentSHA256Mismatch", 400),
            },
            AuthFailure::MissingContentSha256 => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query => ("SignatureDoesNotMatch", 403),
                S3 => ("InvalidRequest", 400),
            },
            AuthFailure::TokenExpired => match style {
                Json | RestJson => ("ExpiredTokenException", json_status),
                Query => ("ExpiredToken", 403),
                S3 => ("ExpiredToken", 400),
            },
            AuthFailure::TokenInvalid => match style {
                Json | RestJson => ("UnrecognizedClientException", json_status),
                Query => ("InvalidClientTokenId", 403),
                S3 => ("InvalidToken", 400),
            },
            AuthFailure::Expired { .. } | AuthFailure::NotYetValid { .. } => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query => ("SignatureDoesNotMatch", 403),
                S3 => ("RequestTimeTooSkewed", 403),
            },
            AuthFailure::PresignExpired => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query => ("RequestExpired", 400),
                S3 => ("AccessDenied", 403),
            },
            AuthFailure::BodyMismatch => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query => ("SignatureDoesNotMatch", 403),
                S3 => ("XAmzContentSHA256Mismatch", 400),
            },
            AuthFailure::TooManyFailures => match style {
                Json => ("ThrottlingException", 400),
                RestJson => ("ThrottlingException", 429),
                Query => ("Throttling", 400),
                S3 => ("SlowDown", 503),
            },
            AuthFailure::WrongRegion { .. } | AuthFailure::WrongService { .. } => match style {
                Json | RestJson => ("InvalidSignatureException", json_status),
                Query => ("SignatureDoesNotMatch", 403),
                S3 => ("AuthorizationHeaderMalformed", 400),
            },
        }
    }

    fn outward_text(&self) -> String {
        match self {
            AuthFailure::Missing => "Missing Authentication Token".to_owned(),
            AuthFailure::Malformed(part) => format!("The authentication data of the request is malformed: {part}."),
            AuthFailure::LegacySignature => {
                "Signature version 2 is not accepted. Configure the client with signature_version s3v4.".to_owned()
            }
            AuthFailure::UnsupportedAlgorithm => "The signature algorithm is not supported.".to_owned(),
            AuthFailure::UnknownKey | AuthFailure::TokenInvalid => BAD_TOKEN.to_owned(),
            AuthFailure::SignatureMismatch => MISMATCH.to_owned(),
            AuthFailure::UnsignedHeader(name) => {
                format!("There were headers present in the request which were not signed: {name}")
            }
            AuthFailure::UnsignedPayload => "The payload of this operation must be signed.".to_owned(),
            AuthFailure::MissingContentSha256 => {
                "Missing required header for this request: x-amz-content-sha256".to_owned()
            }
            AuthFailure::TokenExpired => EXPIRED_TOKEN.to_owned(),
            AuthFailure::Expired { signed, now, minutes } => {
                format!("Signature expired: {signed} is now earlier than {now} minus {minutes} min.")
            }
            AuthFailure::NotYetValid { signed, now, minutes } => {
                format!("Signature not yet current: {signed} is still later than {now} plus {minutes} min.")
            }
            AuthFailure::PresignExpired => "Request has expired".to_owned(),
            AuthFailure::BodyMismatch => "The body of the request does not match its signed SHA-256.".to_owned(),
            AuthFailure::TooManyFailures => "Rate exceeded".to_owned(),
            AuthFailure::WrongRegion { expected } => {
                format!("Credential should be scoped to a valid region, '{expected}'.")
            }
            AuthFailure::WrongService { expected } => {
                format!("Credential should be scoped to correct service: '{expected}'.")
            }
        }
    }
}
