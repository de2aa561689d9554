//! A policy document, compiled: what it says, statement by statement.

use smol_str::SmolStr;

use crate::condition::{Condition, Verdict};
use crate::facts::Facts;
use crate::parse::{self, MalformedPolicy};
use crate::pattern::{Match, Pattern};
use crate::principal::{Naming, Principals, Requester};

/// Which elements a document may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Attached to users, groups and roles; boundaries, session policies and guardrails too.
    Identity,
    /// Attached to a resource: needs a principal.
    Resource,
    /// The trust policy of a role: needs a principal, has no resource.
    Trust,
    /// Attached to certificates and thing groups; variable values never act as patterns.
    Device,
}

/// What a statement does when it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Gives.
    Allow,
    /// Forbids, whatever else gives.
    Deny,
}

/// A document ready for decisions. Cheap to ask, immutable, shared behind an `Arc`.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) id: SmolStr,
    pub(crate) kind: PolicyKind,
    pub(crate) statements: Vec<Statement>,
}

/// One statement.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// `Sid`, or the position counted from 0.
    pub name: SmolStr,
    pub effect: Effect,
    pub principals: Option<Principals>,
    pub not_principals: Option<Principals>,
    pub actions: Vec<ActionPattern>,
    pub not_actions: bool,
    pub resources: Vec<ResourcePattern>,
    pub not_resources: bool,
    pub conditions: Vec<Condition>,
}

/// `*`, or a service prefix and a name with wildcards; compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActionPattern {
    Everything,
    Named { service: SmolStr, name: Pattern },
}

/// A resource ARN with wildcards and variables.
#[derive(Clone, Debug)]
pub(crate) struct ResourcePattern {
    pub pattern: Pattern,
    /// A spelling of iotthingsgraph ARNs that was never in force: it only ever takes access away.
    pub legacy: bool,
}

/// An action, split at its first colon once for all statements; without a colon only `*` matches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action<'a>(Option<(&'a str, &'a str)>);

impl<'a> Action<'a> {
    /// `iot:Publish`, in any case.
    pub(crate) fn new(text: &'a str) -> Action<'a> {
        Action(text.split_once(':'))
    }
}

/// What is asked of a statement.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub action: Action<'a>,
    pub resource: &'a str,
    pub facts: &'a dyn Facts,
    /// A variable without a value makes a `Deny` match instead of fail.
    pub strict_variables: bool,
}

impl Policy {
    /// Compiles a document. `id` names it in decisions: an ARN, or `inline:NAME`.
    ///
    /// # Errors
    /// [`MalformedPolicy`], with the reason for the author.
    pub fn parse(kind: PolicyKind, id: &str, document: &str) -> Result<Policy, MalformedPolicy> {
        parse::policy(kind, id, document)
    }

    /// How the policy is named in decisions.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which elements the document has.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// Number of statements.
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }
}

impl ActionPattern {
    fn matches(&self, action: Action<'_>) -> bool {
        match self {
            ActionPattern::Everything => true,
            ActionPattern::Named { service, name } => action
                .0
                .is_some_and(|(prefix, rest)| prefix.eq_ignore_ascii_case(service) && name.matches_ignore_case(rest)),
        }
    }
}

impl Statement {
    /// How the statement names the requester; statements without principal speak of whoever holds the policy.
    pub(crate) fn naming(&self, requester: &Requester<'_>) -> Option<Naming> {
        match (&self.principals, &self.not_principals) {
            (Some(principals), _) => principals.naming(requester),
            (None, Some(spared)) => (!spared.spares(requester)).then_some(Naming::Anyone),
            (None, None) => Some(Naming::Itself),
        }
    }

    /// Whether action, resource and conditions match. Absent keys are noted in `missing` once action and resource match.
    pub(crate) fn applies(&self, question: &Question<'_>, mut missing: Option<&mut Vec<SmolStr>>) -> bool {
        self.action_matches(question.action)
            && self.resource_matches(question, missing.as_deref_mut())
            && self.conditions_hold(question, missing)
    }

    pub(crate) fn action_matches(&self, action: Action<'_>) -> bool {
        self.actions.iter().any(|pattern| pattern.matches(action)) != self.not_actions
    }

    fn resource_matches(&self, question: &Question<'_>, missing: Option<&mut Vec<SmolStr>>) -> bool {
        if self.resources.is_empty() {
            // Trust policies: the resource is the role the policy hangs on.
            return true;
        }
        let counted = || self.resources.iter().filter(|resource| !resource.legacy || self.legacy_counts());
        // A variable without value decides only where it makes a `Deny` match; everywhere else a statement whose patterns
        // match for no value at all needs none.
        let value_decides = question.strict_variables && self.effect == Effect::Deny;
        if missing.is_none()
            && !self.not_resources
            && !value_decides
            && !counted().any(|resource| resource.pattern.may_match(question.resource))
        {
            return false;
        }
        let mut listed = false;
        let mut unresolved = false;
        for resource in counted() {
            match resource.pattern.matches(question.resource, question.facts) {
                Match::Yes => listed = true,
                Match::No => {}
                Match::Unresolved => unresolved = true,
            }
        }
        if unresolved {
            if let Some(missing) = missing {
                let all = self.resources.iter().flat_map(|r| r.pattern.unresolved(question.facts));
                missing.extend(all.cloned());
            }
            match self.effect {
                Effect::Allow => return false,
                Effect::Deny if question.strict_variables => return true,
                Effect::Deny => {}
            }
        }
        listed != self.not_resources
    }

    /// A legacy spelling takes access away and never gives it: it counts in `Deny` + `Resource`, and as an exclusion in
    /// `Allow` + `NotResource`.
    pub(crate) fn legacy_counts(&self) -> bool {
        (self.effect == Effect::Deny) != self.not_resources
    }

    pub(crate) fn conditions_hold(&self, question: &Question<'_>, mut missing: Option<&mut Vec<SmolStr>>) -> bool {
        let mut hold = true;
        for condition in &self.conditions {
            let verdict = condition.evaluate(question.facts, missing.as_deref_mut());
            hold &= match (verdict, self.effect) {
                (Verdict::Holds, _) => true,
                (Verdict::Fails, _) | (Verdict::Unresolved(_), Effect::Allow) => false,
                (Verdict::Unresolved(otherwise), Effect::Deny) => question.strict_variables || otherwise,
            };
            if !hold && missing.is_none() {
                return false;
            }
        }
        hold
    }
}
