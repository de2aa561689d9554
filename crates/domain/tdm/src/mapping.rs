//! Conversion between properties: guard sets, the mapping graph, conversion plans (TG section 5).

pub(crate) mod graph;
pub(crate) mod guard;

pub use graph::{ConversionGraph, MAX_CHAIN, PlanError, Planned};
