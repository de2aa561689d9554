//! What components may do: `accessControl` compiled per component (CR 6.9).
//!
//! Policies are replaced as a whole. Unknown means no: a component whose policies cannot be read has none, and
//! [`check_access_control`] tells a deployment so before it gets that far.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use marram_deploy::{ACCESS_PREFIX, ACCESS_SERVICES};
use serde_json::Value;
use smol_str::SmolStr;

use crate::operation::Operation;
use crate::pattern::Pattern;

/// The one service whose rules read MQTT wildcards.
const MQTT_SERVICE: &str = "aws.greengrass.ipc.mqttproxy";

/// Something in `accessControl` that does not grant what its author meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// Keys from `accessControl` on, joined by `/`.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// All policies of the component are void, not only this one.
    pub fatal: bool,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accessControl/{}: {}", self.place, self.problem)
    }
}

/// The problems of one component's `accessControl`, for the validation of a deployment; empty when it is sound.
pub fn check_access_control(access_control: &Value) -> Vec<PolicyProblem> {
    Rules::compile(access_control).1
}

/// The policies of every component.
#[derive(Debug, Default)]
pub(crate) struct Policies(HashMap<SmolStr, Rules>);

impl Policies {
    pub(crate) fn compile(access_control: &BTreeMap<SmolStr, Value>) -> Self {
        let compile = |(component, value): (&SmolStr, &Value)| {
            let (rules, problems) = Rules::compile(value);
            for problem in problems {
                tracing::error!(%component, place = %problem.place, "{}", problem.problem);
            }
            (component.clone(), rules)
        };
        Self(access_control.iter().map(compile).collect())
    }

    /// Whether a policy of `principal` grants the operation on the resource; without a resource any grant will do.
    pub(crate) fn allow(&self, principal: &str, service: &str, operation: Operation, resource: Option<&str>) -> bool {
        let Some(statements) = self.0.get(principal).and_then(|rules| rules.0.get(service)) else {
            return false;
        };
        statements.iter().any(|statement| statement.allows(operation.name(), resource))
    }
}

/// One component's statements by service.
#[derive(Debug, Default)]
struct Rules(HashMap<SmolStr, Vec<Statement>>);

#[derive(Debug)]
struct Statement {
    /// None: all.
    operations: Option<Vec<SmolStr>>,
    resources: Vec<Pattern>,
}

impl Statement {
    fn allows(&self, operation: &str, resource: Option<&str>) -> bool {
        self.operations.as_ref().is_none_or(|names| names.iter().any(|name| name == operation))
            && resource.is_none_or(|text| self.resources.iter().any(|rule| rule.matches(text)))
    }
}

impl Rules {
    fn compile(access_control: &Value) -> (Self, Vec<PolicyProblem>) {
        let mut problems = Vec::new();
        let parsed;
        // A leaf that holds JSON text is read as well (CR 6.9).
        let value = match access_control {
            Value::String(text) => {
                parsed = serde_json::from_str(text).unwrap_or(Value::Bool(false));
                &parsed
            }
            value => value,
        };
        let mut rules = Self::default();
        let sound = match value {
            Value::Null => true,
            Value::Object(services) => {
                services.iter().all(|(service, policies)| rules.service(service, policies, &mut problems))
            }
            _ => fatal(&mut problems, "", "not a map of services"),
        };
        (if sound { rules } else { Self::default() }, problems)
    }

    fn service(&mut self, service: &str, policies: &Value, problems: &mut Vec<PolicyProblem>) -> bool {
        let Value::Object(policies) = policies else {
            return fatal(problems, service, "not a map of policies");
        };
        let known = ACCESS_SERVICES.iter().find(|(name, _)| *name == service);
        if known.is_none() {
            problem(problems, service, "no such service: ignored until something registers it");
        }
        for (id, policy) in policies {
            let place = format!("{service}/{id}");
            let Value::Object(members) = policy else {
                return fatal(problems, &place, "not a policy");
            };
            let Some(operations) = texts(members.get("operations")) else {
                return fatal(problems, &place, "`operations` is not a list of texts");
            };
            let Some(resources) = texts(members.get("resources")) else {
                return fatal(problems, &place, "`resources` is not a list of texts");
            };
            if operations.is_empty() {
                problem(problems, &place, "a policy without operations grants nothing");
                continue;
            }
            if let Some((_, names)) = known.filter(|(_, names)| !names.is_empty()) {
                let unknown = |name: &&&str| {
                    **name != "*" && !name.strip_prefix(ACCESS_PREFIX).is_some_and(|name| names.contains(&name))
                };
                for name in operations.iter().filter(unknown) {
                    problem(problems, &place, &format!("operation `{name}` does not belong to this service"));
                }
            }
            let mut rules = Vec::with_capacity(resources.len());
            for resource in resources {
                match Pattern::parse(resource, service == MQTT_SERVICE) {
                    Ok(rule) => rules.push(rule),
                    Err(error) => problem(problems, &place, &format!("resource `{resource}` is dropped: {error}")),
                }
            }
            let all = operations.contains(&"*");
            let operations = (!all).then(|| operations.into_iter().map(SmolStr::new).collect());
            self.0.entry(service.into()).or_default().push(Statement { operations, resources: rules });
        }
        true
    }
}

fn texts(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => Some(vec![text]),
        Some(Value::Array(items)) => items.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

fn problem(problems: &mut Vec<PolicyProblem>, place: &str, problem: &str) {
    problems.push(PolicyProblem { place: place.to_owned(), problem: problem.to_owned(), fatal: false });
}

fn fatal(problems: &mut Vec<PolicyProblem>, place: &str, problem: &str) -> bool {
    let problem = format!("{problem}: no policy of this component holds");
    problems.push(PolicyProblem { place: place.to_owned(), problem, fatal: true });
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PUBSUB: &str = "aws.greengrass.ipc.pubsub";

    fn policies(value: Value) -> Policies {
        Policies::compile(&BTreeMap::from([("c".into(), value)]))
    }

    /// CR 6.9: operation and resource must both be granted to that very principal.
    #[test]
    fn a_grant_is_operation_and_resource() {
        let one = |operations: Value, resources: Value| {
            policies(json!({PUBSUB: {"p": {"operations": operations, "resources": resources}}}))
        };
        let publish = Operation::PublishToTopic;
        let some = one(json!(["aws.greengrass#PublishToTopic"]), json!(["a/*"]));
        assert!(some.allow("c", PUBSUB, publish, Some("a/b")));
        assert!(!some.allow("c", PUBSUB, publish, Some("b")));
        assert!(!some.allow("c", PUBSUB, Operation::SubscribeToTopic, Some("a/b")));
        assert!(!some.allow("d", PUBSUB, publish, Some("a/b")));
        assert!(!some.allow("c", "aws.greengrass.ipc.mqttproxy", publish, Some("a/b")));
        assert!(one(json!(["*"]), json!(["*"])).allow("c", PUBSUB, publish, Some("x")));
        let no_resource = one(json!(["*"]), json!([]));
        assert!(!no_resource.allow("c", PUBSUB, publish, Some("x")));
        assert!(no_resource.allow("c", PUBSUB, publish, None));
    }

    /// CR 6.9: a malformed policy is skipped, an unreadable one voids all of them, and both are told.
    #[test]
    fn malformed_policies_are_told_and_fail_closed() {
        let good = json!({"operations": ["*"], "resources": ["*"]});
        let skipped = json!({PUBSUB: {"bad": {"resources": ["*"]}, "good": good}});
        assert_eq!(check_access_control(&skipped).iter().map(|p| p.fatal).collect::<Vec<_>>(), [false]);
        assert!(policies(skipped).allow("c", PUBSUB, Operation::PublishToTopic, Some("x")));
        let unreadable = json!({PUBSUB: {"good": good, "x": {"operations": 7}}});
        assert!(check_access_control(&unreadable).iter().any(|p| p.fatal));
        assert!(!policies(unreadable).allow("c", PUBSUB, Operation::PublishToTopic, Some("x")));
        let places = |value: Value| check_access_control(&value).into_iter().map(|p| p.place).collect::<Vec<_>>();
        assert_eq!(places(json!({"no.such": {"p": good}})), ["no.such"]);
        let foreign = json!({PUBSUB: {"p": {"operations": ["aws.greengrass#GetSecretValue"], "resources": ["a?"]}}});
        assert_eq!(places(foreign), ["aws.greengrass.ipc.pubsub/p", "aws.greengrass.ipc.pubsub/p"]);
    }

    /// CR 6.9: `accessControl` given as JSON text is read as well.
    #[test]
    fn a_text_leaf_is_parsed() {
        let text = json!({PUBSUB: {"p": {"operations": ["*"], "resources": ["*"]}}}).to_string();
        assert!(policies(Value::String(text)).allow("c", PUBSUB, Operation::PublishToTopic, Some("x")));
        assert!(check_access_control(&Value::String("{".into())).iter().any(|p| p.fatal));
    }
}
