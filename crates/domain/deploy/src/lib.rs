//! Deployments: documents, root sets, dependency resolution, plans.
//!
//! The rules of CR 4 without any I/O: the deployer asks, feeds what it fetched, and does what the answers say.
//!
//! ```text
//! document   what the cloud or the CLI sends                  (CR 4.2, 4.5)
//! roots      which components every group asks for            (CR 4.1, 4.6)
//! resolve    which version of each component fits them all    (CR 4.7)
//! builtin    components that are part of this runtime
//! plan       what is new, changed, gone; in which order       (CR 4.8, 4.9)
//! settings   what may stand in the configuration of nucleus and parts (CR 7.5)
//! access     what a component asks to be allowed           (CR 6.9)
//! service    the configuration tree of each component         (CR 3.2, 3.3, 1.8)
//! session    what narrows the credentials of a component      (SEC-134)
//! signature  what is signed of documents and recipes          (SEC-154)
//! failure    error codes, types, stacks                       (CR 4.11)
//! status     how a deployment ended                           (CR 4.9)
//! ```

mod access;
mod builtin;
mod document;
mod failure;
mod plan;
mod resolve;
mod roots;
mod service;
mod session;
mod settings;
mod signature;
mod status;

pub use access::{ACCESS_PREFIX, ACCESS_SERVICES, AccessProblem, check_access};
pub use builtin::{BUILTINS, Builtin, FLOW_RUNTIME, NUCLEUS, NUCLEUS_VERSION, builtin, is_vendor_name};
pub use document::{
    ComponentEntry, DeploymentDocument, DocumentError, FailurePolicy, Limits, RunWith, UpdateAction, group_key,
    is_group_name,
};
pub use failure::{ErrorCode, ErrorType, Failure, FailureReport};
pub use marram_parts::{Known, Scope, SettingFault, UnknownKey, known};
pub use plan::{CycleError, Plan, PlanInput, hard_dependencies, order};
pub use resolve::{Ask, Local, Resolution, Resolved, Resolver, Wanted};
pub use roots::{GroupRoot, Groups, LOCAL_GROUP, Staleness};
pub use service::{Paths, ServiceInput, Unsafe, service_tree, unsafe_interpolations};
pub use session::{SESSION_POLICY_MAX_CHARS, SessionPolicyError, session_policy};
pub use settings::{check_component, check_limits, check_nucleus, setting, unknown_settings};
pub use signature::{DOCUMENT_TYPE, RECIPE_TYPE, SIGNATURE_MEMBER, canonical, pre_authentication, recipe_statement};
pub use status::{DeploymentStatus, DetailedStatus, StatusDetails, status_details};
