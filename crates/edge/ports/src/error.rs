//! Errors of the ports, one variant per error shape of the IPC model (CR 6.7).

use serde_json::Value;

/// Why a port refused. The IPC door turns each into the shape of the same name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PortError {
    /// `InvalidArgumentsError`: malformed or missing input.
    #[error("{0}")]
    InvalidArguments(String),
    /// `UnauthorizedError`.
    #[error("{0}")]
    Unauthorized(String),
    /// `ResourceNotFoundError`.
    #[error("{message}")]
    ResourceNotFound {
        /// For people.
        message: String,
        /// Kind of thing that is missing.
        resource_type: Option<String>,
        /// Its name.
        resource_name: Option<String>,
    },
    /// `ServiceError`: all else.
    #[error("{message}")]
    Service {
        /// For people.
        message: String,
        /// Further facts, an object.
        context: Option<Value>,
    },
    /// `ConflictError`: a version or condition did not hold.
    #[error("{0}")]
    Conflict(String),
    /// `FailedUpdateConditionCheckError`: the stored value is newer.
    #[error("{0}")]
    FailedUpdateCondition(String),
    /// `InvalidRecipeDirectoryPathError`.
    #[error("{0}")]
    InvalidRecipeDirectory(String),
    /// `InvalidArtifactsDirectoryPathError`.
    #[error("{0}")]
    InvalidArtifactsDirectory(String),
    /// `InvalidTokenError`.
    #[error("{0}")]
    InvalidToken(String),
    /// `InvalidClientDeviceAuthTokenError`.
    #[error("{0}")]
    InvalidClientDeviceAuthToken(String),
    /// `InvalidCredentialError`.
    #[error("{0}")]
    InvalidCredential(String),
}

impl PortError {
    /// A missing component.
    pub fn no_component(name: &str) -> Self {
        Self::ResourceNotFound {
            message: format!("Component with name {name} not found"),
            resource_type: Some("Component".to_owned()),
            resource_name: Some(name.to_owned()),
        }
    }

    /// A fault with a sentence.
    pub fn service(message: impl Into<String>) -> Self {
        Self::Service { message: message.into(), context: None }
    }
}
