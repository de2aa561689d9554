//! Device shadows kept on a core (`aws.greengrass.ShadowManager`, core-components.md section 3).
//!
//! ```text
//! IPC  ──> ports::LocalShadows ─┐
//!                               ├─> rate limit -> marram-shadow (rules) -> store (one transaction) -> ShadowEvents
//! local publish ──> request() ──┘
//! ```
//!
//! Answers and notifications go to [`ShadowEvents`] in the order of the commits, however a request came. A deleted shadow
//! leaves its version behind, so that one made again goes on counting.
//!
//! [`synchronize`] keeps chosen shadows in agreement with the control plane's. Its configuration is read by `marram-parts`.
//!
//! Not here: who may do what (the IPC door and the local broker decide before they call).

mod answer;
mod page;
mod rate;
mod rows;
mod shadows;
mod sync;

pub use answer::Refusal;
pub use rows::MIGRATIONS;
pub use shadows::{ShadowEvents, Shadows};
pub use sync::{Apart, synchronize};
