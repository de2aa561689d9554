//! Component recipes: reading, checking, platform choice, lifecycle selection, variables.
//!
//! A recipe is one JSON object or YAML document (CR 1). [`read`] answers the best model it could build together with
//! everything an author should know, each with place and remedy: the cloud refuses a recipe with errors, a core goes on
//! as long as there is a model. All use of the YAML parser is in `document/yaml.rs`.
//!
//! ```text
//! document    text -> values with places (JSON, YAML)
//! reader      values -> Recipe + findings
//! model       the recipe and its canonical JSON
//! name        what a component and its files may be called  (CR 1.2)
//! artifact    URIs, permissions
//! platform    which manifest is for this device          (CR 1.5)
//! lifecycle   selections, steps                          (CR 1.7)
//! variable    {namespace:key}                            (CR 1.8)
//! ```

mod artifact;
mod document;
mod finding;
mod lifecycle;
mod model;
mod name;
mod platform;
mod reader;
mod variable;

pub use artifact::{ArtifactUri, ArtifactUriError, DockerImage};
pub use finding::{Finding, Place, Severity};
pub use lifecycle::{Lifecycle, SkipIf, Step, StepError, StepName, bootstrap};
pub use model::{Artifact, ComponentType, Dependency, DependencyType, Grant, Manifest, Permission, Recipe, Unarchive};
pub use name::{ComponentNameError, check_component_name, is_file_name, unpacked_name};
pub use platform::{Attributes, matches_attribute};
pub use reader::{MAX_PUBLISHED_RECIPE, MAX_RECIPE, Reading, is_reserved, publication_findings, read};
pub use variable::{Interpolated, Variable, interpolate, interpolate_value, render};
