//! Fixtures for tests: services called as the front door calls them, under a clock that moves when told.
//!
//! Everything here panics when something is not as it should be: it is for tests alone.

mod answer;
mod control;

pub use answer::{check_answer, conforms, pages};
pub use control::{Control, until};
