//! What a service answers when it refuses.
//!
//! One type for every service. A code is written as the JSON services write it (`AccessDeniedException`); the query
//! protocol's own spelling of the common codes (`AccessDenied`) is put on by the encoder, and so is the status where a
//! service's model gives the code another one (`ResourceNotFoundException` is 404 for iot, 400 for iotthingsgraph).

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

/// Longest message that leaves the house, in characters (things-graph 9.1).
pub const MAX_MESSAGE_CHARS: usize = 2048;

/// An error as the client will see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// `ResourceNotFoundException`, `NoSuchEntity`, ...
    pub code: Cow<'static, str>,
    /// HTTP status, unless the service's model says otherwise for this code.
    pub status: u16,
    /// What a person reads. Never holds a secret.
    pub message: String,
    /// Modelled members beside the message: `resourceId`, `resourceArn`, ...
    pub members: Map<String, Value>,
    /// Whose fault it is.
    pub fault: Fault,
    /// Seconds, for the `Retry-After` header.
    pub retry_after_secs: Option<u32>,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Sending the same request again cannot help.
    Client,
    /// Ours.
    Server,
}

impl ApiError {
    /// An error with any code; 5xx is the server's fault.
    pub fn new(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> ApiError {
        ApiError {
            code: code.into(),
            status,
            message: message.into(),
            members: Map::new(),
            fault: if status >= 500 { Fault::Server } else { Fault::Client },
            retry_after_secs: None,
        }
    }

    /// The same error with a modelled member more.
    #[must_use]
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> ApiError {
        self.members.insert(member.into(), value.into());
        self
    }

    /// iot, iotthingsgraph, iot-data: the request is wrong.
    pub fn invalid_request(message: impl Into<String>) -> ApiError {
        ApiError::new("InvalidRequestException", 400, message)
    }

    /// iam, sts: a parameter does not satisfy its constraints.
    pub fn validation(message: impl Into<String>) -> ApiError {
        ApiError::new("ValidationError", 400, message)
    }

    /// Nothing by that name. 404; iotthingsgraph 400.
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new("ResourceNotFoundException", 404, message)
    }

    /// There is one by that name already. 409; iotthingsgraph 400.
    pub fn already_exists(message: impl Into<String>) -> ApiError {
        ApiError::new("ResourceAlreadyExistsException", 409, message)
    }

    /// iotthingsgraph: something still uses it.
    pub fn in_use(message: impl Into<String>) -> ApiError {
        ApiError::new("ResourceInUseException", 400, message)
    }

    /// A quota that time does not heal. iot 410, iotthingsgraph 400.
    pub fn limit_exceeded(message: impl Into<String>) -> ApiError {
        ApiError::new("LimitExceededException", 410, message)
    }

    /// iot: the expected version is not the stored one.
    pub fn version_conflict(message: impl Into<String>) -> ApiError {
        ApiError::new("VersionConflictException", 409, message)
    }

    /// iot: something attached stands in the way.
    pub fn delete_conflict(message: impl Into<String>) -> ApiError {
        ApiError::new("DeleteConflictException", 409, message)
    }

    /// iot: the policy document is not one.
    pub fn malformed_policy(message: impl Into<String>) -> ApiError {
        ApiError::new("MalformedPolicyException", 400, message)
    }

    /// iam, sts: the policy document is not one.
    pub fn malformed_policy_document(message: impl Into<String>) -> ApiError {
        ApiError::new("MalformedPolicyDocument", 400, message)
    }

    /// iam: nothing by that name.
    pub fn no_such_entity(message: impl Into<String>) -> ApiError {
        ApiError::new("NoSuchEntity", 404, message)
    }

    /// iam: there is one by that name already.
    pub fn entity_already_exists(message: impl Into<String>) -> ApiError {
        ApiError::new("EntityAlreadyExists", 409, message)
    }

    /// The caller may not. 403; query services spell it `AccessDenied`.
    pub fn access_denied(message: impl Into<String>) -> ApiError {
        ApiError::new("AccessDeniedException", 403, message)
    }

    /// The text that clients search for (control-plane-api 1.4). `explicit`: a statement denied it.
    pub fn not_authorized(principal: &str, action: &str, resource: &str, explicit: bool) -> ApiError {
        let why = if explicit {
            "with an explicit deny in an identity-based policy".to_owned()
        } else {
            format!("because no identity-based policy allows the {action} action")
        };
        ApiError::access_denied(format!(
            "User: {principal} is not authorized to perform: {action} on resource: {resource} {why}"
        ))
    }

    /// Too fast; `retry_after_secs` is told to the client.
    pub fn throttling(retry_after_secs: u32) -> ApiError {
        let mut error = ApiError::new("ThrottlingException", 400, "Rate exceeded");
        error.retry_after_secs = Some(retry_after_secs);
        error
    }

    /// Something broke here. The cause goes to the log, never to the client.
    pub fn internal() -> ApiError {
        ApiError::new("InternalFailureException", 500, "An internal error occurred")
    }

    /// No operation goes by that name, or no route leads to it.
    pub fn unknown_operation() -> ApiError {
        ApiError::new("UnknownOperationException", 404, "The requested operation is not recognized by the service")
    }

    /// The operation exists but is not built here. 400, since SDKs would repeat a 5xx (control-plane-api 4.2).
    pub fn not_supported(operation: &str) -> ApiError {
        ApiError::invalid_request(format!("{operation} is not supported by this endpoint"))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}
