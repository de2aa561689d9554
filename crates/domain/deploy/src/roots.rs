//! Which components every group asks for (CR 4.1, 4.6).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::builtin::FLOW_RUNTIME;
use crate::resolve::Wanted;

/// Key of the group of local deployments.
pub const LOCAL_GROUP: &str = "LOCAL_DEPLOYMENT";

/// A root component of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRoot {
    /// Exact version, or a range.
    pub version: String,
    /// ARN of the configuration that asked for it.
    pub config_arn: String,
    /// Name of that configuration.
    pub config_name: String,
}

/// Whether a deployment for a group comes too late (CR 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// Go on.
    Fresh,
    /// The group's last deployment is newer.
    Stale,
}

/// What every group asked for last: the memory of `services/DeploymentService`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// `GroupToRootComponents`.
    pub roots: BTreeMap<String, BTreeMap<SmolStr, GroupRoot>>,
    /// `GroupToLastDeployment`: milliseconds and ARN.
    pub last: BTreeMap<String, (i64, String)>,
    /// `GroupMembership`: group keys.
    pub membership: BTreeSet<String>,
}

impl Groups {
    /// Reads the stored forms; what is malformed is left out.
    pub fn read(roots: Option<&Value>, last: Option<&Value>, membership: Option<&Value>) -> Self {
        let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let roots = object(roots)
            .into_iter()
            .map(|(group, components)| {
                let components =
                    components.as_object().cloned().unwrap_or_default().into_iter().map(|(name, value)| {
                        let root = GroupRoot {
                            version: text(&value, "version"),
                            config_arn: text(&value, "groupConfigArn"),
                            config_name: text(&value, "groupConfigName"),
                        };
                        (SmolStr::from(name), root)
                    });
                (group, components.collect())
            })
            .collect();
        let last = object(last)
            .into_iter()
            .map(|(group, value)| {
                let time = value.get("timestamp").and_then(Value::as_i64).unwrap_or(0);
                (group, (time, text(&value, "configArn")))
            })
            .collect();
        let membership = object(membership).into_iter().map(|(group, _)| group).collect();
        Self { roots, last, membership }
    }

    /// `GroupToRootComponents`.
    pub fn roots_value(&self) -> Value {
        let group = |components: &BTreeMap<SmolStr, GroupRoot>| -> Value {
            let all = components.iter().map(|(name, root)| {
                let value = json!({
                    "version": root.version,
                    "groupConfigArn": root.config_arn,
                    "groupConfigName": root.config_name,
                });
                (name.to_string(), value)
            });
            Value::Object(all.collect())
        };
        Value::Object(self.roots.iter().map(|(key, components)| (key.clone(), group(components))).collect())
    }

    /// `GroupToLastDeployment`.
    pub fn last_value(&self) -> Value {
        let one = |(time, arn): &(i64, String)| json!({ "timestamp": time, "configArn": arn });
        Value::Object(self.last.iter().map(|(key, last)| (key.clone(), one(last))).collect())
    }

    /// `GroupMembership`.
    pub fn membership_value(&self) -> Value {
        Value::Object(self.membership.iter().map(|key| (key.clone(), Value::Bool(true))).collect())
    }

    /// `ComponentToGroups`: component to the ARNs of the configurations that ask for it.
    pub fn component_to_groups(&self) -> Value {
        let mut all: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for (group, components) in &self.roots {
            for (name, root) in components {
                all.entry(name).or_default().insert(group.clone(), json!(root.config_arn));
            }
        }
        Value::Object(all.into_iter().map(|(name, groups)| (name.to_owned(), Value::Object(groups))).collect())
    }

    /// Whether the group's last deployment is newer than one created at `created`.
    pub fn staleness(&self, group: &str, created: i64) -> Staleness {
        match self.last.get(group) {
            Some((last, _)) if *last > created => Staleness::Stale,
            _ => Staleness::Fresh,
        }
    }

    /// Whether the device belongs to a group of this key.
    pub fn belongs(&self, group: &str) -> bool {
        group == LOCAL_GROUP || group.starts_with("thing/") || self.membership.contains(group)
    }

    /// Every group but `target` that the device no longer belongs to loses its roots (CR 4.6: now, at a deployment).
    pub fn forget_left_groups(&mut self, target: &str) {
        let membership = std::mem::take(&mut self.membership);
        let stays =
            |key: &String| key == target || key == LOCAL_GROUP || key.starts_with("thing/") || membership.contains(key);
        self.roots.retain(|key, _| stays(key));
        self.last.retain(|key, _| stays(key));
        self.membership = membership;
    }

    /// Pointers to what a configuration of the flow component holds for targets whose deployment does not ask for that component, or that
    /// the device has left (TG 7.4): each target writes a member of its own, which goes with it as its components do.
    pub fn left_flows(&self, configuration: &Value) -> Vec<String> {
        let targets = configuration.get("targets").and_then(Value::as_object);
        let is_target = |key: &&String| key.starts_with("thinggroup/") || key.starts_with("thing/");
        let asks = |key: &str| {
            // The configuration knows no case.
            let mut same = self.roots.iter().filter(|(group, _)| group.eq_ignore_ascii_case(key));
            same.any(|(_, components)| components.contains_key(FLOW_RUNTIME))
        };
        let left = targets.into_iter().flat_map(|targets| targets.keys()).filter(is_target).filter(|key| !asks(key));
        left.map(|key| format!("/targets/{}", key.replace('~', "~0").replace('/', "~1"))).collect()
    }

    /// Sets the roots of one group.
    pub fn set(&mut self, group: &str, roots: BTreeMap<SmolStr, GroupRoot>, created: i64, arn: &str) {
        self.roots.insert(group.to_owned(), roots);
        self.last.insert(group.to_owned(), (created, arn.to_owned()));
    }

    /// All root requirements of all groups, for the resolver.
    pub fn wanted(&self) -> Vec<Wanted> {
        self.roots
            .iter()
            .flat_map(|(group, components)| {
                components.iter().map(|(name, root)| Wanted {
                    name: name.clone(),
                    requirement: root.version.clone(),
                    origin: group.clone(),
                })
            })
            .collect()
    }
}
