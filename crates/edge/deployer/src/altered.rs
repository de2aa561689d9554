//! Components whose files were altered on the disk and cannot be had again: what a deployment that is not about them does with them
//! (CR 4.9, SEC-157).
//!
//! They stay as they are, BROKEN as soon as one of their scripts is to be started, and the deployment does not wait for them: it did not
//! break them, and its failure would not mend them. A deployment that names one of them fails and says how to mend it; one that
//! removes it or brings another version needs none of the files.

use std::collections::{BTreeMap, BTreeSet};

use marram_deploy::{DeploymentDocument, ErrorCode, Failure, Plan, hard_dependencies};
use marram_recipe::Recipe;
use serde_json::Value;
use smol_str::SmolStr;

/// What a deployment names, and what is there.
pub(crate) struct Altered<'a> {
    document: &'a DeploymentDocument,
    /// Trees of what is deployed.
    now: &'a BTreeMap<SmolStr, Value>,
    found: BTreeMap<SmolStr, String>,
}

impl<'a> Altered<'a> {
    pub fn new(document: &'a DeploymentDocument, now: &'a BTreeMap<SmolStr, Value>) -> Self {
        Self { document, now, found: BTreeMap::new() }
    }

    /// Takes note of a component whose files are not in order.
    ///
    /// # Errors
    /// The failure, where it is the deployment's: it is about this component, or the disk takes nothing.
    pub fn pass_over(&mut self, recipe: &Recipe, failure: Failure) -> Result<(), Failure> {
        let name = SmolStr::from(recipe.name.as_str());
        let is_there = || {
            let version = self.now.get(&name).and_then(|tree| tree.get("version")?.as_str());
            version == Some(recipe.version.to_string().as_str())
        };
        let is_about = self.document.components.contains_key(&name);
        if is_about || failure.codes.contains(&ErrorCode::DiskSpaceCritical) || !is_there() {
            return Err(failure);
        }
        self.found.entry(name).or_insert(failure.cause);
        Ok(())
    }

    /// A sentence about each.
    pub fn notes(&self) -> Vec<String> {
        let about = |(name, cause): (&SmolStr, &String)| {
            format!(
                "{name} is left as it is, because its files are not in order and the deployment is not about it: {cause}"
            )
        };
        self.found.iter().map(about).collect()
    }

    /// Whom the deployment does not wait for: these components and who cannot be up without them, unless the deployment brings or names
    /// somebody who needs one.
    pub fn left_alone(&self, plan: &Plan, trees: &BTreeMap<SmolStr, Value>) -> BTreeSet<SmolStr> {
        let mut left = BTreeSet::new();
        for name in self.found.keys() {
            let mut with = BTreeSet::from([name]);
            // dependencies come first
            for dependent in &plan.start_order {
                let needs = trees.get(dependent).map(hard_dependencies).unwrap_or_default();
                if needs.iter().any(|need| with.contains(need)) {
                    with.insert(dependent);
                }
            }
            if with.iter().all(|one| plan.unchanged.contains(one) && !self.document.components.contains_key(*one)) {
                left.extend(with.into_iter().cloned());
            }
        }
        left
    }
}
