//! What a change of a component's tree asks of it (CR 2.7).

use serde_json::Value;

/// The strongest reaction that a change needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaction {
    /// None.
    Nothing,
    /// New limits for the running processes.
    Limits,
    /// Down and up.
    Restart,
    /// Install anew.
    Reinstall,
}

/// Compares two trees of a component below `services`.
pub fn reaction(old: &Value, new: &Value) -> Reaction {
    let differs = |path: &[&str]| at(old, path) != at(new, path);
    let run_with = |tree: &Value| without(at(tree, &["runWith"]), &["systemresourcelimits"]);
    if differs(&["version"]) || differs(&["lifecycle", "install"]) || run_with(old) != run_with(new) {
        return Reaction::Reinstall;
    }
    let steps = |tree: &Value| without(at(tree, &["lifecycle"]), &["shutdown", "uninstall", "bootstrap"]);
    let is_held_otherwise = differs(&["configuration", "marram", "sandbox"]);
    if steps(old) != steps(new) || differs(&["setenv"]) || added_dependency(old, new) || is_held_otherwise {
        return Reaction::Restart;
    }
    if differs(&["runWith", "systemResourceLimits"]) { Reaction::Limits } else { Reaction::Nothing }
}

/// The value below `path`, keys compared without case.
pub(crate) fn at<'a>(tree: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |tree, key| {
        let map = tree.as_object()?;
        map.get(*key).or_else(|| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
    })
}

/// The members of a map, names in lower case, without some.
fn without(map: Option<&Value>, keys: &[&str]) -> Vec<(String, Value)> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    let mut kept: Vec<_> = members
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !keys.contains(&name.as_str()))
        .collect();
    kept.sort_by(|(a, _), (b, _)| a.cmp(b));
    kept
}

/// Names of a component's stored dependencies, `name:HARD`.
pub(crate) fn dependencies(tree: &Value) -> Vec<&str> {
    at(tree, &["dependencies"]).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn added_dependency(old: &Value, new: &Value) -> bool {
    let before = dependencies(old);
    dependencies(new).iter().any(|dependency| !before.contains(dependency))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CR 2.7, row by row.
    #[test]
    fn each_path_has_its_reaction() {
        let old = json!({
            "version": "1.0.0",
            "dependencies": ["a:HARD"],
            "lifecycle": {"Install": "i", "run": {"Script": "r"}, "shutdown": "s"},
            "setenv": {"A": "1"},
            "runWith": {"posixUser": "u", "systemResourceLimits": {"memory": 1}},
            "configuration": {"k": 1},
        });
        for (path, value, expected) in [
            ("/version", json!("1.0.1"), Reaction::Reinstall),
            ("/lifecycle/Install", json!("j"), Reaction::Reinstall),
            ("/runWith/posixUser", json!("v"), Reaction::Reinstall),
            ("/lifecycle/run/Script", json!("q"), Reaction::Restart),
            ("/setenv/A", json!("2"), Reaction::Restart),
            ("/dependencies", json!(["a:HARD", "b:SOFT"]), Reaction::Restart),
            ("/dependencies", json!([]), Reaction::Nothing),
            ("/lifecycle/shutdown", json!("t"), Reaction::Nothing),
            ("/runWith/systemResourceLimits/memory", json!(2), Reaction::Limits),
            ("/configuration/k", json!(2), Reaction::Nothing),
        ] {
            let mut new = old.clone();
            *new.pointer_mut(path).unwrap() = value;
            assert_eq!(reaction(&old, &new), expected, "{path}");
        }
        assert_eq!(reaction(&old, &old), Reaction::Nothing);
    }
}
