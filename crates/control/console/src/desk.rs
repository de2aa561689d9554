//! The security desk: who may do what, and whether the record of it is whole.

mod audit;
mod who;

pub(crate) use audit::Proofs;
pub use who::{Devices, Reasons, SurveyedDevices};
