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

mod context;
mod error;
mod identity;
mod principal;
mod service;
mod system;

pub use context::{CallContext, CallFacts, Grant, Need, TlsDetails};
pub use error::CallError;
pub use identity::Identity;
pub use principal::{Principal, PrincipalKind};
pub use service::{BoxFuture, Service};
pub use system::SystemContext;

pub use marram_authz::ConditionValues;
