//! Device shadows: merge, delta, versions, metadata. Pure: time is an argument, storage is the caller's.
//!
//! ```text
//! bytes -> Update::parse (shape, limits) -> Shadow::apply (version, merge, size) -> Applied { shadow, accepted, delta, documents }
//! ```
//!
//! A [`Shadow`] is the document of one name: the `desired` and `reported` trees, a metadata tree of timestamps beside each,
//! and a version. The same code runs in the control plane and on a core. Source: control-plane-api.md section 5.7.

mod delta;
mod error;
mod limits;
mod merge;
mod shadow;
mod topic;
mod update;

pub use delta::{Delta, delta};
pub use error::ShadowError;
pub use limits::{
    DELETED_VERSION_KEPT_SECS, Limits, MAX_CLIENT_TOKEN_BYTES, MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_BYTES_RAISED,
};
pub use shadow::{Applied, Section, Shadow};
pub use topic::{Operation, ShadowTopic, TopicBase};
pub use update::{Change, Update, client_token};
