//! Fleet provisioning by claim, the device's side (CR 5.5, CP 5.10).
//!
//! ```text
//! key + request (on disk) -> create-from-csr -> certificate + token (on disk) -> provision -> thing name
//!   -> certificate, key, roots at their final places -> outcome (on disk) -> the core's configuration
//! ```
//!
//! Each arrow is durable before the next begins, so power may go at any moment: [`Claim::run`] takes up where it was, with the
//! same key. The key is made here and never leaves the device; only an operator's own request (`csrPath`) takes its place, whose
//! key is looked at before anything is asked for.
//!
//! Not here: the core's configuration. Whoever composes merges [`Provisioned::configuration`] into it durably and then calls
//! [`Claim::finish`].

mod error;
mod exchange;
mod files;
mod own_request;
mod run;
mod settings;

pub use error::ClaimError;
pub use own_request::FindKey;
pub use run::{Claim, Provisioned};
pub use settings::{ClaimSettings, SettingsError};
