//! `accessControl` as an author wrote it, judged as the core will (CR 6.9): what cannot be read takes all rights of a component away,
//! what is not known grants nothing.

use std::fmt;

use serde_json::Value;

/// Services and the operations that a policy may name (CR 6.9); `aws.marram.config` is ours (CR 3.5).
pub const ACCESS_SERVICES: &[(&str, &[&str])] = &[
    ("aws.greengrass.ipc.pubsub", &["PublishToTopic", "SubscribeToTopic"]),
    ("aws.greengrass.ipc.mqttproxy", &["PublishToIoTCore", "SubscribeToIoTCore"]),
    ("aws.greengrass.SecretManager", &["GetSecretValue"]),
    (
        "aws.greengrass.ShadowManager",
        &["GetThingShadow", "UpdateThingShadow", "DeleteThingShadow", "ListNamedShadowsForThing"],
    ),
    ("aws.greengrass.ipc.lifecycle", &["PauseComponent", "ResumeComponent"]),
    (
        "aws.greengrass.clientdevices.Auth",
        &[
            "SubscribeToCertificateUpdates",
            "VerifyClientDeviceIdentity",
            "GetClientDeviceAuthToken",
            "AuthorizeClientDeviceAction",
        ],
    ),
    (
        "aws.greengrass.Cli",
        &[
            "GetComponentDetails",
            "ListComponents",
            "RestartComponent",
            "StopComponent",
            "CreateLocalDeployment",
            "CancelLocalDeployment",
            "GetLocalDeploymentStatus",
            "ListLocalDeployments",
            "CreateDebugPassword",
        ],
    ),
    ("aws.greengrass.ipc.componentmetric", &["PutComponentMetric"]),
    ("aws.marram.config", &["GetConfiguration", "SubscribeToConfigurationUpdate"]),
    // Its policies are read elsewhere; operations have no names there.
    ("aws.greengrass.TokenExchangeService", &[]),
];
/// Operations carry this prefix in policies.
pub const ACCESS_PREFIX: &str = "aws.greengrass#";

/// Something in `accessControl` that does not grant what its author meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessProblem {
    /// Keys from the configuration's root, with slashes between them: identifiers have dots of their own.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// A core refuses the deployment: no policy of the component would hold.
    pub fatal: bool,
}

impl fmt::Display for AccessProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.problem, self.remedy)
    }
}

/// The problems of a configuration's `accessControl`; none when it has none or when it is sound.
pub fn check_access(configuration: &Value) -> Vec<AccessProblem> {
    let members = configuration.as_object().into_iter().flatten();
    let Some((_, given)) = members.into_iter().find(|(key, _)| key.eq_ignore_ascii_case("accessControl")) else {
        return Vec::new();
    };
    let mut told = Told(Vec::new());
    // A leaf that holds JSON text is read as well (CR 6.9).
    let parsed = match given {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Bool(false)),
        value => value.clone(),
    };
    match &parsed {
        Value::Null => {}
        Value::Object(services) => {
            for (service, policies) in services {
                told.service(&format!("accessControl/{service}"), service, policies);
            }
        }
        _ => told.add(
            true,
            "accessControl",
            "this is not a map of services",
            "write SERVICE: {ID: {operations: [], resources: []}}",
        ),
    }
    told.0
}

struct Told(Vec<AccessProblem>);

impl Told {
    fn add(&mut self, fatal: bool, place: &str, problem: &str, remedy: &str) {
        self.0.push(AccessProblem {
            place: place.to_owned(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
            fatal,
        });
    }

    fn service(&mut self, place: &str, service: &str, policies: &Value) {
        let Value::Object(policies) = policies else {
            self.add(true, place, "this is not a map of policies", "write ID: {operations: [], resources: []}");
            return;
        };
        let known = ACCESS_SERVICES.iter().find(|(name, _)| *name == service);
        if known.is_none() {
            let names: Vec<&str> = ACCESS_SERVICES.iter().map(|(name, _)| *name).collect();
            self.add(false, place, "no such service is known", &format!("known here: {}", names.join(", ")));
        }
        for (id, policy) in policies {
            self.policy(&format!("{place}/{id}"), known.map_or(&[], |(_, operations)| operations), policy);
        }
    }

    fn policy(&mut self, place: &str, known: &[&str], policy: &Value) {
        let Value::Object(members) = policy else {
            self.add(true, place, "this is not a policy", "write {operations: [], resources: []}");
            return;
        };
        for (key, value) in members {
            match key.as_str() {
                "operations" | "resources" => {
                    let is_texts = match value {
                        Value::Null | Value::String(_) => true,
                        Value::Array(items) => items.iter().all(Value::is_string),
                        _ => false,
                    };
                    if !is_texts {
                        self.add(
                            true,
                            &format!("{place}/{key}"),
                            "this is not a list of texts",
                            "write the texts in [ ]",
                        );
                    }
                }
                "policyDescription" => {}
                _ => {
                    let remedy = "known here: policyDescription, operations, resources";
                    self.add(false, &format!("{place}/{key}"), "this key is not known and is ignored", remedy);
                }
            }
        }
        let operations = match members.get("operations") {
            Some(Value::String(text)) => vec![text.as_str()],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if known.is_empty() {
            return;
        }
        for name in operations {
            if name != "*" && !name.strip_prefix(ACCESS_PREFIX).is_some_and(|name| known.contains(&name)) {
                let names: Vec<String> = known.iter().map(|name| format!("{ACCESS_PREFIX}{name}")).collect();
                let problem = format!("the operation `{name}` does not belong to this service and grants nothing");
                self.add(false, place, &problem, &format!("known here: {}, *", names.join(", ")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CR 6.9: what takes all rights away is fatal, what grants nothing is told, what is right is not.
    #[test]
    fn rights_are_judged_as_the_core_will() {
        let pubsub = |policy: Value| json!({"accessControl": {"aws.greengrass.ipc.pubsub": {"p": policy}}});
        let good =
            json!({"policyDescription": "d", "operations": ["aws.greengrass#PublishToTopic"], "resources": ["*"]});
        for (configuration, wanted) in [
            (json!({}), None),
            (json!({"accessControl": null}), None),
            (pubsub(good.clone()), None),
            (pubsub(json!({"operations": "*", "resources": "*"})), None),
            (json!({"accesscontrol": {"aws.greengrass.TokenExchangeService": {"p": {"operations": ["*"]}}}}), None),
            (json!({"accessControl": "nonsense"}), Some(("accessControl", true))),
            (
                json!({"accessControl": {"aws.greengrass.ipc.pubsub": []}}),
                Some(("accessControl/aws.greengrass.ipc.pubsub", true)),
            ),
            (pubsub(json!("x")), Some(("accessControl/aws.greengrass.ipc.pubsub/p", true))),
            (pubsub(json!({"operations": [1]})), Some(("accessControl/aws.greengrass.ipc.pubsub/p/operations", true))),
            (pubsub(json!({"operation": ["*"]})), Some(("accessControl/aws.greengrass.ipc.pubsub/p/operation", false))),
            (
                pubsub(json!({"operations": ["aws.greengrass#PublishToTopc"]})),
                Some(("accessControl/aws.greengrass.ipc.pubsub/p", false)),
            ),
            (
                json!({"accessControl": {"aws.greengrass.ipc.pubsb": {"p": good}}}),
                Some(("accessControl/aws.greengrass.ipc.pubsb", false)),
            ),
        ] {
            let found = check_access(&configuration);
            let told = found.first().map(|one| (one.place.as_str(), one.fatal));
            assert_eq!(told, wanted, "{configuration}");
            assert!(found.len() <= 1, "{found:?}");
        }
    }
}
