//! The decision: which layers must allow, and what each statement does to it.
//!
//! 1. A matching `Deny` in any layer denies.
//! 2. The guardrail, if there is one, must allow.
//! 3. Same account: identity or resource policy must allow; then boundary and session policy, where present, must allow
//!    too, unless the resource policy names the user or session itself.
//! 4. Another account: identity and resource policy must both allow.
//! 5. A trust policy must always allow; the identity side must too, unless the trust policy names the requester or its
//!    role.
//! 6. Nothing matched: no. `sts:GetCallerIdentity` is never denied; root is limited by the guardrail only.
//!
//! Source: control-plane-api.md section 3.4.

use std::borrow::Borrow;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::facts::Facts;
use crate::policy::{Action, Effect, Policy, PolicyKind, Question};
use crate::principal::{Naming, Requester};

/// A layer of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Policies of the user with its groups, or of the role.
    Identity,
    /// The policy of the resource, or the trust policy of a role.
    Resource,
    /// The permissions boundary.
    Boundary,
    /// The policies a session was started with.
    Session,
    /// The ceiling of the installation.
    Guardrail,
}

/// Yes or no, and which layer said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Yes.
    Allowed,
    /// A statement of this layer denies.
    ExplicitDeny(Layer),
    /// This layer does not allow.
    ImplicitDeny(Layer),
}

/// A statement that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The policy's id.
    pub policy: SmolStr,
    /// The statement's `Sid`, or its position counted from 0.
    pub statement: SmolStr,
    /// What it does.
    pub effect: Effect,
}

/// A decision with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub outcome: Outcome,
    /// The denying statement, or every allowing one.
    pub matched: Vec<Matched>,
    /// Context keys that matching statements asked for in vain, lower case, sorted. Only [`Request::explain`] fills it.
    pub missing: Vec<SmolStr>,
}

impl Decision {
    /// Whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }
}

/// The policies that have a say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layers<'a> {
    /// Inline and managed policies of the principal and its groups.
    pub identity: &'a [Arc<Policy>],
    /// The boundary, if one is set.
    pub boundary: Option<&'a Policy>,
    /// Policies given when the session began; `None` when there were none.
    pub session: Option<&'a [Arc<Policy>]>,
    /// The installation's ceiling, if one is set.
    pub guardrail: Option<&'a Policy>,
    /// The policy of the resource, and the account that owns it.
    pub resource: Option<(&'a Policy, &'a str)>,
}

/// One question: may this requester do this?
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub requester: Requester<'a>,
    /// `iot:CreateThing`; compared without regard to case.
    pub action: &'a str,
    /// Full ARN, or `*`.
    pub resource: &'a str,
    /// The context.
    pub facts: &'a dyn Facts,
    /// A variable without a value makes a `Deny` statement match instead of fail (security.md section 4).
    pub strict_variables: bool,
}

/// What one layer says.
struct Said {
    denied: Option<Matched>,
    /// The closest naming among allowing statements.
    allowed: Option<Naming>,
}

impl Request<'_> {
    /// Decides.
    pub fn decide(&self, layers: &Layers<'_>) -> Decision {
        self.run(layers, None)
    }

    /// Decides, and tells which context keys were asked for in vain.
    pub fn explain(&self, layers: &Layers<'_>) -> Decision {
        let mut missing = Vec::new();
        let mut decision = self.run(layers, Some(&mut missing));
        missing.sort_unstable();
        missing.dedup();
        decision.missing = missing;
        decision
    }

    fn run(&self, layers: &Layers<'_>, mut missing: Option<&mut Vec<SmolStr>>) -> Decision {
        if self.action.eq_ignore_ascii_case("sts:GetCallerIdentity") {
            return Decision { outcome: Outcome::Allowed, matched: Vec::new(), missing: Vec::new() };
        }
        let mut matched = Vec::new();
        let root = self.requester.root;
        let mut said = |layer: Layer, policies: &mut dyn Iterator<Item = &Policy>| {
            let said = self.ask(policies, &mut matched, missing.as_deref_mut());
            match said.denied {
                Some(statement) => Err((layer, statement)),
                None => Ok(said.allowed),
            }
        };
        let answers = (|| {
            let guardrail = layers.guardrail.map(|p| said(Layer::Guardrail, &mut std::iter::once(p))).transpose()?;
            let resource = match layers.resource {
                // The policies of its own account do not limit root; those of others do.
                Some((policy, owner))
                    if !root || owner != self.requester.account || policy.kind == PolicyKind::Trust =>
                {
                    Some(said(Layer::Resource, &mut std::iter::once(policy))?)
                }
                _ => None,
            };
            if root {
                return Ok((guardrail, Some(Naming::Itself), resource, None, None));
            }
            let identity = said(Layer::Identity, &mut refs(layers.identity))?;
            let boundary = layers.boundary.map(|p| said(Layer::Boundary, &mut std::iter::once(p))).transpose()?;
            let session = layers.session.map(|list| said(Layer::Session, &mut refs(list))).transpose()?;
            Ok((guardrail, identity, resource, boundary, session))
        })();
        match answers {
            Err((layer, statement)) => {
                Decision { outcome: Outcome::ExplicitDeny(layer), matched: vec![statement], missing: Vec::new() }
            }
            Ok((guardrail, identity, resource, boundary, session)) => {
                let outcome = self.combine(layers, guardrail, identity, resource, boundary, session);
                if outcome != Outcome::Allowed {
                    matched.clear();
                }
                Decision { outcome, matched, missing: Vec::new() }
            }
        }
    }

    /// Weighs the layers once none of them denies. The outer option is "the layer exists", the inner "it allows".
    fn combine(
        &self,
        layers: &Layers<'_>,
        guardrail: Option<Option<Naming>>,
        identity: Option<Naming>,
        resource: Option<Option<Naming>>,
        boundary: Option<Option<Naming>>,
        session: Option<Option<Naming>>,
    ) -> Outcome {
        if guardrail == Some(None) {
            return Outcome::ImplicitDeny(Layer::Guardrail);
        }
        let identity_allows = identity.is_some();
        let named = resource.flatten();
        let owner_is_other = layers.resource.is_some_and(|(_, owner)| owner != self.requester.account);
        let trust = layers.resource.is_some_and(|(policy, _)| policy.kind == PolicyKind::Trust);
        if (trust || owner_is_other) && named.is_none() {
            return Outcome::ImplicitDeny(Layer::Resource);
        }
        // Whether the resource policy alone would do.
        let resource_suffices = match named {
            None => false,
            Some(Naming::Service) => true,
            Some(_) if owner_is_other => false,
            Some(Naming::Itself | Naming::Role) => true,
            Some(Naming::Anyone) => !trust,
            Some(Naming::Account) => false,
        };
        if !identity_allows && !resource_suffices {
            return Outcome::ImplicitDeny(Layer::Identity);
        }
        let unlimited = resource_suffices && matches!(named, Some(Naming::Itself | Naming::Service));
        if !unlimited {
            if boundary == Some(None) {
                return Outcome::ImplicitDeny(Layer::Boundary);
            }
            if session == Some(None) {
                return Outcome::ImplicitDeny(Layer::Session);
            }
        }
        Outcome::Allowed
    }

    fn ask(
        &self,
        policies: &mut dyn Iterator<Item = &Policy>,
        matched: &mut Vec<Matched>,
        mut missing: Option<&mut Vec<SmolStr>>,
    ) -> Said {
        let question = Question {
            action: Action::new(self.action),
            resource: self.resource,
            facts: self.facts,
            strict_variables: self.strict_variables,
        };
        let mut allowed: Option<Naming> = None;
        for policy in policies {
            for statement in &policy.statements {
                let Some(naming) = statement.naming(&self.requester) else { continue };
                if !statement.applies(&question, missing.as_deref_mut()) {
                    continue;
                }
                let found =
                    Matched { policy: policy.id.clone(), statement: statement.name.clone(), effect: statement.effect };
                match statement.effect {
                    Effect::Deny => return Said { denied: Some(found), allowed: None },
                    Effect::Allow => {
                        allowed = allowed.max(Some(naming));
                        matched.push(found);
                    }
                }
            }
        }
        Said { denied: None, allowed }
    }
}

fn refs(policies: &[Arc<Policy>]) -> impl Iterator<Item = &Policy> {
    policies.iter().map(Borrow::borrow)
}
