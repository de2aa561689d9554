//! `secretsmanager`: secrets with versions and stages, sealed at rest (control-plane-api.md section 9.2).
//!
//! A value is sealed with a key derived from the installation's master key, bound to account, region, secret and version, before
//! it reaches the store; it is opened for the one answer that needs it. Every call leaves an audit record, reads of values
//! included; no record holds a value.
//!
//! Not here: rotation functions, replicas, resource policies, batches, random passwords; they answer that they are not supported.

mod describe;
mod lifecycle;
mod lookup;
mod row;
mod schema;
mod service;
mod tag;
mod value;

pub use schema::MIGRATIONS;
pub use service::SecretsService;
