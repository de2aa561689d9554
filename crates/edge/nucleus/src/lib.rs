//! Component lifecycles, their dependencies, and the durable configuration of a core.
//!
//! ```text
//! lifecycle      the state machine of one component; pure            (CR 2.1-2.5)
//! graph          what components are to each other; pure             (CR 2.6)
//! reaction       what a change of configuration asks; pure           (CR 2.7)
//! plan           a component's scripts as its tree defines them      (CR 1.7)
//! settings       the nucleus' own settings, environments             (CR 2.9, 7.5)
//! configuration  the durable tree                                    (CR 3)
//! tokens         who may call                                        (CR 6.1, SEC-133)
//! engine         the actor that ties them together
//! handle         the ports of the other parts
//! ```

pub mod configuration;
pub mod graph;
pub mod lifecycle;
pub mod reaction;

mod engine;
mod handle;
mod plan;
mod settings;
mod shared;
mod tokens;
mod trust;

pub use handle::{NucleusHandle, NucleusOptions};

/// The version of the original that components and deployments take this nucleus for (`GGC_VERSION`).
pub const NUCLEUS_VERSION: &str = "2.17.0";
