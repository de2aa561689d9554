//! The service `iotthingsgraph` over a real store, registry and flow runtime: each operation's successes and refusals.

mod access;
mod bench;
mod cores;
mod crash;
mod deployments;
mod entities;
mod namespaces;
mod templates;
