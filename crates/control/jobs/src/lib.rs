//! Jobs of the control plane: operations, device side over HTTPS and MQTT, roll-out, timers (CP 4.7, 5.9).
//!
//! ```text
//! iot operations ---.                          .-> notify, notify-next (Outbox, after the commit)
//! iot-jobs-data ----+-> one transaction: Work -+-> counters, completion, abort, retry
//! $aws/.../jobs ----+                          '-> JobWatch (greengrass)
//! in process -------'
//! ```
//!
//! * [`Jobs`] is the handle: what other services call, each call also as `.._in` inside a transaction of theirs.
//! * [`JobsService`] answers the job operations of `iot`; [`JobsDataService`] those of `iot-jobs-data`.
//! * [`JobTopics`] answers publishes on job topics. Executions of a namespace stand in a queue of their own.
//! * Whoever asked by `UpdateEventConfigurations` hears of jobs and executions on `$aws/events/..`.
//! * [`Jobs::run`] hands out executions at the configured rate and ends what timed out.

mod change;
mod control;
mod data;
mod delivery;
mod device;
mod event;
mod jobs;
mod membership;
mod notice;
mod row;
mod schema;
mod tick;
mod topics;
mod watch;
mod work;

pub use control::JobsService;
pub use data::JobsDataService;
pub use jobs::{CancelJob, Jobs, NewJob};
pub use row::{ExecutionRow, JobRow};
pub use schema::MIGRATIONS;
pub use topics::JobTopics;
pub use watch::{ExecutionChange, JobChange, JobWatch, TargetLeft};

pub use marram_job::{Counts, ExecutionStatus, JobStatus, Namespace};
