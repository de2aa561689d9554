//! Jobs: statuses, transitions, device requests, roll-out and abort rules. Pure: time and storage are arguments.
//!
//! Source: control-plane-api.md sections 4.7 and 5.9.
//!
//! * [`ExecutionStatus`] and [`device_transition`]: what a device may make of an execution.
//! * [`JobTopic`] and [`Request`]: requests on `$aws/things/{thing}/jobs/..`, namespaced queues included.
//! * [`JobError`]: refusals with their MQTT code and their HTTP exception.
//! * [`JobConfig`]: roll-out rate, abort criteria, timeouts, retries; [`Window`]: when the roll-out goes on.
//! * [`fill_parameters`]: `${aws:iot:parameter:x}` in documents of templates; [`presigned_urls`]: objects of S3 in them.

mod config;
mod cron;
mod details;
mod document;
mod error;
mod presigned;
mod request;
mod status;
mod topic;
mod window;

pub use config::{AbortRule, Counts, EndBehavior, JobConfig, Rollout};
pub use cron::Cron;
pub use details::{MAX_DETAILS, StatusDetails, parse_details};
pub use document::{MAX_DOCUMENT_CHARS, fill_parameters};
pub use error::{ExecutionState, JobError};
pub use presigned::{
    MAX_PRESIGNED_URLS, ObjectPlace, PlaceholderError, PresignedUrl, object_url, presigned_urls, with_urls,
};
pub use request::{Describe, Request, StartNext, UpdateExecution, client_token};
pub use status::{ExecutionStatus, JobStatus, device_transition};
pub use topic::{JobRef, JobTopic, Namespace, RequestKind};
pub use window::Window;
