//! What a deployment would configure, judged before anything is touched (CR 6.9, 7.5, SEC-131).

use std::collections::BTreeMap;

use marram_deploy::{
    ErrorCode, Failure, NUCLEUS, Scope, SettingFault, builtin, check_access, check_component, check_limits,
    check_nucleus, unknown_settings,
};
use serde_json::Value;
use smol_str::SmolStr;

/// A malformed `accessControl` would silently take all rights away (CR 6.9): it fails the deployment instead.
pub(crate) fn rights(name: &str, tree: &Value) -> Result<(), Failure> {
    let problems = tree.get("configuration").map(check_access).unwrap_or_default();
    let Some(problem) = problems.iter().find(|problem| problem.fatal) else { return Ok(()) };
    let cause = format!("the accessControl of {name} cannot be read: {problem}");
    Err(Failure::new(ErrorCode::ComponentConfigurationNotValid, cause))
}

fn configuration(all: &BTreeMap<SmolStr, Value>, name: &str) -> Value {
    all.get(name).and_then(|tree| tree.get("configuration")).cloned().unwrap_or_default()
}

/// A sentence about each setting of a part of the core that nobody reads (core components 1.1), once: when it comes.
pub(crate) fn unknown(now: &BTreeMap<SmolStr, Value>, new: &BTreeMap<SmolStr, Value>) -> Vec<String> {
    let of = |name: &SmolStr| {
        let before = unknown_settings(name, &configuration(now, name));
        let mut found = unknown_settings(name, &configuration(new, name));
        found.retain(|key| before.iter().all(|known| known.path != key.path));
        found.into_iter().map(|key| key.told(name)).collect::<Vec<_>>()
    };
    new.keys().filter(|name| builtin(name).is_some()).flat_map(of).collect()
}

/// Settings that the core would pass over, or that would stop components at their next start. What was wrong before is not this
/// deployment's. `thing`: of the core.
pub(crate) fn settings(
    thing: &str,
    now: &BTreeMap<SmolStr, Value>,
    new: &BTreeMap<SmolStr, Value>,
) -> Result<(), Failure> {
    let nothing = Value::Null;
    let before = configuration(now, NUCLEUS);
    let nucleus = if new.contains_key(NUCLEUS) { configuration(new, NUCLEUS) } else { before.clone() };
    for (name, tree) in new {
        let (own, was) = (tree.get("configuration").unwrap_or(&nothing), configuration(now, name));
        let (faults, known) = if name == NUCLEUS {
            (check_nucleus(own), check_nucleus(&was))
        } else {
            let all = |nucleus: &Value, own: &Value| -> Vec<SettingFault> {
                check_component(name, own, Scope::Core(thing)).into_iter().chain(check_limits(nucleus, own)).collect()
            };
            (all(&nucleus, own), all(&before, &was))
        };
        if let Some(fault) = faults.iter().find(|fault| !known.contains(fault)) {
            let cause = format!("the configuration of {name} has a setting that cannot be: {fault}");
            return Err(Failure::new(ErrorCode::ComponentConfigurationNotValid, cause));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Core components 1.1: told when it comes and not again; what a component of one's own has is its own.
    #[test]
    fn a_setting_that_nobody_reads_is_told_once() {
        let all = |shadows: Value, nucleus: Value| -> BTreeMap<SmolStr, Value> {
            [("aws.greengrass.ShadowManager", shadows), (NUCLEUS, nucleus), ("com.example.Own", json!({"theme": 1}))]
                .into_iter()
                .map(|(name, own)| (name.into(), json!({"configuration": own})))
                .collect()
        };
        let none = BTreeMap::new();
        let first = all(json!({"theme": "dark"}), json!({"awsRegoin": "x", "logging": {"colour": 1}}));
        let told = unknown(&none, &first);
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(
            told[0],
            "the setting `awsRegoin` of aws.greengrass.Nucleus is not known and passed over; did you mean `awsRegion`?"
        );
        assert!(told[1].starts_with("the setting `logging.colour` of aws.greengrass.Nucleus "), "{told:?}");
        assert!(told[2].starts_with("the setting `/theme` of aws.greengrass.ShadowManager "), "{told:?}");
        let second = all(json!({"theme": "light", "font": 1}), json!({"awsRegoin": "y"}));
        let told = unknown(&first, &second);
        assert!(told.len() == 1 && told[0].starts_with("the setting `/font` "), "{told:?}");
    }
}
