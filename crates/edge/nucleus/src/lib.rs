//! Component lifecycles, their dependencies, and the durable configuration of a core.
//!
//! [`lifecycle`] is the state machine of one component, [`graph`] what the components are to each other, [`reaction`] what a
//! change of configuration asks of a component: all pure.

pub mod graph;
pub mod lifecycle;
pub mod reaction;
