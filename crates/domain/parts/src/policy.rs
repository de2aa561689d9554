//! Policies of device groups (CC 2.5.1, 2.5.3): read, checked as a whole, asked on the hot path.

use std::collections::HashMap;

use crate::reader::{Place, Reader, Scope};
use crate::selection::SelectionRule;

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

impl DeviceGroups {
    /// Reads `deviceGroups`. No groups allow nothing.
    pub(crate) fn read(reader: &mut Reader<'_>, place: &Place<'_>) -> Self {
        let mut groups = Self::default();
        if !reader.exact_map(place, &["formatVersion", "definitions", "policies"]) {
            return groups;
        }
        reader.word(place, "formatVersion", &[FORMAT_VERSION], false);
        let mut policies = HashMap::new();
        for (name, policy) in reader.named(place, "policies") {
            if !policy.value.is_object() {
                reader.wrong(&policy, "is no object; write statements by their names");
            }
            let statements = policy.members().filter_map(|(_, statement)| Statement::read(reader, &statement));
            policies.insert(name, statements.collect::<Vec<_>>());
        }
        for (_, group) in reader.named(place, "definitions") {
            if !reader.exact_map(&group, &["selectionRule", "policyName"]) {
                continue;
            }
            let rule = reader.text(&group, "selectionRule");
            if group.member("selectionRule").is_none() {
                reader.missing(&group, "selectionRule", "write for example \"thingName: press*\"", true);
            }
            let rule = rule.filter(|(text, _)| reader.is_settled(text)).and_then(|(text, place)| {
                let read = SelectionRule::parse(text);
                read.map_err(|error| {
                    reader.wrong(&place, format_args!("is no {error}; write for example \"thingName: press*\""));
                })
                .ok()
            });
            let policy = reader.text(&group, "policyName");
            if group.member("policyName").is_none() {
                reader.missing(&group, "policyName", "name one of the policies", true);
            }
            let policy = policy.and_then(|(name, place)| {
                let found = policies.get(name).cloned();
                // Another deployment may have brought it.
                if found.is_none() && reader.scope != Scope::Update && reader.is_settled(name) {
                    let mut names: Vec<&str> = policies.keys().copied().collect();
                    names.sort_unstable();
                    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    reader.wrong(&place, format_args!("is the name of no policy; there are {names}"));
                }
                found
            });
            if let (Some(rule), Some(policy)) = (rule, policy) {
                groups.groups.push((rule, policy));
            }
        }
        groups
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
    fn read(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<Self> {
        if !reader.exact_map(place, &["statementDescription", "effect", "operations", "resources"]) {
            return None;
        }
        reader.text(place, "statementDescription");
        let is_deny = reader.word(place, "effect", &["ALLOW", "DENY"], true) == Some(1);
        let operations: Vec<String> =
            reader.texts(place, "operations").into_iter().map(|(text, _)| text.into()).collect();
        let mut resources = Vec::new();
        for (resource, place) in reader.texts(place, "resources") {
            let without = resource.replace(THING_VARIABLE, "");
            let without = ["${*}", "${?}", "${$}"].iter().fold(without, |text, escape| text.replace(escape, ""));
            if without.contains("${") {
                reader.wrong(&place, format_args!("has an unknown variable; there is {THING_VARIABLE}"));
            }
            resources.push(resource.to_owned());
        }
        for key in ["operations", "resources"] {
            if place.member(key).is_none() {
                // It allows nothing, which is safe.
                reader.missing(place, key, "write a list of texts", false);
            }
        }
        Some(Self { is_deny, operations, resources })
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
    use crate::{DeviceSettings, Scope};

    fn groups() -> DeviceGroups {
        let groups = json!({
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
        });
        DeviceSettings::read(&json!({"deviceGroups": groups}), Scope::Core("core")).usable().unwrap().groups
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
}
