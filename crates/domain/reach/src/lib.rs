//! What a component may connect to: the value of `marram.sandbox.egress` and what its core allows (SEC-131, SEC-132).
//!
//! Read where a recipe or a deployment is created, where the core takes it, and where the component starts, so that all of them
//! say the same.
//!
//! Not here: holding a component to it (`marram-egress`).

mod decision;
mod policy;

pub use decision::{Ceiling, Reach, ReachError, Words};
pub use policy::{Host, Policy, PolicyError, Rule, Tls, is_name, normal};

/// Entry of the fuzz target: a declaration as its author wrote it is refused, or means the same when it is told again.
pub fn fuzz(text: &str) {
    let Ok(value) = serde_json::from_str(text) else { return };
    if let Ok(policy) = Policy::parse(&value) {
        assert_eq!(Policy::parse(&policy.to_value()).as_ref(), Ok(&policy));
        assert!(policy.within(&policy).is_ok());
    }
}
