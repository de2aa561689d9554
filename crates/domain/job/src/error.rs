//! Refusals of the device side, as MQTT and as HTTP spell them (CP 1.4, 5.9).

use serde_json::{Value, json};

use crate::details::StatusDetails;
use crate::status::ExecutionStatus;

/// Where an execution is: what refusals and `includeJobExecutionState` tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionState {
    /// Its status.
    pub status: ExecutionStatus,
    /// What the device told last.
    pub details: StatusDetails,
    /// Counts changes, from 1.
    pub version: i64,
}

impl ExecutionState {
    /// As it stands on the wire.
    pub fn to_json(&self) -> Value {
        json!({"status": self.status.as_str(), "statusDetails": self.details, "versionNumber": self.version})
    }
}

/// A refused request of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The topic is none of the service's.
    #[error("the topic is not a request of the jobs service")]
    InvalidTopic,
    /// The body is not a JSON object in UTF-8.
    #[error("the payload is not a JSON object")]
    InvalidJson,
    /// A member is missing or wrong.
    #[error("{0}")]
    InvalidRequest(String),
    /// The execution cannot take the status.
    #[error("{message}")]
    InvalidStateTransition {
        /// Why.
        message: String,
        /// Where it is.
        state: Option<ExecutionState>,
    },
    /// No such execution.
    #[error("{0}")]
    NotFound(String),
    /// `expectedVersion` is not the version.
    #[error("the execution has version {}, not {expected}", state.version)]
    VersionMismatch {
        /// What the request expected.
        expected: i64,
        /// Where it is.
        state: ExecutionState,
    },
    /// The execution asked for has ended.
    #[error("the execution has ended")]
    TerminalState {
        /// Where it is.
        state: ExecutionState,
    },
    /// Too many requests wait.
    #[error("too many requests")]
    Throttled,
    /// Something broke here.
    #[error("internal error")]
    Internal,
}

impl JobError {
    /// The `code` of a `rejected` answer.
    pub fn mqtt_code(&self) -> &'static str {
        match self {
            Self::InvalidTopic => "InvalidTopic",
            Self::InvalidJson => "InvalidJson",
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::InvalidStateTransition { .. } => "InvalidStateTransition",
            Self::NotFound(_) => "ResourceNotFound",
            Self::VersionMismatch { .. } => "VersionMismatch",
            Self::TerminalState { .. } => "TerminalStateReached",
            Self::Throttled => "RequestThrottled",
            Self::Internal => "InternalError",
        }
    }

    /// The modelled exception of `iot-jobs-data` and its status.
    pub fn exception(&self) -> (&'static str, u16) {
        match self {
            Self::InvalidTopic | Self::InvalidJson | Self::InvalidRequest(_) => ("InvalidRequestException", 400),
            Self::InvalidStateTransition { .. } | Self::VersionMismatch { .. } => {
                ("InvalidStateTransitionException", 409)
            }
            Self::NotFound(_) => ("ResourceNotFoundException", 404),
            Self::TerminalState { .. } => ("TerminalStateException", 410),
            Self::Throttled => ("ThrottlingException", 429),
            Self::Internal => ("InternalFailureException", 500),
        }
    }

    /// The execution's state, where the refusal tells it.
    pub fn state(&self) -> Option<&ExecutionState> {
        match self {
            Self::VersionMismatch { state, .. } | Self::TerminalState { state } => Some(state),
            Self::InvalidStateTransition { state, .. } => state.as_ref(),
            _ => None,
        }
    }

    /// The payload of the `rejected` answer; `now` in seconds since the epoch.
    pub fn rejected(&self, now: i64, client_token: Option<&Value>) -> Value {
        let mut body = json!({"code": self.mqtt_code(), "message": self.to_string(), "timestamp": now});
        if let Some(state) = self.state() {
            body["executionState"] = state.to_json();
        }
        if let Some(token) = client_token {
            body["clientToken"] = token.clone();
        }
        body
    }
}
