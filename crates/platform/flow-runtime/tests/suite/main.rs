//! The runtime through its public door.

mod common;
mod connector;
mod crash;
mod runtime;
mod serial;
