//! The configuration tree of each component of a resolved set (CR 1.8, 3.2, 3.3).

use std::collections::BTreeMap;

use marram_recipe::{Lifecycle, Manifest, Recipe, StepName, Variable, interpolate_value, render};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::document::{Limits, RunWith};
use crate::resolve::Resolved;

/// Places and names that variables stand for.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Root of the runtime.
    pub root: String,
    /// Thing name; empty when the core has none.
    pub thing_name: String,
}

impl Paths {
    fn answer(&self, namespace: &str, key: &str, component: &str, version: &str) -> Option<Value> {
        let root = &self.root;
        Some(json!(match (namespace, key) {
            ("artifacts", "path") => format!("{root}/packages/artifacts/{component}/{version}"),
            ("artifacts", "decompressedPath") => format!("{root}/packages/artifacts-unarchived/{component}/{version}"),
            ("work", "path") => format!("{root}/work/{component}"),
            ("kernel", "rootPath") => root.clone(),
            ("iot", "thingName") => self.thing_name.clone(),
            _ => return None,
        }))
    }
}

/// What a component's tree is made from.
#[derive(Debug, Clone, Copy)]
pub struct ServiceInput<'a> {
    /// Component.
    pub name: &'a SmolStr,
    /// Its version and recipe.
    pub resolved: &'a Resolved,
    /// The manifest for this device; none for a part of the runtime.
    pub manifest: Option<&'a Manifest>,
    /// The set, for variables of dependencies.
    pub set: &'a BTreeMap<SmolStr, Resolved>,
    /// New configuration of every component of the set, not interpolated.
    pub configurations: &'a BTreeMap<SmolStr, Value>,
    /// The component's tree now, if it is deployed.
    pub now: Option<&'a Value>,
    /// `runWith` of the document.
    pub run_with: Option<&'a RunWith>,
    /// Places.
    pub paths: &'a Paths,
    /// `interpolateComponentConfiguration`.
    pub interpolate_configuration: bool,
}

/// A configuration value that a shell would execute inside of a privileged script (CR 1.8, SEC-155).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsafe {
    /// Lifecycle step.
    pub step: &'static str,
    /// The variable as written.
    pub variable: String,
}

/// The tree of one component, and the variables that nothing answered.
pub fn service_tree(input: &ServiceInput<'_>) -> (Value, Vec<String>) {
    let ServiceInput { name, resolved, now, .. } = *input;
    let mut unresolved = Vec::new();
    let mut tree = Map::new();
    let version = resolved.version.to_string();
    tree.insert("version".to_owned(), json!(version));
    let old = |key: &str| now.and_then(|now| now.get(key)).and_then(Value::as_str);
    // the version before the last change stays known when the same version is deployed again (CR 4.12)
    let previous = old("version").filter(|old| *old != version).or_else(|| old("previousVersion"));
    if let Some(previous) = previous.filter(|previous| *previous != version) {
        tree.insert("previousVersion".to_owned(), json!(previous));
    }
    let configuration = input.configurations.get(name).cloned().unwrap_or_else(|| json!({}));
    let configuration = if input.interpolate_configuration {
        let mut resolve = |variable: Variable<'_>| answer(input, variable, false);
        interpolate_value(&configuration, &mut resolve, &mut unresolved)
    } else {
        configuration
    };
    tree.insert("configuration".to_owned(), configuration);
    let run_with = run_with(now.and_then(|now| now.get("runWith")), input.run_with);
    if !run_with.is_empty() {
        tree.insert("runWith".to_owned(), Value::Object(run_with));
    }
    let Some(recipe) = &resolved.recipe else {
        let kind = if name == crate::NUCLEUS { "NUCLEUS" } else { "PLUGIN" };
        tree.insert("componentType".to_owned(), json!(kind));
        tree.insert("dependencies".to_owned(), json!([]));
        return (Value::Object(tree), unresolved);
    };
    tree.insert("componentType".to_owned(), json!(recipe.component_type.store_word()));
    let dependencies =
        recipe.dependencies.iter().map(|(name, dependency)| format!("{name}:{}", dependency.kind.as_str()));
    tree.insert("dependencies".to_owned(), json!(dependencies.collect::<Vec<_>>()));
    let lifecycle = Value::Object(lifecycle_of(recipe, input.manifest));
    let mut resolve = |variable: Variable<'_>| answer(input, variable, true);
    tree.insert("lifecycle".to_owned(), interpolate_value(&lifecycle, &mut resolve, &mut unresolved));
    (Value::Object(tree), unresolved)
}

/// Variables of privileged scripts whose values a shell would take as more than data.
pub fn unsafe_interpolations(input: &ServiceInput<'_>) -> Vec<Unsafe> {
    let Some(recipe) = &input.resolved.recipe else { return Vec::new() };
    let lifecycle = lifecycle_of(recipe, input.manifest);
    let mut found = Vec::new();
    for name in StepName::STEPS {
        let Ok(Some(step)) = Lifecycle(&lifecycle).step(name) else { continue };
        if !step.requires_privilege {
            continue;
        }
        marram_recipe::interpolate(&step.script, |variable| {
            let value = answer(input, variable, true)?;
            let text = render(&value);
            if variable.namespace == "configuration" && (text.contains(['\n', '`', '\0']) || text.contains("$(")) {
                let component = variable.component.map(|name| format!("{name}:")).unwrap_or_default();
                found.push(Unsafe {
                    step: name.as_str(),
                    variable: format!("{{{component}{}:{}}}", variable.namespace, variable.key),
                });
            }
            Some(value)
        });
    }
    found
}

fn lifecycle_of(recipe: &Recipe, manifest: Option<&Manifest>) -> Map<String, Value> {
    manifest.map(|manifest| recipe.lifecycle_for(manifest)).unwrap_or_default()
}

fn answer(input: &ServiceInput<'_>, variable: Variable<'_>, with_configuration: bool) -> Option<Value> {
    let name = match variable.component {
        None => input.name.as_str(),
        // only direct dependencies are visible
        Some(other) => {
            let recipe = input.resolved.recipe.as_ref()?;
            recipe.dependencies.keys().find(|name| *name == other)?.as_str()
        }
    };
    let version = input.set.get(name)?.version.to_string();
    if variable.namespace == "configuration" {
        let configuration = input.configurations.get(name).filter(|_| with_configuration)?;
        return pointer(configuration, variable.key).cloned();
    }
    input.paths.answer(variable.namespace, variable.key, name, &version)
}

/// RFC 6901 over maps whose keys have no case.
fn pointer<'a>(value: &'a Value, text: &str) -> Option<&'a Value> {
    let keys = marram_configuration::Pointer::parse(text)?.0;
    keys.iter().try_fold(value, |at, key| match at {
        Value::Object(map) => {
            map.get(key).or_else(|| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
        }
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn run_with(now: Option<&Value>, update: Option<&RunWith>) -> Map<String, Value> {
    let mut tree = now.and_then(Value::as_object).cloned().unwrap_or_default();
    let Some(update) = update else { return tree };
    match &update.posix_user {
        None => {}
        Some(None) => drop(tree.remove("posixUser")),
        Some(Some(user)) => drop(tree.insert("posixUser".to_owned(), json!(user))),
    }
    match update.limits {
        None => {}
        Some(None) => drop(tree.remove("systemResourceLimits")),
        Some(Some(Limits { memory, cpus })) => {
            let mut limits = Map::new();
            if let Some(memory) = memory.filter(|memory| *memory > 0) {
                limits.insert("memory".to_owned(), json!(memory));
            }
            if let Some(cpus) = cpus.filter(|cpus| *cpus > 0.0) {
                limits.insert("cpus".to_owned(), json!(cpus));
            }
            tree.insert("systemResourceLimits".to_owned(), Value::Object(limits));
        }
    }
    tree
}
