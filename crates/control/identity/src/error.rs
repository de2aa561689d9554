//! What goes wrong inside a call, before it becomes an answer.

use marram_aws_api::ApiError;
use marram_store::StoreError;

/// An answer for the caller, or a failure of the store. `?` makes it of both inside transactions, and it turns into an
/// [`ApiError`] by `?` at the end of an operation.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The caller is told this.
    #[error("{0}")]
    Api(ApiError),
    /// The caller is told that something broke; the log says what.
    #[error(transparent)]
    Store(StoreError),
}

impl From<ApiError> for CallError {
    fn from(error: ApiError) -> CallError {
        CallError::Api(error)
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> CallError {
        CallError::Store(error)
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> ApiError {
        match error {
            CallError::Api(error) => error,
            CallError::Store(error) => {
                tracing::error!(%error, "the store failed a call");
                match error {
                    StoreError::Busy | StoreError::NoSpace | StoreError::Closed => {
                        ApiError::new("ServiceUnavailableException", 503, "The service is temporarily unavailable")
                    }
                    _ => ApiError::internal(),
                }
            }
        }
    }
}
