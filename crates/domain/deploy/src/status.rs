//! How a deployment stands and how it ended (CR 4.9), as each consumer words it (CR 4.3, 4.4).

use serde_json::{Map, Value, json};

use crate::failure::FailureReport;

/// Longest `statusDetails` value of a job (CR 4.3).
const MAX_JOB_DETAIL: usize = 1024;

/// Status of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeploymentStatus {
    /// Waits for its turn.
    Queued,
    /// Being worked on.
    InProgress,
    /// Done.
    Succeeded,
    /// Failed.
    Failed,
    /// Taken back.
    Canceled,
    /// Refused as stale.
    Rejected,
}

impl DeploymentStatus {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::InProgress, Self::Succeeded, Self::Failed, Self::Canceled, Self::Rejected];

    /// The word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Rejected => "REJECTED",
        }
    }

    /// The status of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Nothing follows.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// How the core was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DetailedStatus {
    /// In the new state.
    Successful,
    /// In the old state, nothing was touched.
    FailedNoStateChange,
    /// In the new, failed state, as the policy wants.
    FailedRollbackNotRequested,
    /// Back in the old state.
    FailedRollbackComplete,
    /// Neither.
    FailedUnableToRollback,
    /// Stale.
    Rejected,
}

impl DetailedStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Successful,
        Self::FailedNoStateChange,
        Self::FailedRollbackNotRequested,
        Self::FailedRollbackComplete,
        Self::FailedUnableToRollback,
        Self::Rejected,
    ];

    /// The word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Successful => "SUCCESSFUL",
            Self::FailedNoStateChange => "FAILED_NO_STATE_CHANGE",
            Self::FailedRollbackNotRequested => "FAILED_ROLLBACK_NOT_REQUESTED",
            Self::FailedRollbackComplete => "FAILED_ROLLBACK_COMPLETE",
            Self::FailedUnableToRollback => "FAILED_UNABLE_TO_ROLLBACK",
            Self::Rejected => "REJECTED",
        }
    }

    /// The status of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The status that goes with it.
    pub fn status(self) -> DeploymentStatus {
        match self {
            Self::Successful => DeploymentStatus::Succeeded,
            Self::Rejected => DeploymentStatus::Rejected,
            _ => DeploymentStatus::Failed,
        }
    }
}

/// `statusDetails` in the two forms of the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusDetails {
    /// For a job: text values, cut at 1024 characters.
    pub job: Map<String, Value>,
    /// For the shadow and the fleet status: all members, also when empty, so that older failures are erased.
    pub shadow: Value,
}

/// Words an outcome for jobs and for the shadow.
pub fn status_details(detailed: DetailedStatus, failure: Option<&FailureReport>) -> StatusDetails {
    let mut job = Map::new();
    let mut put = |key: &str, text: String| {
        let cut: String = text.chars().take(MAX_JOB_DETAIL).collect();
        job.insert(key.to_owned(), Value::String(cut));
    };
    put("detailed-deployment-status", detailed.as_str().to_owned());
    if let Some(failure) = failure {
        put("deployment-failure-cause", failure.cause.clone());
        put("deployment-error-stack", format!("[{}]", failure.stack.join(", ")));
        put("deployment-error-types", format!("[{}]", failure.types.join(", ")));
    }
    let shadow = json!({
        "detailedStatus": detailed.as_str(),
        "failureCause": failure.map_or("", |failure| failure.cause.as_str()),
        "errorStack": failure.map_or(&[][..], |failure| failure.stack.as_slice()),
        "errorTypes": failure.map_or(&[][..], |failure| failure.types.as_slice()),
    });
    StatusDetails { job, shadow }
}
