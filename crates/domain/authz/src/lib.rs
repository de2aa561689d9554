//! IAM and IoT policy language and the decision.
//!
//! [`Policy::parse`] compiles a document once; [`Request::decide`] weighs the [`Layers`] of policies that have a say;
//! [`DevicePolicies`] is the form for a broker that asks about every message. Pure and total: no I/O, no clock, no
//! randomness, no panics; unknown means no.
//!
//! Source: control-plane-api.md sections 3.2 to 3.5 and 5.6, security.md section 4, things-graph.md section 11.2.
//!
//! Not here: who has which policies, where documents are kept, what a denial looks like on the wire.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod condition;
mod decide;
mod device;
mod facts;
mod json;
mod legacy;
mod lint;
mod parse;
mod pattern;
mod policy;
mod principal;

pub use decide::{Decision, Layer, Layers, Matched, Outcome, Request};
pub use device::{DeviceAction, DevicePolicies};
pub use facts::{ConditionValues, Fact, Facts, NoFacts};
pub use lint::{Lint, LintKind};
pub use parse::{
    IOT_POLICY_MAX_CHARS, MANAGED_POLICY_MAX_CHARS, MAX_DOCUMENT_BYTES, MAX_STATEMENTS, MalformedPolicy,
    TRUST_POLICY_MAX_CHARS,
};
pub use policy::{Effect, Policy, PolicyKind};
pub use principal::{Naming, Requester};
