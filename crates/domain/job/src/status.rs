//! Statuses of jobs and executions, and what a device may change.
//!
//! ```text
//! QUEUED -> IN_PROGRESS -> SUCCEEDED | FAILED | REJECTED         by the device (also directly from QUEUED)
//!        \             \-> TIMED_OUT | CANCELED | REMOVED        by the service
//! ```

use crate::error::JobError;

macro_rules! status {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it stands on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The status called `text`.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

status! {
    /// Where one thing is with a job.
    ExecutionStatus {
        /// Not taken up yet.
        Queued = "QUEUED",
        /// Taken up.
        InProgress = "IN_PROGRESS",
        /// Done.
        Succeeded = "SUCCEEDED",
        /// Tried in vain.
        Failed = "FAILED",
        /// A timer ran out.
        TimedOut = "TIMED_OUT",
        /// The device will not.
        Rejected = "REJECTED",
        /// The thing is no target any more.
        Removed = "REMOVED",
        /// Called off.
        Canceled = "CANCELED",
    }
}

status! {
    /// Where a job is.
    JobStatus {
        /// Waits for its start time.
        Scheduled = "SCHEDULED",
        /// Rolls out, or waits for devices.
        InProgress = "IN_PROGRESS",
        /// Called off.
        Canceled = "CANCELED",
        /// Every execution has ended.
        Completed = "COMPLETED",
        /// Being deleted.
        DeletionInProgress = "DELETION_IN_PROGRESS",
    }
}

impl ExecutionStatus {
    /// Nothing follows.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// Whether a device may move an execution from one status to another.
///
/// # Errors
/// [`JobError::InvalidStateTransition`], [`JobError::InvalidRequest`] for statuses that are not a device's to set.
pub fn device_transition(from: ExecutionStatus, to: ExecutionStatus) -> Result<(), JobError> {
    use ExecutionStatus::{Failed, InProgress, Rejected, Succeeded};
    if !matches!(to, InProgress | Succeeded | Failed | Rejected) {
        return Err(JobError::InvalidRequest(format!("A device cannot set the status {}", to.as_str())));
    }
    if from.is_terminal() {
        return Err(JobError::InvalidStateTransition {
            message: format!("The execution is in the terminal status {}", from.as_str()),
            state: None,
        });
    }
    Ok(())
}
