//! The namespace: uploads, versions, deletion (TG 8).

pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod upload;
pub(crate) mod upload_status;
mod upload_task;

pub(crate) use delete::run_pending as run_pending_deletions;
pub(crate) use upload_task::run_pending as run_pending_uploads;
