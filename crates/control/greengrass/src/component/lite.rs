//! A recipe as the nucleus lite reads it (control-plane-api 6.3): it knows the keys of a lifecycle in one spelling alone, misses
//! `Artifacts` where a component has none, and takes a manifest for its own only when that names its runtime.

use std::collections::BTreeMap;

use marram_recipe::Manifest;
use serde_json::{Map, Value, json};

use crate::core::LISTENS_TO_JOBS;

/// Keys of a lifecycle and of its steps. The other nucleus, and this runtime, read them in any case.
const KEYS: [&str; 11] = [
    "install",
    "run",
    "startup",
    "shutdown",
    "recover",
    "bootstrap",
    "Script",
    "RequiresPrivilege",
    "Skipif",
    "Timeout",
    ENVIRONMENT,
];
/// Names of variables below it are the author's.
const ENVIRONMENT: &str = "Setenv";

/// Whether the device with these attributes is such a core.
pub(super) fn is_lite(attributes: &BTreeMap<String, String>) -> bool {
    attributes.get("runtime").is_some_and(|runtime| runtime == LISTENS_TO_JOBS)
}

/// Whether it would take this manifest for its own.
pub(super) fn takes(manifest: &Manifest, attributes: &BTreeMap<String, String>) -> bool {
    manifest.platform.as_ref().is_some_and(|platform| platform.contains_key("runtime")) && manifest.matches(attributes)
}

/// The recipe, for such a core.
pub(super) fn shaped(recipe: &str) -> String {
    let Ok(Value::Object(mut recipe)) = serde_json::from_str(recipe) else { return recipe.to_owned() };
    for manifest in recipe.get_mut("Manifests").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(manifest) = manifest.as_object_mut() else { continue };
        manifest.entry("Artifacts").or_insert_with(|| json!([]));
        respell(manifest);
    }
    respell(&mut recipe);
    Value::Object(recipe).to_string()
}

fn respell(holder: &mut Map<String, Value>) {
    if let Some(lifecycle) = holder.get_mut("Lifecycle") {
        *lifecycle = spelt(lifecycle.take());
    }
}

fn spelt(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let one = |(key, value): (String, Value)| match KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(&key)) {
        Some(ENVIRONMENT) => (ENVIRONMENT.to_owned(), value),
        Some(known) => (known.to_owned(), spelt(value)),
        None => (key, spelt(value)),
    };
    Value::Object(map.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 6.3: keys of lifecycles in the peer's spelling, names of variables as they are, and a list of artifacts everywhere.
    #[test]
    fn a_recipe_is_spelt_for_it() {
        let recipe = json!({
            "ComponentName": "Run", "Lifecycle": {"linux": {"RUN": {"script": "s", "SETENV": {"timeout": "1"}}}},
            "Manifests": [
                {"Lifecycle": {"Install": "i", "setenv": {"run": "x"}, "run": {"requiresPrivilege": true, "SCRIPT": "r"}}},
                {"Artifacts": [{"Uri": "greengrass:a/b"}]},
            ],
        });
        let wanted = json!({
            "ComponentName": "Run", "Lifecycle": {"linux": {"run": {"Script": "s", "Setenv": {"timeout": "1"}}}},
            "Manifests": [
                {"Artifacts": [],
                 "Lifecycle": {"install": "i", "Setenv": {"run": "x"}, "run": {"RequiresPrivilege": true, "Script": "r"}}},
                {"Artifacts": [{"Uri": "greengrass:a/b"}]},
            ],
        });
        assert_eq!(serde_json::from_str::<Value>(&shaped(&recipe.to_string())).unwrap(), wanted);
    }
}
