//! What a deployment would configure, judged before anything is touched (CR 6.9, 7.5, SEC-131).

use std::collections::BTreeMap;

use marram_deploy::{
    ErrorCode, Failure, NUCLEUS, Scope, SettingFault, check_access, check_component, check_limits, check_nucleus,
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

/// Settings that the core would pass over, or that would stop components at their next start. What was wrong before is not this
/// deployment's. `thing`: of the core.
pub(crate) fn settings(
    thing: &str,
    now: &BTreeMap<SmolStr, Value>,
    new: &BTreeMap<SmolStr, Value>,
) -> Result<(), Failure> {
    let nothing = Value::Null;
    let configuration = |all: &BTreeMap<SmolStr, Value>, name: &str| {
        all.get(name).and_then(|tree| tree.get("configuration")).cloned().unwrap_or_default()
    };
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
