//! Flows of a core through their public door: configuration in, broker beside, control plane above.

#[path = "../../../../platform/flow-runtime/tests/suite/common.rs"]
mod common;
mod core;
mod lives;
mod lobby;
mod week;
