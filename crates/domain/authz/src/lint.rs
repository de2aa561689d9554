//! Remarks about policies that are valid but say less, or more, than they seem to.

use crate::policy::{Action, Effect, Policy};

/// A remark about one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// The statement's `Sid`, or its position counted from 0.
    pub statement: String,
    /// What it is about.
    pub kind: LintKind,
}

/// The kinds of remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintKind {
    /// A resource is spelled in a way that never gives access (things-graph.md section 11.2).
    LegacyThingsGraphArn,
    /// `ForAllValues` in an `Allow` is true of a request that lacks the key (control-plane-api.md section 3.3).
    ForAllValuesAllow,
    /// `Allow` of everything on everything.
    AllowsEverything,
}

impl LintKind {
    /// One sentence for the author.
    pub fn message(self) -> &'static str {
        match self {
            LintKind::LegacyThingsGraphArn => {
                "a resource is not spelled Workflow/, System/ or Deployment/ with namespace and name; it never gives access"
            }
            LintKind::ForAllValuesAllow => {
                "ForAllValues is true when the key is absent; test the key with Null as well"
            }
            LintKind::AllowsEverything => "the statement allows every action on every resource",
        }
    }
}

impl Policy {
    /// Remarks, in the order of the statements.
    pub fn lints(&self) -> Vec<Lint> {
        let mut lints = Vec::new();
        for statement in &self.statements {
            let allow = statement.effect == Effect::Allow;
            let legacy = statement.resources.iter().any(|resource| resource.legacy);
            let for_all = statement.conditions.iter().any(|condition| condition.is_for_all_values());
            let everything = statement.conditions.is_empty()
                && !statement.not_actions
                && statement.action_matches(Action::new("any:Thing"))
                && !statement.not_resources
                && statement.resources.iter().any(|resource| resource.pattern.is_any());
            for (present, kind) in [
                (legacy, LintKind::LegacyThingsGraphArn),
                (allow && for_all, LintKind::ForAllValuesAllow),
                (allow && everything, LintKind::AllowsEverything),
            ] {
                if present {
                    lints.push(Lint { statement: statement.name.to_string(), kind });
                }
            }
        }
        lints
    }
}
