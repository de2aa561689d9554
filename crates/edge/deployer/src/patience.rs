//! How long a deployment waits for its components: every wait has a reason and a limit (CR 4.9, 10.3).

use std::collections::BTreeSet;
use std::time::Duration;

use marram_deploy::{ErrorCode, Failure};
use serde_json::Value;
use tokio::time::Instant;

use crate::Inner;

/// Without any change among the components that are waited for, a deployment fails this long after the longest time limit of a step
/// could have ended it: a dependency that never gets ready is waited for no longer (ours; the original waits for ever).
const STANDSTILL: Duration = Duration::from_secs(600);
/// Limit of steps that name none (CR 1.7).
const DEFAULT_STEP_SECS: f64 = 120.0;
/// Longest limit that counts, in seconds: beyond it no limit is meant.
const MAX_STEP_SECS: f64 = 7.0 * 24.0 * 3600.0;
/// A component that the core does not have will not come up, whatever the limits: this is for one that is just being made.
const ABSENCE: Duration = Duration::from_secs(10);

/// One wait.
pub(crate) struct Patience {
    /// `deployment.activationTimeoutSeconds`, with its end.
    limit: Option<(u64, Instant)>,
    standstill: Duration,
    /// What was missing, and since when exactly that.
    last: (String, Instant),
    absent_since: Option<Instant>,
}

impl Patience {
    /// A wait for components of these names that begins now.
    pub fn new(inner: &Inner, names: &[String]) -> Self {
        let limit = inner.setting(&["deployment", "activationTimeoutSeconds"]).and_then(|value| value.as_u64());
        let limit = limit.filter(|seconds| *seconds > 0);
        let now = Instant::now();
        let services = inner.ports.nucleus.get(&["services"]).unwrap_or_default();
        Self {
            limit: limit.and_then(|seconds| Some((seconds, now.checked_add(Duration::from_secs(seconds))?))),
            standstill: STANDSTILL + longest_step(&services, names),
            last: (String::new(), now),
            absent_since: None,
        }
    }

    /// Why there is no use in waiting on for `missing`; `absent` are those that the core does not have.
    pub fn end(&mut self, missing: &str, absent: &[&str]) -> Option<Failure> {
        let now = Instant::now();
        let fail = |cause: String| Some(Failure::new(ErrorCode::ComponentUpdateError, cause));
        if let Some((seconds, _)) = self.limit.filter(|(_, end)| now >= *end) {
            return fail(format!("not up within {seconds} s: {missing}"));
        }
        self.absent_since = if absent.is_empty() { None } else { self.absent_since.or(Some(now)) };
        if self.absent_since.is_some_and(|since| now.duration_since(since) >= ABSENCE) {
            return fail(format!("the core has no component {}, which the deployment asks for", absent.join(", ")));
        }
        if self.last.0 != missing {
            self.last = (missing.to_owned(), now);
        }
        if now.duration_since(self.last.1) >= self.standstill {
            return fail(format!("nothing changed for {} s: {missing}", self.standstill.as_secs()));
        }
        None
    }
}

/// The longest time limit of any step of these components and of what they depend on; nobody else's patience counts.
fn longest_step(services: &Value, names: &[String]) -> Duration {
    let mut concerned: BTreeSet<&str> = BTreeSet::new();
    let mut next: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = next.pop() {
        if concerned.insert(name) {
            let dependencies = services.get(name).and_then(|service| service.get("dependencies")?.as_array());
            let dependencies = dependencies.into_iter().flatten().filter_map(Value::as_str);
            next.extend(dependencies.map(|one| one.split_once(':').map_or(one, |(name, _)| name)));
        }
    }
    let steps = concerned.into_iter().filter_map(|name| services.get(name)?.get("lifecycle")?.as_object());
    let steps = steps.flat_map(|lifecycle| lifecycle.values()).filter_map(Value::as_object);
    let limits =
        steps.flatten().filter(|(key, _)| key.eq_ignore_ascii_case("Timeout")).filter_map(|(_, value)| seconds(value));
    Duration::from_secs_f64(limits.fold(DEFAULT_STEP_SECS, f64::max).clamp(0.0, MAX_STEP_SECS))
}

/// A number of seconds, or its text with or without a unit.
fn seconds(value: &Value) -> Option<f64> {
    let number = |text: &str, unit: f64| text.trim().parse::<f64>().ok().map(|number| number * unit);
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => [("s", 1.0), ("m", 60.0), ("h", 3600.0)]
            .into_iter()
            .find_map(|(suffix, unit)| number(text.trim().strip_suffix(suffix)?, unit))
            .or_else(|| number(text, 1.0)),
        _ => None,
    }
    .filter(|seconds| seconds.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CR 1.7, 10.3 (1): a step that may take long is given its time, but only where it is waited for, or for what depends on it.
    #[test]
    fn the_longest_step_counts() {
        let names = ["a".to_owned(), "b".to_owned()];
        let day = json!({"lifecycle": {"run": {"Timeout": 86_400}}});
        for (services, expected) in [
            (json!({}), 120),
            (json!({"a": {"dependencies": ["c:HARD"]}, "c": {}, "other": day}), 120),
            (json!({"a": {"dependencies": ["c:HARD"]}, "c": {"dependencies": ["d:SOFT", "a"]}, "d": day}), 86_400),
            (json!({"a": {"lifecycle": {"run": "x"}}, "b": {"lifecycle": {"Install": {"timeout": "15m"}}}}), 900),
            (json!({"a": {"lifecycle": {"install": {"Timeout": 3600}, "run": {"Timeout": "7"}}}}), 3600),
            (json!({"a": {"lifecycle": {"install": {"Timeout": 1e300}}}}), 7 * 24 * 3600),
            (json!({"a": {"lifecycle": {"install": {"Timeout": "soon"}}}}), 120),
        ] {
            assert_eq!(longest_step(&services, &names).as_secs(), expected, "{services}");
        }
    }
}
