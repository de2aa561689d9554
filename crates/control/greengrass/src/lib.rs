//! Components, deployments and core devices: the Greengrass v2 control plane and data plane (control-plane-api 6, 7).
//!
//! ```text
//! CreateComponentVersion -> marram_recipe -> artifacts of the object store, hashed and kept -> DEPLOYABLE | FAILED
//! CreateDeployment -> document, signed -> group: a continuous job | thing: a named shadow
//! job executions, shadow reports, fleet status -> effective deployments, installed components, core devices
//! ```
//!
//! * [`Greengrass`] answers the 29 operations and those of the device plane that have no published model: discovery, the groups of a
//!   core, documents too large for a job, certificates of cores. The paths of the last two are our own.
//! * [`StatusTopics`] takes fleet status and telemetry from the broker and watches the deployment shadow;
//!   [`Greengrass::job_watch`] hears of job executions.
//! * Dependent actions are evaluated as the caller (control-plane-api 3.7): who may not create a job may not deploy to a group.
//!
//! Not built: import of Lambda functions, vendor-provided public components.

mod component;
mod connectivity;
mod core;
mod deployment;
mod fault;
mod idempotency;
mod page;
mod place;
mod schema;
mod service;
mod service_role;
mod signature;
mod status;
mod tag;
mod watch;

pub use core::CoreWatch;
pub use schema::MIGRATIONS;
pub use service::{Greengrass, Parts};
pub use signature::{DeploymentKey, DeploymentKeyError};
pub use status::StatusTopics;
