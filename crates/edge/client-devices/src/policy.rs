//! Policies of device groups (CC 2.5.1, 2.5.3): read, checked as a whole, asked on the hot path.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::selection::{SelectionError, SelectionRule};

/// The variable that a resource may hold.
const THING_VARIABLE: &str = "${iot:Connection.Thing.ThingName}";
/// The accepted version.
const FORMAT_VERSION: &str = "2021-03-05";

/// Groups with their policies.
#[derive(Debug, Clone, Default)]
pub struct DeviceGroups {
    groups: Vec<(SelectionRule, Vec<Statement>)>,
}

#[derive(Debug, Clone)]
struct Statement {
    is_deny: bool,
    operations: Vec<String>,
    resources: Vec<String>,
}

/// A configuration that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A member is missing or of the wrong kind.
    #[error("deviceGroups: {0}")]
    Shape(String),
    /// `formatVersion` is another one.
    #[error("deviceGroups has format version {0}, known is {FORMAT_VERSION}")]
    Version(String),
    /// A group's rule.
    #[error("group `{0}`: {1}")]
    Rule(String, SelectionError),
    /// A group names a policy that is not there.
    #[error("group `{group}` names the policy `{policy}`, which does not exist")]
    NoPolicy {
        /// The group.
        group: String,
        /// The policy.
        policy: String,
    },
    /// A resource holds a variable nobody knows.
    #[error("policy `{0}` has unknown variables")]
    Variable(String),
    /// An effect that is neither ALLOW nor DENY.
    #[error("policy `{0}` has an unknown effect")]
    Effect(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    format_version: Option<String>,
    #[serde(default)]
    definitions: HashMap<String, RawGroup>,
    #[serde(default)]
    policies: HashMap<String, HashMap<String, RawStatement>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawGroup {
    selection_rule: String,
    policy_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatement {
    effect: Option<String>,
    #[serde(default)]
    operations: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
}

impl DeviceGroups {
    /// Reads `deviceGroups`; null is no groups, which allow nothing.
    ///
    /// # Errors
    /// [`PolicyError`]: the configuration before stays in force.
    pub fn read(value: &Value) -> Result<Self, PolicyError> {
        if value.is_null() {
            return Ok(Self::default());
        }
        let raw = Raw::deserialize(value).map_err(|error| PolicyError::Shape(error.to_string()))?;
        if let Some(version) = raw.format_version.filter(|version| version != FORMAT_VERSION) {
            return Err(PolicyError::Version(version));
        }
        let mut policies = HashMap::new();
        for (name, statements) in raw.policies {
            let statements: Result<Vec<Statement>, PolicyError> =
                statements.into_values().map(|statement| Statement::read(&name, statement)).collect();
            policies.insert(name, statements?);
        }
        let mut groups = Vec::new();
        for (name, group) in raw.definitions {
            let rule = SelectionRule::parse(&group.selection_rule);
            let rule = rule.map_err(|error| PolicyError::Rule(name.clone(), error))?;
            let policy = policies.get(&group.policy_name).cloned();
            let policy = policy.ok_or(PolicyError::NoPolicy { group: name, policy: group.policy_name })?;
            groups.push((rule, policy));
        }
        Ok(Self { groups })
    }

    /// Whether `thing` may do `operation` (`mqtt:publish`) on `resource` (`mqtt:topic:a/b`). Malformed: no.
    pub fn allows(&self, thing: &str, operation: &str, resource: &str) -> bool {
        let Some((service, _)) = operation.split_once(':') else { return false };
        if resource.split_once(':').is_none_or(|(owner, rest)| owner != service || !rest.contains(':')) {
            return false;
        }
        self.decide(thing, operation, |pattern| glob(pattern, resource))
    }

    /// Whether a message on `topic` can reach `thing` through a subscription it may have.
    pub fn may_receive(&self, thing: &str, topic: &str) -> bool {
        let fits = |pattern: &str| {
            pattern == "*"
                || pattern
                    .strip_prefix("mqtt:topicfilter:")
                    .is_some_and(|filter| glob(filter, topic) || marram_mqtt::matches(filter, topic))
        };
        self.decide(thing, "mqtt:subscribe", fits)
    }

    fn decide(&self, thing: &str, operation: &str, fits: impl Fn(&str) -> bool) -> bool {
        let mut is_allowed = false;
        for (rule, statements) in &self.groups {
            if !rule.selects(thing) {
                continue;
            }
            for statement in statements {
                let applies = statement.operations.iter().any(|known| operation_fits(known, operation))
                    && statement.resources.iter().any(|known| fits(&known.replace(THING_VARIABLE, thing)));
                if applies && statement.is_deny {
                    return false;
                }
                is_allowed |= applies;
            }
        }
        is_allowed
    }
}

impl Statement {
    fn read(policy: &str, raw: RawStatement) -> Result<Self, PolicyError> {
        let is_deny = match raw.effect.as_deref() {
            None | Some("ALLOW") => false,
            Some("DENY") => true,
            Some(_) => return Err(PolicyError::Effect(policy.to_owned())),
        };
        for resource in &raw.resources {
            let without = resource.replace(THING_VARIABLE, "");
            let without = ["${*}", "${?}", "${$}"].iter().fold(without, |text, escape| text.replace(escape, ""));
            if without.contains("${") {
                return Err(PolicyError::Variable(policy.to_owned()));
            }
        }
        Ok(Self { is_deny, operations: raw.operations, resources: raw.resources })
    }
}

fn operation_fits(known: &str, operation: &str) -> bool {
    known == "*"
        || known == operation
        || known
            .strip_suffix(":*")
            .is_some_and(|service| operation.split_once(':').is_some_and(|(own, _)| own == service))
}

/// Whether `text` matches `pattern`, where `*` is any run of characters and `${*}`, `${?}`, `${$}` are those characters.
fn glob(pattern: &str, text: &str) -> bool {
    // Literal pieces between the stars.
    let mut pieces = vec![String::new()];
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let escaped =
            [("${*}", '*'), ("${?}", '?'), ("${$}", '$')].into_iter().find(|(escape, _)| rest.starts_with(escape));
        match escaped {
            Some((escape, literal)) => {
                pieces.last_mut().expect("begins with one").push(literal);
                rest = &rest[escape.len()..];
            }
            None => {
                if letter == '*' {
                    pieces.push(String::new());
                } else {
                    pieces.last_mut().expect("begins with one").push(letter);
                }
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    let [first, middle @ .., last] = pieces.as_slice() else { return pieces[0] == text };
    let Some(mut inner) = text.strip_prefix(first.as_str()) else { return false };
    let Some(cut) = inner.strip_suffix(last.as_str()) else { return false };
    inner = cut;
    for piece in middle {
        match inner.find(piece.as_str()) {
            Some(at) => inner = &inner[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn groups() -> DeviceGroups {
        DeviceGroups::read(&json!({
            "formatVersion": "2021-03-05",
            "definitions": {
                "all": {"selectionRule": "thingName: *", "policyName": "own"},
                "presses": {"selectionRule": "thingName: press*", "policyName": "press"},
            },
            "policies": {
                "own": {"s": {"operations": ["mqtt:connect"], "resources": ["mqtt:clientId:${iot:Connection.Thing.ThingName}"]}},
                "press": {
                    "s": {"operations": ["mqtt:publish"], "resources": ["mqtt:topic:press/*/temp", "mqtt:topic:lit${*}"]},
                    "t": {"operations": ["mqtt:*"], "resources": ["mqtt:topicfilter:in/+", "mqtt:topicfilter:all/*"]},
                    "u": {"effect": "DENY", "operations": ["*"], "resources": ["mqtt:topic:press/secret/temp"]},
                },
            },
        }))
        .unwrap()
    }

    /// CC 2.5.3: union over groups, deny wins, no match is no; globs, escapes, the one variable, filters as literals.
    #[test]
    fn policies_decide() {
        let groups = groups();
        for (thing, operation, resource, wanted) in [
            ("press-1", "mqtt:connect", "mqtt:clientId:press-1", true),
            ("press-1", "mqtt:connect", "mqtt:clientId:press-2", false),
            ("press-1", "mqtt:publish", "mqtt:topic:press/1/x/temp", true),
            ("press-1", "mqtt:publish", "mqtt:topic:press/1", false),
            ("press-1", "mqtt:publish", "mqtt:topic:press/secret/temp", false),
            ("press-1", "mqtt:publish", "mqtt:topic:lit*", true),
            ("press-1", "mqtt:publish", "mqtt:topic:little", false),
            ("press-1", "mqtt:subscribe", "mqtt:topicfilter:in/+", true),
            ("press-1", "mqtt:subscribe", "mqtt:topicfilter:in/a", false),
            ("press-1", "mqtt:subscribe", "mqtt:topicfilter:all/a/#", true),
            ("lathe-1", "mqtt:publish", "mqtt:topic:press/1/x/temp", false),
            ("press-1", "iot:publish", "mqtt:topic:press/1/x/temp", false),
            ("press-1", "publish", "press/1/x/temp", false),
        ] {
            assert_eq!(groups.allows(thing, operation, resource), wanted, "{thing} {operation} {resource}");
        }
        assert!(groups.may_receive("press-1", "in/a") && !groups.may_receive("press-1", "in/a/b"));
        assert!(groups.may_receive("press-1", "all/a/b") && !groups.may_receive("lathe-1", "all/a"));
        assert!(!DeviceGroups::default().allows("press-1", "mqtt:connect", "mqtt:clientId:press-1"));
    }

    /// CC 2.5.1, 2.5.3: a configuration is refused as a whole.
    #[test]
    fn wrong_configurations_are_refused() {
        let with = |rule: &str, policy: &str, resource: &str| {
            json!({"definitions": {"g": {"selectionRule": rule, "policyName": policy}},
                   "policies": {"p": {"s": {"operations": ["*"], "resources": [resource]}}}})
        };
        assert!(DeviceGroups::read(&with("thingName: a", "p", "*")).is_ok());
        assert!(matches!(DeviceGroups::read(&with("thing: a", "p", "*")), Err(PolicyError::Rule(..))));
        assert!(matches!(DeviceGroups::read(&with("thingName: a", "q", "*")), Err(PolicyError::NoPolicy { .. })));
        assert!(matches!(DeviceGroups::read(&with("thingName: a", "p", "${x}")), Err(PolicyError::Variable(_))));
        assert!(matches!(DeviceGroups::read(&json!({"formatVersion": "1"})), Err(PolicyError::Version(_))));
        assert!(matches!(DeviceGroups::read(&json!({"definitions": {"g": {}}})), Err(PolicyError::Shape(_))));
    }
}
