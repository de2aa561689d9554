//! Refusals: the `code` and `message` of `rejected`, and the shape the IPC door answers (core-components.md section 3.2).

use marram_edge_ports::PortError;
use marram_shadow::{ShadowError, TopicBase};
use marram_store::StoreError;
use serde_json::{Value, json};

/// Why a request about a shadow was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The rules of documents.
    #[error(transparent)]
    Rule(#[from] ShadowError),
    /// 404.
    #[error("No shadow exists with name: {name}")]
    NotFound {
        /// `Unnamed Shadow`, or the shadow's name.
        name: String,
    },
    /// 400: a name or argument.
    #[error("{0}")]
    Argument(String),
    /// 401.
    #[error("Unauthorized")]
    Unauthorized,
    /// More requests in this second than the limits allow.
    #[error("Too Many Requests")]
    TooManyRequests,
    /// 500: the disk, or a row that cannot be read.
    #[error("Internal service failure")]
    Internal,
}

impl Refusal {
    pub(crate) fn not_found(id: &TopicBase) -> Self {
        Self::NotFound { name: id.name.as_ref().map_or_else(|| "Unnamed Shadow".to_owned(), ToString::to_string) }
    }

    /// The `code` of `rejected`.
    pub fn code(&self) -> u16 {
        match self {
            Self::Rule(error) => error.code(),
            Self::NotFound { .. } => 404,
            Self::Argument(_) => 400,
            Self::Unauthorized => 401,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
        }
    }

    /// The payload of `rejected`.
    pub(crate) fn body(&self, now: i64, token: Option<&str>) -> Value {
        let mut body = json!({"code": self.code(), "message": self.to_string(), "timestamp": now});
        if let Some(token) = token {
            body["clientToken"] = token.into();
        }
        body
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store of shadows failed");
        Self::Internal
    }
}

impl From<Refusal> for PortError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NotFound { name } => PortError::ResourceNotFound {
                message,
                resource_type: Some("shadow".to_owned()),
                resource_name: Some(name),
            },
            Refusal::Rule(ShadowError::VersionConflict) => PortError::Conflict(message),
            Refusal::Unauthorized => PortError::Unauthorized(message),
            Refusal::TooManyRequests | Refusal::Internal => PortError::service(message),
            Refusal::Rule(_) | Refusal::Argument(_) => PortError::InvalidArguments(message),
        }
    }
}
