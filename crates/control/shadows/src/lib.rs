//! Device shadows of the control plane: HTTP, MQTT, and in process (CP 5.7).
//!
//! ```text
//! iot-data operation --.
//! $aws/things/../shadow -> Shadows -> one transaction (marram_shadow::Shadow::apply) -> Outbox: accepted, delta, documents
//! in process ----------'
//! ```
//!
//! * [`Shadows`] is the store of documents and what other services call.
//! * [`ShadowsService`] answers the four operations of `iot-data`; IAM or the certificate's policies decide.
//! * [`ShadowTopics`] answers publishes on shadow topics; there the topic policy has decided.
//!
//! Whoever asks, the same messages are published, in the order of the shadow's versions.

mod error;
mod flight;
mod schema;
mod service;
mod shadows;
mod topics;

pub use schema::MIGRATIONS;
pub use service::ShadowsService;
pub use shadows::{Shadows, ShadowsOptions};
pub use topics::ShadowTopics;

pub use marram_shadow::{TopicBase as ShadowId, Update};
