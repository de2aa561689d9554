//! Semantic versions and npm ranges.
//!
//! Component versions are strict semantic versions within the limits of CR 1.2; requirements on them are npm ranges
//! (CR 1.3). Both programs read and print them with this code, so a range means the same in the cloud and on a core.

mod parse;
mod requirement;
mod version;

pub use requirement::{Comparator, Operator, Requirement, RequirementError};
pub use version::{Version, VersionError};
