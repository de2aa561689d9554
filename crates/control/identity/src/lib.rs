//! Accounts, iam, sts, the SigV4 gate and the authorizer.
//!
//! Every call of a service runs inside a [`CallContext`]: who calls, what for, from where. A service gets at storage
//! through it alone: [`CallContext::read`] to look, [`CallContext::commit`] to change. A commit takes a [`Grant`], which
//! only [`CallContext::authorize`] makes, and appends the audit record of the call in the same transaction.
//!
//! ```text
//! let grant = ctx.authorize("iot:CreateThing", &arn, |c| { c.request_tags(tags); })?;
//! let thing = ctx.commit(grant, move |tx| insert(tx, thing)).await?;
//! ```
//!
//! Work that no caller asked for (expiry, deployments under way, flow effects) goes through a [`SystemContext`], which
//! names its actor and is audited as `AwsServiceEvent`.
//!
//! [`Identity`] holds the directory of all accounts in memory, so that neither the gate ([`Identity::admit`]) nor
//! a decision waits for the database. [`IamService`] and [`StsService`] answer the two APIs that change it.

mod account;
mod context;
mod directory;
mod edit;
mod error;
mod facts;
mod gate;
mod iam;
mod identity;
mod keyring;
mod managed;
mod matrix;
mod model;
mod page;
mod principal;
mod schema;
mod service;
mod session;
mod sign_in;
mod sts;
mod survey;
mod system;
mod throttle;

pub use account::{ADMINISTRATOR, NewAccount};
pub use context::{CallContext, CallFacts, Grant, Need, TlsDetails};
pub use error::CallError;
pub use gate::{Admission, RefusedFacts};
pub use iam::IamService;
pub use identity::{Identity, IdentityError, IdentityOptions};
pub use keyring::KeyringError;
pub use matrix::{OperationNeed, operation_needs};
pub use page::fuzz_tokens;
pub use principal::{COMPONENT_KEY, DeviceDecisions, Principal, PrincipalKind};
pub use schema::MIGRATIONS;
pub use service::{BoxFuture, Service};
pub use session::TemporaryCredentials;
pub use sign_in::{SignIn, SignInFacts};
pub use sts::{AssumedRole, ServiceAssume, SessionBounds, StsService};
pub use survey::{SpeakingDocument, Surveyed};
pub use system::SystemContext;

pub use marram_authz::ConditionValues;
