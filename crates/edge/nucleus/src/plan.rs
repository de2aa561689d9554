//! What a component's stored tree says about its scripts (CR 1.7, 2.5).

use std::time::Duration;

use serde_json::Value;

use crate::lifecycle::{Backoff, RestartPolicy, Step};
use crate::reaction::at;

/// One script as the recipe wants it run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepPlan {
    pub(crate) script: String,
    pub(crate) privileged: bool,
    pub(crate) skip_if: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) environment: Vec<(String, String)>,
}

/// The script of `step`, if the component has one. `Err` tells why its definition cannot be used.
pub(crate) fn step(service: &Value, step: Step) -> Result<Option<StepPlan>, String> {
    let default = step.default_timeout_secs().map(Duration::from_secs);
    let plain = |script: &str| StepPlan {
        script: script.to_owned(),
        privileged: false,
        skip_if: None,
        timeout: default,
        environment: Vec::new(),
    };
    let definition = match at(service, &["lifecycle", step.as_str()]) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(script)) => return Ok(Some(plain(script))),
        Some(definition @ Value::Object(_)) => definition,
        Some(_) => return Err(format!("The {} step is neither a text nor a map.", step.as_str())),
    };
    let Some(script) = at(definition, &["Script"]).and_then(Value::as_str) else {
        return Err(format!("The {} step has no Script.", step.as_str()));
    };
    let timeout = match at(definition, &["Timeout"]) {
        None | Some(Value::Null) => default,
        Some(value) => {
            let seconds = seconds(value).ok_or_else(|| format!("Timeout {value} is not a number of seconds."))?;
            Some(Duration::from_secs_f64(seconds))
        }
    };
    Ok(Some(StepPlan {
        privileged: at(definition, &["RequiresPrivilege"]).is_some_and(is_true),
        skip_if: at(definition, &["Skipif"]).and_then(Value::as_str).map(str::to_owned),
        timeout,
        environment: environment(at(definition, &["Setenv"])),
        ..plain(script)
    }))
}

/// A map of variables; numbers and booleans as their text.
pub(crate) fn environment(map: Option<&Value>) -> Vec<(String, String)> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    members
        .filter(|(name, _)| !name.is_empty() && !name.contains('='))
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// How eagerly a component is retried: `lifecycle.errorResetTime`, `lifecycle.restartPolicy`, and what a deployment
/// configured at `configuration.marram.restartPolicy`, which wins.
pub(crate) fn restart_policy(service: &Value) -> RestartPolicy {
    let mut policy = RestartPolicy::default();
    let milliseconds = |value: Option<&Value>| value.and_then(seconds).map(|seconds| (seconds * 1000.0) as i64);
    if let Some(window) = milliseconds(at(service, &["lifecycle", "errorResetTime"])) {
        policy.window_ms = window;
    }
    for place in [&["lifecycle", "restartPolicy"][..], &["configuration", "marram", "restartPolicy"]] {
        let Some(given) = at(service, place) else { continue };
        let Backoff { initial_ms, max_ms, factor } = policy.backoff;
        policy = RestartPolicy {
            max_errors: at(given, &["maxErrors"])
                .and_then(|value| u32::try_from(value.as_u64()?).ok())
                .unwrap_or(policy.max_errors),
            window_ms: milliseconds(at(given, &["window"])).unwrap_or(policy.window_ms),
            backoff: Backoff {
                initial_ms: milliseconds(at(given, &["backoff", "initial"])).unwrap_or(initial_ms),
                max_ms: milliseconds(at(given, &["backoff", "max"])).unwrap_or(max_ms),
                factor: at(given, &["backoff", "factor"]).and_then(Value::as_f64).unwrap_or(factor),
            },
            broken_retry_ms: match at(given, &["brokenRetry"]) {
                Some(Value::String(word)) if word.eq_ignore_ascii_case("none") => None,
                value => milliseconds(value).or(policy.broken_retry_ms),
            },
        };
    }
    policy
}

/// Seconds: a number, its text, or with a unit `s`, `m`, `h`.
fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let text = text.trim();
            let (number, unit) = match text.chars().next_back()? {
                's' => (&text[..text.len() - 1], 1.0),
                'm' => (&text[..text.len() - 1], 60.0),
                'h' => (&text[..text.len() - 1], 3600.0),
                _ => (text, 1.0),
            };
            number.trim().parse::<f64>().ok()? * unit
        }
        _ => return None,
    };
    // Ten years: beyond that no limit is meant, and a duration still holds it.
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds.min(315_360_000.0))
}

/// `true`, or a text that says so.
pub(crate) fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")))
}

/// A scalar as text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CR 1.7: steps in all their forms, keys in any case.
    #[test]
    fn steps_are_read_in_both_forms() {
        let service = json!({"lifecycle": {
            "Install": "make",
            "RUN": {"script": "go", "requiresPrivilege": "true", "skipIf": "exists /x", "timeout": "7", "setEnv": {"A": 1, "B": "b"}},
            "shutdown": {"Script": "bye"},
            "startup": {"Timeout": 3},
            "recover": 5,
            "bootstrap": {"Script": "b", "Timeout": "soon"},
        }});
        let install = step(&service, Step::Install).unwrap().unwrap();
        assert_eq!((install.script.as_str(), install.timeout), ("make", Some(Duration::from_secs(120))));
        let run = step(&service, Step::Run).unwrap().unwrap();
        assert_eq!(
            run,
            StepPlan {
                script: "go".into(),
                privileged: true,
                skip_if: Some("exists /x".into()),
                timeout: Some(Duration::from_secs(7)),
                environment: vec![("A".into(), "1".into()), ("B".into(), "b".into())],
            }
        );
        assert_eq!(step(&service, Step::Shutdown).unwrap().unwrap().timeout, Some(Duration::from_secs(15)));
        assert_eq!(step(&service, Step::Uninstall), Ok(None));
        for broken in [Step::Startup, Step::Recover, Step::Bootstrap] {
            assert!(step(&service, broken).is_err(), "{broken:?}");
        }
    }

    /// CR 2.5: defaults 3 in 3600 s; a deployment's word wins over the recipe's.
    #[test]
    fn the_restart_policy_is_configurable() {
        assert_eq!(restart_policy(&json!({})), RestartPolicy::default());
        let policy = restart_policy(&json!({
            "lifecycle": {"errorResetTime": 60, "restartPolicy": {"maxErrors": 5, "backoff": {"initial": "2s"}}},
            "configuration": {"marram": {"restartPolicy": {"maxErrors": 9, "brokenRetry": "10m"}}},
        }));
        assert_eq!((policy.max_errors, policy.window_ms, policy.broken_retry_ms), (9, 60_000, Some(600_000)));
        assert_eq!(policy.backoff, Backoff { initial_ms: 2000, max_ms: 60_000, factor: 2.0 });
    }
}
