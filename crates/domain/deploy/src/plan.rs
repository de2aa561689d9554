//! What a deployment changes, and in which order (CR 1.7, 2.6, 4.8, 4.10).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use smol_str::SmolStr;

use crate::builtin::{NUCLEUS, builtin};

/// Nucleus settings that only a restart of the runtime brings into effect (CR 4.10, 7.5).
const RESTART_SETTINGS: &[&str] = &[
    "/networkProxy",
    "/runWithDefault/posixUser",
    "/runWithDefault/posixShell",
    "/mqtt/version",
    "/mqtt/spooler/storageType",
    "/fipsMode",
];

/// Components that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("components depend on each other in a circle: {}", .path.join(" -> "))]
pub struct CycleError {
    /// The circle, its first component repeated at the end.
    pub path: Vec<String>,
}

/// Names so that each comes after its dependencies; by name where nothing else decides. Unknown dependencies are ignored.
///
/// # Errors
/// A circle.
pub fn order(dependencies: &BTreeMap<SmolStr, Vec<SmolStr>>) -> Result<Vec<SmolStr>, CycleError> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut ordered = Vec::with_capacity(dependencies.len());
    for start in dependencies.keys() {
        // an explicit stack: recipes of foreign hands decide how deep this goes
        let mut stack: Vec<(&SmolStr, usize)> = vec![(start, 0)];
        while let Some((name, position)) = stack.last_mut() {
            let next = dependencies.get(*name).and_then(|all| all.get(*position));
            *position += 1;
            match next {
                _ if done.contains(name.as_str()) => drop(stack.pop()),
                None => {
                    done.insert(name);
                    ordered.push((*name).clone());
                    stack.pop();
                }
                Some(next) if done.contains(next.as_str()) => {}
                Some(next) => {
                    if let Some(at) = stack.iter().position(|(open, _)| *open == next) {
                        let mut path: Vec<String> = stack[at..].iter().map(|(open, _)| open.to_string()).collect();
                        path.push(next.to_string());
                        return Err(CycleError { path });
                    }
                    if let Some((known, _)) = dependencies.get_key_value(next) {
                        stack.push((known, 0));
                    }
                }
            }
        }
    }
    Ok(ordered)
}

/// Two sets of component trees to compare (below `services`, as of CR 3.2).
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// Running now, by name; the runtime's own services are left out by the caller.
    pub now: &'a BTreeMap<SmolStr, Value>,
    /// Wanted.
    pub new: &'a BTreeMap<SmolStr, Value>,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Not there before.
    pub added: Vec<SmolStr>,
    /// There, but different.
    pub updated: Vec<SmolStr>,
    /// There and the same.
    pub unchanged: Vec<SmolStr>,
    /// Not wanted any more.
    pub removed: Vec<SmolStr>,
    /// Everything wanted, dependencies first.
    pub start_order: Vec<SmolStr>,
    /// Components whose bootstrap step is due, dependencies first.
    pub bootstrap: Vec<SmolStr>,
    /// Nucleus settings that make a restart necessary.
    pub restart_settings: Vec<&'static str>,
}

impl Plan {
    /// Compares.
    ///
    /// # Errors
    /// A circle among the wanted components.
    pub fn new(input: PlanInput<'_>) -> Result<Self, CycleError> {
        let dependencies = input.new.iter().map(|(name, tree)| (name.clone(), hard_dependencies(tree)));
        let mut plan = Self { start_order: order(&dependencies.collect())?, ..Self::default() };
        for name in &plan.start_order {
            let (now, new) = (input.now.get(name), input.new.get(name));
            match (now, new) {
                (None, _) => plan.added.push(name.clone()),
                (Some(now), Some(new)) if differs(now, new) => plan.updated.push(name.clone()),
                _ => plan.unchanged.push(name.clone()),
            }
            if new.is_some_and(|new| bootstrap_is_due(now, new)) {
                plan.bootstrap.push(name.clone());
            }
        }
        plan.removed = input.now.keys().filter(|name| !input.new.contains_key(*name)).cloned().collect();
        let configuration = |trees: &BTreeMap<SmolStr, Value>, pointer: &str| {
            trees.get(NUCLEUS).and_then(|tree| tree.pointer(&format!("/configuration{pointer}"))).cloned()
        };
        // a nucleus that is not in the set keeps its settings
        if input.new.contains_key(NUCLEUS) {
            let changed = |pointer: &&&str| configuration(input.now, pointer) != configuration(input.new, pointer);
            plan.restart_settings = RESTART_SETTINGS.iter().filter(changed).copied().collect();
        }
        Ok(plan)
    }

    /// Whether the runtime restarts as part of it (CR 4.10).
    pub fn restarts(&self) -> bool {
        !self.bootstrap.is_empty() || !self.restart_settings.is_empty()
    }

    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty() && !self.restarts()
    }
}

/// Whom a component's tree says that it cannot be up without.
pub fn hard_dependencies(tree: &Value) -> Vec<SmolStr> {
    let all = tree.get("dependencies").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    all.filter_map(|text| {
        let (name, kind) = text.split_once(':').unwrap_or((text, "HARD"));
        (!kind.to_ascii_uppercase().starts_with("SOFT")).then(|| SmolStr::from(name))
    })
    .collect()
}

/// What a deployment decides of a component; `runtime` and private data are the component's own.
fn differs(now: &Value, new: &Value) -> bool {
    const PARTS: [&str; 6] = ["version", "componentType", "dependencies", "lifecycle", "configuration", "runWith"];
    let empty = |value: &&Value| value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null();
    PARTS.iter().any(|part| {
        let of = |tree: &'_ Value| tree.get(part).filter(|value| !empty(value)).cloned();
        of(now) != of(new)
    })
}

/// CR 1.7: the new recipe has one, and the component is new, of another version, or its step changed.
fn bootstrap_is_due(now: Option<&Value>, new: &Value) -> bool {
    let step = |tree: &Value| {
        let lifecycle = tree.get("lifecycle")?.as_object()?;
        lifecycle.iter().find(|(key, _)| key.eq_ignore_ascii_case("bootstrap")).map(|(_, step)| step.clone())
    };
    let Some(wanted) = step(new).filter(|step| !step.is_null()) else { return false };
    now.is_none_or(|now| now.get("version") != new.get("version") || step(now).as_ref() != Some(&wanted))
}

impl Plan {
    /// Components that activation waits for: wanted, and not a part of the runtime.
    pub fn tracked(&self) -> impl Iterator<Item = &SmolStr> {
        self.start_order.iter().filter(|name| builtin(name).is_none())
    }
}
