//! The flow engine: a pure, deterministic state machine.
