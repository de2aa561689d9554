//! The engine through its public door.

mod engine;
mod model;
mod simulate;
mod support;
