//! The flow engine: a pure, deterministic state machine (TG section 6).
//!
//! [`step`] feeds one [`Input`] to an [`Execution`] of a [`Program`] and returns [`Effect`]s. Time comes in as an
//! argument, requests go out as values, replies come back undecoded; nothing here does I/O, reads a clock or draws a
//! random number. So the inputs of an execution are its journal: replaying them gives the same state, the same effects
//! and the same trace, in a runtime, in a core on the shelf, or in [`simulate`].

pub mod convert;
pub mod event;
mod exchange;
pub mod execution;
pub mod fault;
pub mod lower;
pub mod message;
mod modbus;
pub mod program;
pub mod request;
mod scope;
pub mod simulate;
pub mod snapshot;
mod step;
pub mod topics;
pub mod trigger;

pub use exchange::MAX_PAYLOAD_BYTES as MAX_MQTT_PAYLOAD_BYTES;
pub use execution::{
    Effect, Execution, Input, Origin, Quiet, Sink, Stage, Status, StepState, StepStatus, TaskId, Time,
};
pub use fault::Fault;
pub use message::{EventType, Message};
pub use program::{Flow, Program, Site};
pub use request::{Reply, Request};
pub use snapshot::Snapshot;
pub use step::{MAX_ACTIVATIONS, MAX_STEP_ACTIVATIONS, step, step_into};
