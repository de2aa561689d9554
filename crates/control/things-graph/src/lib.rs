//! The iotthingsgraph service: namespaces, flows, systems, deployments, executions.
//!
//! [`ThingsGraph`] answers the 35 operations of TG 9, one file per operation or pair of them, each beginning with the
//! permission it needs. Uploads and the deletion of a namespace are tasks that a restart takes up again
//! ([`ThingsGraph::recover`]); a deployment freezes into a `marram_flow::Snapshot` that the flow runtime runs.
//!
//! * `catalog`: namespace versions as checked models.
//! * `language`: documents in, checked models or sentences out; the only place that calls the compiler.
//! * `edge`: the target GREENGRASS: what is sent to cores, what they report, the history they send up.
//! * `instance`: the status machine of TG 7.5 and the lowering of a checked deployment into a snapshot.
//!
//! Not here: the language (`marram-tdm`), running flows (`marram-flow-runtime`), the history of executions (there too).

mod association;
mod catalog;
mod edge;
mod entity;
mod execution;
mod identity;
mod input;
mod instance;
mod language;
mod library;
mod namespace;
mod page;
mod ports;
mod realm;
mod recover;
mod registry;
mod schema;
mod service;
mod tag;
mod template;

pub use edge::{CoreTopics, GroupMembers};
pub use identity::IdentityRoles;
pub use library::Library;
pub use ports::{FlowComponent, FlowTarget, GreengrassTarget, Roles, Sent, ThingFacts, Things};
pub use realm::Realm;
pub use recover::Recovered;
pub use registry::RegistryThings;
pub use schema::MIGRATIONS;
pub use service::{Network, Parts, Quotas, SERVICE_PRINCIPAL, ThingsGraph};
