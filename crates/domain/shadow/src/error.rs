//! Why a request about a shadow is refused, with the texts clients know (control-plane-api.md section 5.7).

/// A refused request. Its text is the `message` of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShadowError {
    /// 400: not a JSON object.
    #[error("Invalid JSON")]
    InvalidJson,
    /// 400: no `state`.
    #[error("Missing required node: state")]
    MissingState,
    /// 400.
    #[error("State node must be an object")]
    StateNotObject,
    /// 400.
    #[error("Desired node must be an object")]
    DesiredNotObject,
    /// 400.
    #[error("Reported node must be an object")]
    ReportedNotObject,
    /// 400: `version` is not a positive integer.
    #[error("Invalid version")]
    InvalidVersion,
    /// 400: `clientToken` is not a text of at most 64 bytes.
    #[error("Invalid clientToken")]
    InvalidClientToken,
    /// 400.
    #[error("JSON contains too many levels of nesting; maximum is {maximum}")]
    TooDeep {
        /// Levels allowed.
        maximum: usize,
    },
    /// 400: something else than `desired` and `reported` under `state`, or `null` inside an array.
    #[error("State contains an invalid node")]
    InvalidNode,
    /// 404: no such shadow; named as it was asked for.
    #[error("No shadow exists with name: '{name}'")]
    NotFound {
        /// Thing name, or `thing~shadow`.
        name: String,
    },
    /// 409: `version` is not the current one.
    #[error("Version conflict")]
    VersionConflict,
    /// 413.
    #[error("The payload exceeds the maximum size allowed")]
    TooLarge,
    /// 415.
    #[error("Unsupported documented encoding; supported encoding is UTF-8")]
    NotUtf8,
    /// 429.
    #[error("Too many requests in flight for this thing")]
    TooManyRequests,
    /// 500.
    #[error("Internal service failure")]
    Internal,
}

impl ShadowError {
    /// The `code` of the answer, an HTTP status.
    pub fn code(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::VersionConflict => 409,
            Self::TooLarge => 413,
            Self::NotUtf8 => 415,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
            _ => 400,
        }
    }
}
