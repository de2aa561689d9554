//! IAM and IoT policy language and the decision.
//!
//! Pure and total: no I/O, no clock, no panics. Source: control-plane-api.md sections 3.2 to 3.5 and 5.6, security.md
//! section 4.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod facts;

pub use facts::{ConditionValues, Fact, Facts, NoFacts};
