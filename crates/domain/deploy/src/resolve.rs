//! Which version of each component fits everybody (CR 4.7), as a state machine without I/O.
//!
//! The caller loops over [`Resolver::next`]: it is asked what is stored ([`Ask::Local`]), what the cloud offers
//! ([`Ask::Cloud`]) or for a stored recipe ([`Ask::Recipe`]), answers with the method of the same name, and ends with
//! [`Ask::Done`]. A version once chosen is only revised when a later requirement excludes it; there is no backtracking,
//! but a conflict names every requirement and where it comes from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use marram_recipe::{ComponentType, Recipe};
use marram_version::{Requirement, Version};
use smol_str::SmolStr;

use crate::builtin::{self, NUCLEUS};
use crate::failure::{ErrorCode, Failure};
use crate::plan;
use crate::roots::LOCAL_GROUP;

/// How often one component may change its version before requirements are taken for contradictory (our limit).
const MAX_REVISIONS: usize = 32;
/// Most components of a set (our limit).
const MAX_COMPONENTS: usize = 2_000;

/// A root requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Component.
    pub name: SmolStr,
    /// Exact version, or a range.
    pub requirement: String,
    /// Group key.
    pub origin: String,
}

/// What the core has of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// Version that is deployed now.
    pub active: Option<Version>,
    /// Versions whose recipes are stored.
    pub stored: Vec<Version>,
}

/// What the resolver wants next.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Answer with [`Resolver::local`].
    Local {
        /// Component.
        name: SmolStr,
    },
    /// Answer with [`Resolver::cloud`].
    Cloud {
        /// Component.
        name: SmolStr,
        /// Version on the core that would fit.
        candidate: Option<Version>,
        /// Requirement as printed by clients, by origin.
        requirements: Vec<(String, String)>,
    },
    /// Answer with [`Resolver::recipe`].
    Recipe {
        /// Component.
        name: SmolStr,
        /// A stored version.
        version: Version,
    },
    /// Nothing more: here is the set.
    Done(Resolution),
}

/// One component of the set.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Version.
    pub version: Version,
    /// Recipe; none for a part of the runtime.
    pub recipe: Option<Arc<Recipe>>,
}

/// A set that fits everybody.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resolution {
    /// By name.
    pub components: BTreeMap<SmolStr, Resolved>,
    /// Names that groups ask for themselves.
    pub roots: BTreeSet<SmolStr>,
}

#[derive(Debug, Clone)]
struct Constraint {
    requirement: Requirement,
    text: String,
    from_group: bool,
}

#[derive(Debug)]
enum Waiting {
    Nothing,
    Local(SmolStr),
    Cloud(SmolStr, Option<Version>),
    Recipe(SmolStr, Version),
}

/// See the module.
#[derive(Debug)]
pub struct Resolver {
    cloud: bool,
    /// By component, then by origin (dependent or group key).
    constraints: BTreeMap<SmolStr, BTreeMap<String, Constraint>>,
    chosen: BTreeMap<SmolStr, Resolved>,
    revisions: BTreeMap<SmolStr, usize>,
    roots: BTreeSet<SmolStr>,
    queue: VecDeque<SmolStr>,
    waiting: Waiting,
}

impl Resolver {
    /// Starts with the roots of all groups; `cloud` tells whether a control plane can be asked at all.
    ///
    /// # Errors
    /// A root's version is no requirement.
    pub fn new(wanted: &[Wanted], cloud: bool) -> Result<Self, Failure> {
        let mut resolver = Self {
            cloud,
            constraints: BTreeMap::new(),
            chosen: BTreeMap::new(),
            revisions: BTreeMap::new(),
            roots: BTreeSet::new(),
            queue: VecDeque::new(),
            waiting: Waiting::Nothing,
        };
        for Wanted { name, requirement: text, origin } in wanted {
            let requirement = text.parse().map_err(|error| {
                Failure::new(ErrorCode::ComponentVersionNotValid, format!("{origin} asks for {name} {text}: {error}"))
            })?;
            resolver.roots.insert(name.clone());
            resolver.constrain(name, origin, Constraint { requirement, text: text.clone(), from_group: true });
        }
        Ok(resolver)
    }

    /// What to do next. Asks the same again until it is answered.
    ///
    /// # Errors
    /// The requirements cannot be met together, or the set is not allowed.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Ask, Failure> {
        loop {
            match &self.waiting {
                Waiting::Local(name) => return Ok(Ask::Local { name: name.clone() }),
                Waiting::Cloud(name, candidate) => {
                    return Ok(Ask::Cloud {
                        name: name.clone(),
                        candidate: candidate.clone(),
                        requirements: self.printed(name),
                    });
                }
                Waiting::Recipe(name, version) => {
                    return Ok(Ask::Recipe { name: name.clone(), version: version.clone() });
                }
                Waiting::Nothing => {}
            }
            let Some(name) = self.queue.pop_front() else { return self.finish().map(Ask::Done) };
            if !self.constraints.contains_key(&name) {
                continue;
            }
            if let Some(chosen) = self.chosen.get(&name)
                && self.fits(&name, &chosen.version)
            {
                continue;
            }
            if let Some(builtin) = builtin::builtin(&name) {
                self.choose_builtin(&name, builtin.version)?;
                continue;
            }
            let all = self.constraints.get(&name).into_iter().flatten().map(|(_, one)| &one.requirement);
            if !Requirement::can_agree(all) {
                return Err(self.conflict(&name, "no version can meet all of them"));
            }
            if self.constraints.len() > MAX_COMPONENTS {
                let cause = format!("more than {MAX_COMPONENTS} components");
                return Err(Failure::new(ErrorCode::ComponentVersionRequirementsNotMet, cause));
            }
            self.waiting = Waiting::Local(name);
        }
    }

    /// What the core has of the component asked for.
    ///
    /// # Errors
    /// Nothing fits and there is no cloud to ask.
    pub fn local(&mut self, local: &Local) -> Result<(), Failure> {
        let Waiting::Local(name) = std::mem::replace(&mut self.waiting, Waiting::Nothing) else { return Ok(()) };
        let candidate = local.active.iter().find(|version| self.fits(&name, version)).or_else(|| {
            local
                .stored
                .iter()
                .filter(|version| self.fits(&name, version))
                .max_by(|a, b| a.cmp_precedence(b).then_with(|| a.cmp(b)))
        });
        let pinned_locally = self.constraints.get(&name).is_some_and(|all| all.contains_key(LOCAL_GROUP));
        self.waiting = match candidate.cloned() {
            Some(version) if pinned_locally || !self.cloud => Waiting::Recipe(name, version),
            None if !self.cloud => {
                let why = "no stored version meets all of them, and no control plane is configured";
                return Err(self.conflict_with(&name, why, ErrorCode::NoAvailableComponentVersion));
            }
            candidate => Waiting::Cloud(name, candidate),
        };
        Ok(())
    }

    /// What the cloud answered: a recipe, or why not. With a stored candidate a refusal is no failure.
    ///
    /// # Errors
    /// The answer does not meet the requirements; the refusal when nothing is stored.
    pub fn cloud(&mut self, answer: Result<Arc<Recipe>, Failure>) -> Result<(), Failure> {
        let Waiting::Cloud(name, candidate) = std::mem::replace(&mut self.waiting, Waiting::Nothing) else {
            return Ok(());
        };
        match (answer, candidate) {
            (Ok(recipe), _) if recipe.name == name && self.fits(&name, &recipe.version) => self.choose(&name, recipe),
            (Ok(recipe), _) => {
                let cause = format!(
                    "the control plane answered {} {} for {}",
                    recipe.name,
                    recipe.version,
                    self.described(&name)
                );
                Err(Failure::of(&[ErrorCode::CloudApiError, ErrorCode::ResolveComponentCandidatesBadResponse], cause))
            }
            (Err(_), Some(version)) => {
                self.waiting = Waiting::Recipe(name, version);
                Ok(())
            }
            (Err(mut failure), None) => {
                failure.cause = format!("{}; {}", failure.cause, self.described(&name));
                Err(failure)
            }
        }
    }

    /// The stored recipe that was asked for.
    ///
    /// # Errors
    /// A dependency's requirement is no range; too many revisions.
    pub fn recipe(&mut self, recipe: Arc<Recipe>) -> Result<(), Failure> {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Recipe(name, version) if recipe.name == name && recipe.version == version => {
                self.choose(&name, recipe)
            }
            Waiting::Recipe(name, version) => Err(Failure::new(
                ErrorCode::LocalRecipeCorrupted,
                format!("the stored recipe of {name} {version} says {} {}", recipe.name, recipe.version),
            )),
            _ => Ok(()),
        }
    }

    fn fits(&self, name: &str, version: &Version) -> bool {
        self.constraints.get(name).into_iter().flatten().all(|(_, one)| one.requirement.matches(version))
    }

    fn constrain(&mut self, name: &SmolStr, origin: &str, constraint: Constraint) {
        self.constraints.entry(name.clone()).or_default().insert(origin.to_owned(), constraint);
        self.queue.push_back(name.clone());
    }

    /// The runtime's own part: groups may pin any version of its major, dependents must fit.
    fn choose_builtin(&mut self, name: &SmolStr, version: &str) -> Result<(), Failure> {
        let Ok(version) = version.parse::<Version>() else {
            return Err(Failure::new(ErrorCode::NucleusVersionNotFound, format!("{name} has no version")));
        };
        let next_major = Version::new(version.major() + 1, 0, 0);
        let fits = self.constraints.get(name).into_iter().flatten().all(|(_, one)| {
            let same_major = one.from_group
                && one.requirement.as_exact().is_some_and(|pinned| {
                    pinned.major() == version.major() && pinned.cmp_precedence(&next_major).is_lt()
                });
            same_major || one.requirement.matches(&version)
        });
        if !fits {
            let why = format!("this runtime is {name} {version}");
            return Err(self.conflict(name, &why));
        }
        self.chosen.insert(name.clone(), Resolved { version, recipe: None });
        Ok(())
    }

    fn choose(&mut self, name: &SmolStr, recipe: Arc<Recipe>) -> Result<(), Failure> {
        let revisions = self.revisions.entry(name.clone()).or_default();
        *revisions += 1;
        if *revisions > MAX_REVISIONS {
            return Err(self.conflict(name, "its version went back and forth without an end"));
        }
        let mut dependencies = Vec::new();
        for (dependency, wanted) in &recipe.dependencies {
            let requirement = wanted.range().map_err(|error| {
                Failure::new(
                    ErrorCode::ComponentDependencyNotValid,
                    format!("component {name} {} requires {dependency}: {error}", recipe.version),
                )
            })?;
            let text = wanted.requirement.clone();
            dependencies.push((dependency.clone(), Constraint { requirement, text, from_group: false }));
        }
        let resolved = Resolved { version: recipe.version.clone(), recipe: Some(recipe) };
        if let Some(old) = self.chosen.insert(name.clone(), resolved) {
            let still: BTreeSet<&SmolStr> = dependencies.iter().map(|(dependency, _)| dependency).collect();
            for dependency in old.recipe.iter().flat_map(|recipe| recipe.dependencies.keys()) {
                if !still.contains(dependency) {
                    self.release(name, dependency);
                }
            }
        }
        for (dependency, constraint) in dependencies {
            self.constrain(&dependency, name, constraint);
        }
        Ok(())
    }

    /// Takes back what `origin` asked of `name`; a component nobody asks for any more leaves with its own requirements.
    fn release(&mut self, origin: &str, name: &SmolStr) {
        let Some(all) = self.constraints.get_mut(name) else { return };
        all.remove(origin);
        if !all.is_empty() {
            return;
        }
        self.constraints.remove(name);
        if let Some(gone) = self.chosen.remove(name) {
            for dependency in gone.recipe.iter().flat_map(|recipe| recipe.dependencies.keys()) {
                self.release(name, dependency);
            }
        }
    }

    fn finish(&self) -> Result<Resolution, Failure> {
        let dependencies = self.chosen.iter().map(|(name, resolved)| {
            let names = resolved.recipe.iter().flat_map(|recipe| recipe.dependencies.keys().cloned());
            (name.clone(), names.collect::<Vec<SmolStr>>())
        });
        if let Err(cycle) = plan::order(&dependencies.collect()) {
            return Err(Failure::new(ErrorCode::ComponentCircularDependency, cycle.to_string()));
        }
        for (name, resolved) in &self.chosen {
            let kind = resolved.recipe.as_ref().map(|recipe| recipe.component_type);
            match kind {
                Some(ComponentType::Nucleus) => {
                    let cause =
                        format!("{name} {} is a nucleus, and this core runs {NUCLEUS} already", resolved.version);
                    return Err(Failure::new(ErrorCode::MultipleNucleusResolved, cause));
                }
                Some(ComponentType::Plugin) => {
                    let cause = format!(
                        "{name} {} is a plugin of the original nucleus; this core cannot load it",
                        resolved.version
                    );
                    return Err(Failure::new(ErrorCode::CustomPluginNotSupported, cause));
                }
                _ => {}
            }
        }
        Ok(Resolution { components: self.chosen.clone(), roots: self.roots.clone() })
    }

    fn printed(&self, name: &str) -> Vec<(String, String)> {
        let all = self.constraints.get(name).into_iter().flatten();
        all.map(|(origin, one)| (origin.clone(), one.requirement.to_string())).collect()
    }

    fn conflict(&self, name: &str, why: &str) -> Failure {
        self.conflict_with(name, why, ErrorCode::ComponentVersionRequirementsNotMet)
    }

    fn conflict_with(&self, name: &str, why: &str, code: ErrorCode) -> Failure {
        Failure::new(code, format!("{}: {why}", self.described(name)))
    }

    /// `Y: component X requires ^1; group thinggroup/a pins 2.0.0`.
    fn described(&self, name: &str) -> String {
        let all = self.constraints.get(name).into_iter().flatten().map(|(origin, one)| match one.from_group {
            true => format!("group {origin} pins {}", one.text),
            false => format!("component {origin} requires {}", if one.text.is_empty() { "*" } else { &one.text }),
        });
        format!("{name}: {}", all.collect::<Vec<_>>().join("; "))
    }
}
