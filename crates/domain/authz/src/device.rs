//! The policies of one connected device, compiled for the broker's hot path.
//!
//! Variables are replaced once, when the connection is made; each rule is sorted under the actions it speaks of, and the
//! fixed part of the resource ARN is matched in advance. A decision then compares topic names only. Whoever keeps
//! decisions must drop them when the policies, the attached things or the certificate change, and not keep them at all
//! when [`DevicePolicies::depends_on_time`]. Source: control-plane-api.md section 5.6.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::decide::{Layer, Outcome};
use crate::facts::Facts;
use crate::pattern::{Match, Pattern, Token};
use crate::policy::{Action, Effect, Policy, Question};

/// What a device does over MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceAction {
    /// On `client/{clientId}`.
    Connect,
    /// On `topic/{topic}`.
    Publish,
    /// On `topic/{topic}`, besides `Publish`.
    RetainPublish,
    /// On `topicfilter/{filter}`.
    Subscribe,
    /// On `topic/{topic}`, at each delivery.
    Receive,
}

impl DeviceAction {
    /// Every action.
    pub const ALL: [DeviceAction; 5] = [
        DeviceAction::Connect,
        DeviceAction::Publish,
        DeviceAction::RetainPublish,
        DeviceAction::Subscribe,
        DeviceAction::Receive,
    ];

    /// `iot:Publish`, …
    pub fn name(self) -> &'static str {
        match self {
            DeviceAction::Connect => "iot:Connect",
            DeviceAction::Publish => "iot:Publish",
            DeviceAction::RetainPublish => "iot:RetainPublish",
            DeviceAction::Subscribe => "iot:Subscribe",
            DeviceAction::Receive => "iot:Receive",
        }
    }

    /// What stands before the name in the resource: `topic/`, …
    pub fn resource_type(self) -> &'static str {
        match self {
            DeviceAction::Connect => "client/",
            DeviceAction::Subscribe => "topicfilter/",
            DeviceAction::Publish | DeviceAction::RetainPublish | DeviceAction::Receive => "topic/",
        }
    }
}

/// The policies of one connection.
#[derive(Clone, Debug)]
pub struct DevicePolicies {
    /// `arn:aws:iot:us-east-1:000000000000:`.
    prefix: SmolStr,
    rules: [Vec<Rule>; 5],
    depends_on_time: bool,
    strict_variables: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    effect: Effect,
    not: bool,
    names: Vec<Name>,
    /// Policy and statement whose conditions must hold; `None` without conditions.
    conditions: Option<(Arc<Policy>, usize)>,
}

/// What a resource pattern leaves to compare once the fixed part of the ARN is matched.
#[derive(Clone, Debug)]
enum Name {
    /// Compared with the name alone.
    Rest(Pattern),
    /// A wildcard stands in the fixed part: compared with the whole ARN.
    Whole(Pattern),
}

impl DevicePolicies {
    /// Compiles `policies` for one connection. `prefix` is the ARN up to the resource, `arn:aws:iot:{region}:{account}:`;
    /// `facts` hold the variables that stay the same while it lasts: client id, thing, certificate, source address.
    pub fn bind(policies: &[Arc<Policy>], prefix: &str, facts: &dyn Facts, strict_variables: bool) -> DevicePolicies {
        let mut bound = DevicePolicies {
            prefix: prefix.into(),
            rules: Default::default(),
            depends_on_time: false,
            strict_variables,
        };
        for policy in policies {
            for (index, statement) in policy.statements.iter().enumerate() {
                let conditions = (!statement.conditions.is_empty()).then(|| (Arc::clone(policy), index));
                for (action, rules) in DeviceAction::ALL.into_iter().zip(bound.rules.iter_mut()) {
                    if !statement.action_matches(Action::new(action.name())) {
                        continue;
                    }
                    let fixed = format!("{prefix}{}", action.resource_type());
                    let mut names = Vec::new();
                    let mut unresolved = false;
                    for resource in &statement.resources {
                        if resource.legacy && !statement.legacy_counts() {
                            continue;
                        }
                        match resource.pattern.bound(facts) {
                            Some(pattern) => names.extend(remainder(&pattern, &fixed)),
                            None => unresolved = true,
                        }
                    }
                    let mut not = statement.not_resources;
                    match (unresolved, statement.effect) {
                        (true, Effect::Allow) => continue,
                        (true, Effect::Deny) if strict_variables => {
                            names.clear();
                            not = true;
                        }
                        _ => {}
                    }
                    if names.is_empty() && !not {
                        continue;
                    }
                    bound.depends_on_time |= statement.conditions.iter().any(|c| c.depends_on_time());
                    rules.push(Rule { effect: statement.effect, not, names, conditions: conditions.clone() });
                }
            }
        }
        bound
    }

    /// Whether a decision may change with time alone.
    pub fn depends_on_time(&self) -> bool {
        self.depends_on_time
    }

    /// Decides. `name` is the client id, topic or filter; `facts` are those of [`DevicePolicies::bind`] plus the moment
    /// and, for `Connect`, `iot:ConnectAttributes`.
    pub fn decide(&self, action: DeviceAction, name: &str, facts: &dyn Facts) -> Outcome {
        let slot = DeviceAction::ALL.into_iter().zip(&self.rules).find(|(candidate, _)| *candidate == action);
        let Some((_, rules)) = slot else { return Outcome::ImplicitDeny(Layer::Identity) };
        let mut allowed = false;
        for rule in rules {
            if allowed && rule.effect == Effect::Allow {
                continue;
            }
            if !self.covers(rule, action, name, facts) {
                continue;
            }
            match rule.effect {
                Effect::Deny => return Outcome::ExplicitDeny(Layer::Identity),
                Effect::Allow => allowed = true,
            }
        }
        if allowed { Outcome::Allowed } else { Outcome::ImplicitDeny(Layer::Identity) }
    }

    fn covers(&self, rule: &Rule, action: DeviceAction, name: &str, facts: &dyn Facts) -> bool {
        let listed = rule.names.iter().any(|pattern| match pattern {
            Name::Rest(pattern) => pattern.matches(name, facts) == Match::Yes,
            Name::Whole(pattern) => pattern.matches(&self.arn(action, name), facts) == Match::Yes,
        });
        if listed == rule.not {
            return false;
        }
        let Some((policy, index)) = &rule.conditions else { return true };
        let arn = self.arn(action, name);
        let question = Question {
            action: Action::new(action.name()),
            resource: &arn,
            facts,
            strict_variables: self.strict_variables,
        };
        policy.statements.get(*index).is_some_and(|statement| statement.conditions_hold(&question, None))
    }

    fn arn(&self, action: DeviceAction, name: &str) -> String {
        let mut arn = String::with_capacity(self.prefix.len().saturating_add(name.len()).saturating_add(16));
        arn.push_str(&self.prefix);
        arn.push_str(action.resource_type());
        arn.push_str(name);
        arn
    }
}

/// Consumes `fixed` from the front of a pattern; `None` when they cannot match.
fn remainder(pattern: &Pattern, fixed: &str) -> Option<Name> {
    let mut rest = fixed;
    let mut tokens = pattern.tokens().iter();
    while !rest.is_empty() {
        match tokens.next()? {
            Token::Text(text) => {
                if let Some(remaining) = rest.strip_prefix(text.as_str()) {
                    rest = remaining;
                } else {
                    let tail = text.strip_prefix(rest)?;
                    let mut kept = vec![Token::Text(tail.into())];
                    kept.extend(tokens.cloned());
                    return Some(Name::Rest(Pattern::from_tokens(kept)));
                }
            }
            Token::One => {
                let first = rest.chars().next()?;
                rest = rest.get(first.len_utf8()..)?;
            }
            Token::Star if tokens.len() == 0 => return Some(Name::Rest(Pattern::from_tokens(vec![Token::Star]))),
            Token::Star => return Some(Name::Whole(pattern.clone())),
            // Bound patterns have no variables; unknown means no.
            Token::Variable { .. } => return None,
        }
    }
    Some(Name::Rest(Pattern::from_tokens(tokens.cloned().collect())))
}
