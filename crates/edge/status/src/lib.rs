//! Fleet status and telemetry reports of a core.
//!
//! [`FleetStatus`] tells the control plane what runs and how deployments ended (CR 4.13); [`Telemetry`] gathers system and
//! component metrics and sends them rarely (CR 7.4). Both publish through `CloudMessages` and hold nothing else.

mod fleet;
mod message;
mod sample;
mod telemetry;

pub use fleet::{FleetStatus, FleetStatusParts};
pub use message::CoreFacts;
pub use telemetry::{Telemetry, TelemetrySettings};
