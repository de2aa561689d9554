//! From a document to everything activation needs (CR 4.8, phases 1 to 9). Nothing here touches what runs; dropping the
//! future at any point leaves files that a later try finds and uses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use marram_deploy::{
    Ask, Builtin, DeploymentDocument, DetailedStatus, ErrorCode, FLOW_RUNTIME, Failure, FailurePolicy, GroupRoot,
    Groups, Local, Paths, Plan, PlanInput, Resolution, Resolver, ServiceInput, Staleness, UpdateAction, service_tree,
    session_policy, unsafe_interpolations,
};
use marram_edge_ports::{Candidate, ComponentState, DataPlaneError};
use marram_recipe::Attributes;
use marram_version::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::altered::Altered;
use crate::check;
use crate::endpoints::{self, Switch};
use crate::fault::{self, Call};
use crate::kept::{self, Wish as Wishes};
use crate::record::{Record, Source, folder_of};
use crate::store::{artifacts, import, recipes};
use crate::token;
use crate::trust::{self, Trust};
use crate::update::{self, Update};
use crate::{Inner, listeners, local, lock, relief};

/// Services of the runtime itself, which no deployment lists or removes (CR 3.2).
pub(crate) const SERVICES: [&str; 6] = [
    "main",
    "DeploymentService",
    "FleetStatusService",
    "UpdateSystemPolicyService",
    "TelemetryAgent",
    "_AUTHENTICATION_TOKENS",
];

/// The first pause before a network operation is tried again is this part of the longest one (ours; CR 4.8 knows the longest only).
const FIRST_PAUSE: u32 = 64;

/// Why preparation ended early, with how it is reported.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub failure: Failure,
    pub detailed: DetailedStatus,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, detailed: DetailedStatus::FailedNoStateChange }
    }
}

/// Everything that activation and its repetition after a crash need; a file beside the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Activation {
    pub deployment_id: String,
    pub rollback: bool,
    /// The object below `services`.
    pub services: Value,
    /// Time of configuration leaves.
    pub timestamp: i64,
    /// Components to wait for.
    pub tracked: Vec<String>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Roots of the document that stay as they are.
    #[serde(default)]
    pub unchanged_roots: Vec<String>,
    /// Components whose bootstrap is due, in order.
    pub bootstrap: Vec<String>,
    /// The runtime restarts before the tree is applied.
    pub restarts: bool,
    /// The runtime's own program changes with it.
    #[serde(default)]
    pub update: Option<Update>,
    /// The control plane changes with it.
    #[serde(default)]
    pub switch: Option<Switch>,
    /// The disk was full already.
    #[serde(default)]
    pub full_before: bool,
    /// Of `added` those that had nothing on the disk yet.
    #[serde(default)]
    pub fresh: Vec<String>,
    /// Components of the old state that were not BROKEN.
    pub old: Vec<String>,
    /// Those of them that were not up either, for whatever reason: a rollback owes them nothing and does not wait for them.
    #[serde(default)]
    pub idle: Vec<String>,
    /// `DefaultConfiguration` by component, to tell defaults from what was deployed.
    #[serde(default)]
    pub defaults: BTreeMap<SmolStr, Value>,
    /// What it says of configurations.
    #[serde(default)]
    pub wishes: BTreeMap<SmolStr, Wishes>,
    /// What its success will have left as it was.
    #[serde(default)]
    pub notes: Vec<String>,
    pub group_roots: Value,
    pub group_last: Value,
    pub group_membership: Value,
    pub component_groups: Value,
}

/// A document, whoever sent it, and the group whose roots it sets.
struct Wish {
    document: DeploymentDocument,
    group: String,
    local: Option<local::LocalDocument>,
}

pub(crate) async fn prepare(inner: &Inner, record: &Record) -> Result<Activation, Refusal> {
    let wish = read_wish(inner, record).await?;
    let document = &wish.document;
    let missing = document.missing_capabilities();
    if !missing.is_empty() {
        let cause = format!("this runtime lacks the capabilities {}", missing.join(", "));
        return Err(Failure::new(ErrorCode::NucleusMissingRequiredCapabilities, cause).into());
    }
    let groups = groups(inner, record, &wish).await?;
    if let Some(wish) = &wish.local {
        if let Some(folder) = &wish.recipe_directory {
            import::recipe_folder(inner, folder).await?;
        }
        if let Some(folder) = &wish.artifact_directory {
            import::artifact_folder(inner, folder).await?;
        }
    }
    let set = resolve(inner, &groups).await?;
    if wish.local.is_some() {
        local::check_configured(document, &set)?;
    }
    let (platform, now) = (platform(inner), deployed(inner));
    let mut altered = Altered::new(document, &now);
    for resolved in set.components.values() {
        if let Some(recipe) = &resolved.recipe {
            let manifest = manifest(recipe, &platform)?;
            if let Err(failure) = artifacts::prepare(inner, recipe, manifest).await {
                altered.pass_over(recipe, failure)?;
            }
        }
    }
    inner.waiting_over();
    let trees = trees(inner, &set, document, &groups, &platform)?;
    check_sessions(&trees)?;
    check::settings(&inner.settings.thing_name, &now, &trees)?;
    let plan = Plan::new(PlanInput { now: &now, new: &trees })
        .map_err(|cycle| Failure::new(ErrorCode::ComponentCircularDependency, cycle.to_string()))?;
    let update = update::wanted(inner, &set).await?;
    let restarts = plan.restarts() || update.is_some();
    if document.update_action == UpdateAction::Notify && (restarts || !plan.is_empty()) {
        let timeout = Duration::from_secs(document.update_timeout_secs);
        listeners::ask_to_update(inner, &record.id, restarts, timeout).await;
    }
    let judged = judged(&now, &trees);
    listeners::validate(inner, &record.id, judged, Duration::from_secs(document.validation_timeout_secs)).await?;
    for resolved in set.components.values() {
        if let Some(recipe) = &resolved.recipe
            && let Err(failure) = artifacts::verify(inner, recipe).await
        {
            altered.pass_over(recipe, failure)?;
        }
    }
    let left = altered.left_alone(&plan, &trees);
    token::attempt(inner, &trees).await?;
    let switch = endpoints::attempt(inner, &record.id, &now, &trees).await?;
    let passed_over = check::unknown(&now, &trees);
    let mut activation = activation(inner, record, document, &groups, &set, trees, &now, &plan);
    activation.tracked.retain(|name| !left.contains(name.as_str()));
    activation.notes = altered.notes();
    activation.notes.extend(passed_over);
    Ok(Activation { restarts, update, switch, ..activation })
}

async fn read_wish(inner: &Inner, record: &Record) -> Result<Wish, Refusal> {
    let path = folder_of(&inner.settings.root, &record.key).join("document.json");
    let bytes = std::fs::read(&path).map_err(|error| crate::disk::read_failure(&path, &error))?;
    if record.source == Source::Local {
        let damaged = || Failure::new(ErrorCode::DeploymentDocumentParseError, "the stored request cannot be read");
        let local = local::from_text(&bytes, &record.id, record.created_on).ok_or_else(damaged)?;
        return Ok(Wish { document: local.document.clone(), group: local.group.clone(), local: Some(local) });
    }
    let mut document = DeploymentDocument::from_bytes(&bytes).map_err(|error| fault::document(&error))?;
    trust::judge_again(inner, &serde_json::from_slice(&bytes).unwrap_or_default())?;
    if document.is_abridged() {
        let id = document.deployment_id.clone();
        let whole = inner.retry("the whole deployment document", || inner.ports.data_plane.large_document(&id)).await;
        let whole = whole.map_err(|error| fault::data_plane(Call::LargeDocument, &error))?;
        trust::judge_again(inner, &whole)?;
        let whole = DeploymentDocument::from_value(&whole).map_err(|error| fault::document(&error))?;
        let named = |one: &DeploymentDocument| {
            (one.deployment_id.clone(), one.configuration_arn.clone(), one.creation_timestamp)
        };
        if named(&whole) != named(&document) {
            let cause = "the whole document is not the one that was announced";
            return Err(Failure::new(ErrorCode::DeploymentDocumentNotValid, cause).into());
        }
        document = whole;
    }
    let group = document.group_key().map_err(|error| fault::document(&error))?;
    Ok(Wish { document, group, local: None })
}

/// The groups with the new roots of the target in them (CR 4.6).
async fn groups(inner: &Inner, record: &Record, wish: &Wish) -> Result<Groups, Refusal> {
    let get = |key: &str| inner.ports.nucleus.get(&["services", "DeploymentService", key]);
    let mut groups = Groups::read(
        get("GroupToRootComponents").as_ref(),
        get("GroupToLastDeployment").as_ref(),
        get("GroupMembership").as_ref(),
    );
    let document = &wish.document;
    let is_job = matches!(record.source, Source::Job { .. });
    if is_job && groups.staleness(&wish.group, document.creation_timestamp) == Staleness::Stale {
        let cause = format!("a newer deployment of {} is in force", wish.group);
        let failure = Failure::new(ErrorCode::RejectedStaleDeployment, cause);
        return Err(Refusal { failure, detailed: DetailedStatus::Rejected });
    }
    match membership(inner, record.source == Source::Local).await {
        Some(members) => {
            groups.membership = members;
            let target = marram_deploy::group_key(&document.configuration_arn).unwrap_or_default();
            let demanded = wish.local.is_none() && Trust::read(inner.ports.nucleus.as_ref()).is_demanded();
            if demanded && !groups.belongs(&target) {
                let cause = format!("the deployment is for {target}, and this core does not belong to it");
                return Err(Failure::new(ErrorCode::DeploymentDocumentNotValid, cause).into());
            }
        }
        // a job for a group says as much: without it the next deployment would take the group for one that was left
        None if is_job => drop(groups.membership.insert(wish.group.clone())),
        None => {}
    }
    groups.forget_left_groups(&wish.group);
    let root = |version: &str| GroupRoot {
        version: version.to_owned(),
        config_arn: document.configuration_arn.clone(),
        config_name: document.deployment_name.clone().unwrap_or_default(),
    };
    let roots = match &wish.local {
        None => document.components.iter().map(|(name, entry)| (name.clone(), root(&entry.version))).collect(),
        Some(local) => {
            let mut roots = groups.roots.get(&wish.group).cloned().unwrap_or_default();
            if let Some(gone) = local.remove.iter().find(|gone| !roots.contains_key(gone.as_str())) {
                return Err(local::nothing_to_remove(gone, &groups, &deployed(inner)).into());
            }
            roots.retain(|name, _| !local.remove.iter().any(|gone| gone == name));
            roots.extend(local.add.iter().map(|(name, version)| (SmolStr::from(name), root(version))));
            roots
        }
    };
    groups.set(&wish.group, roots, document.creation_timestamp, &document.configuration_arn);
    Ok(groups)
}

/// Group keys of the device; none keeps what is remembered.
async fn membership(inner: &Inner, local: bool) -> Option<BTreeSet<String>> {
    if !inner.ports.data_plane.is_configured() {
        return None;
    }
    let answer = if local {
        inner.ports.data_plane.thing_groups().await
    } else {
        inner.retry("the list of thing groups", || inner.ports.data_plane.thing_groups()).await
    };
    match answer {
        Ok(names) => Some(names.into_iter().map(|name| format!("thinggroup/{name}")).collect()),
        Err(error) => {
            tracing::warn!(%error, "the thing groups cannot be listed, those of the last time count");
            None
        }
    }
}

async fn resolve(inner: &Inner, groups: &Groups) -> Result<Resolution, Failure> {
    let root = &inner.settings.root;
    let platform = platform(inner);
    let now = deployed(inner);
    let mut resolver = Resolver::new(&groups.wanted(), inner.ports.data_plane.is_configured())?;
    loop {
        match resolver.next()? {
            Ask::Local { name } => {
                let mut stored = recipes::versions(root, &name);
                if inner.ports.data_plane.is_configured() {
                    // a recipe of the control plane that was damaged here is fetched anew
                    stored.retain(|version| {
                        let metadata = recipes::metadata(root, &name, &version.to_string());
                        metadata.is_none_or(|metadata| metadata.component_version_arn.is_none())
                            || recipes::load(root, &name, version).is_ok()
                    });
                }
                let active = now.get(&name).and_then(|tree| tree.get("version")?.as_str()?.parse::<Version>().ok());
                // a version without its recipe cannot be deployed again
                let active = active.filter(|version| stored.contains(version));
                resolver.local(&Local { active, stored })?;
            }
            Ask::Cloud { name, candidate, requirements } => {
                let platform: Vec<(String, String)> = platform.clone().into_iter().collect();
                let candidate = Candidate {
                    name: name.clone(),
                    version: candidate.map(|version| version.to_string()),
                    requirements,
                };
                let local_exists = candidate.version.is_some();
                let what = format!("the version of {name} from the control plane");
                let call = || inner.ports.data_plane.resolve(platform.clone(), candidate.clone());
                let answer = if local_exists { call().await } else { inner.retry(&what, call).await };
                let answer = match answer {
                    Ok(resolved) => Ok(accept(inner, &resolved).await?),
                    Err(error) => Err(fault::data_plane(Call::Resolve, &error)),
                };
                resolver.cloud(answer)?;
            }
            Ask::Recipe { name, version } => {
                let recipe = recipes::load(root, &name, &version)
                    .map_err(|failure| failure.within(ErrorCode::ComponentPackageLoadingError))?;
                resolver.recipe(recipe)?;
            }
            Ask::Done(set) => {
                inner.waiting_over();
                check_names(&set)?;
                return Ok(set);
            }
        }
    }
}

/// Each name is one that a component may have, and an entry of its own in the configuration, whose keys have no case: two components
/// that share one would wait for each other without an end.
fn check_names(set: &Resolution) -> Result<(), Failure> {
    let refuse = |cause: String| Err(Failure::new(ErrorCode::DeploymentDocumentNotValid, cause));
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for part in marram_deploy::BUILTINS {
        taken.insert(part.name.to_ascii_lowercase(), part.name);
    }
    for name in set.components.keys() {
        if let Err(error) = marram_recipe::check_component_name(name) {
            return refuse(error.to_string());
        }
        if let Some(other) = taken.insert(name.to_ascii_lowercase(), name).filter(|other| *other != name.as_str()) {
            return refuse(format!(
                "the components {name} and {other} differ in nothing but case, so they cannot be on one core"
            ));
        }
    }
    Ok(())
}

/// What is to narrow the credentials of a component has to be a policy before anything runs with it (SEC-134).
fn check_sessions(trees: &BTreeMap<SmolStr, Value>) -> Result<(), Failure> {
    for (name, tree) in trees {
        if let Some(Err(error)) = tree.get("configuration").map(session_policy) {
            let cause = format!("the configuration of {name}: {error}");
            return Err(Failure::new(ErrorCode::ComponentConfigurationNotValid, cause));
        }
    }
    Ok(())
}

/// Reads and stores a recipe of the control plane.
async fn accept(inner: &Inner, resolved: &marram_edge_ports::Resolved) -> Result<Arc<marram_recipe::Recipe>, Failure> {
    if resolved.vendor_guidance.as_deref() == Some("DISCONTINUED") {
        tracing::warn!(component = %resolved.name, version = resolved.version, "the component is discontinued");
    }
    Trust::read(inner.ports.nucleus.as_ref()).check_recipe(resolved)?;
    let reading = marram_recipe::read(&resolved.recipe);
    let Some(recipe) = reading.recipe else {
        let first = reading.findings.first().map(ToString::to_string).unwrap_or_default();
        let cause = format!("the recipe of {} {} cannot be read: {first}", resolved.name, resolved.version);
        return Err(Failure::of(&[ErrorCode::ComponentPackageLoadingError, ErrorCode::RecipeParseError], cause));
    };
    if recipe.version.to_string() != resolved.version {
        let cause = format!("the recipe of {} {} says {}", resolved.name, resolved.version, recipe.version);
        return Err(Failure::of(&[ErrorCode::CloudApiError, ErrorCode::ResolveComponentCandidatesBadResponse], cause));
    }
    let _turn = inner.watch.turn(&recipe.name).await;
    recipes::save(inner.disk.as_ref(), &inner.settings.root, &recipe, Some(&resolved.arn)).await?;
    Ok(Arc::new(recipe))
}

fn manifest<'a>(
    recipe: &'a marram_recipe::Recipe,
    platform: &Attributes,
) -> Result<&'a marram_recipe::Manifest, Failure> {
    recipe.manifest_for(platform).ok_or_else(|| {
        let cause = format!("no manifest of {} {} is for this device", recipe.name, recipe.version);
        Failure::of(&[ErrorCode::ComponentPackageLoadingError, ErrorCode::RecipeMissingManifest], cause)
    })
}

/// The device's attributes with `platformOverride` over them.
pub(crate) fn platform(inner: &Inner) -> Attributes {
    let mut platform = inner.settings.platform.clone();
    if let Some(Value::Object(over)) = inner.setting(&["platformOverride"]) {
        platform.extend(over.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))));
    }
    platform
}

/// Trees of deployed components.
pub(crate) fn deployed(inner: &Inner) -> BTreeMap<SmolStr, Value> {
    let Some(Value::Object(services)) = inner.ports.nucleus.get(&["services"]) else { return BTreeMap::new() };
    services
        .into_iter()
        .filter(|(name, tree)| {
            tree.get("version").is_some_and(Value::is_string)
                && !SERVICES.iter().any(|own| own.eq_ignore_ascii_case(name))
        })
        .map(|(name, tree)| (name.into(), tree))
        .collect()
}

fn trees(
    inner: &Inner,
    set: &Resolution,
    document: &DeploymentDocument,
    groups: &Groups,
    platform: &Attributes,
) -> Result<BTreeMap<SmolStr, Value>, Failure> {
    let now = deployed(inner);
    let source = inner.setting(&["deploymentConfigurationTimeSource"]);
    let by_processing = source.as_ref().and_then(Value::as_str) == Some("deploymentProcessingTime");
    let time = if by_processing { inner.now() } else { document.creation_timestamp };
    let none = json!({});
    let configurations: BTreeMap<SmolStr, Value> = set
        .components
        .iter()
        .map(|(name, resolved)| {
            let entry = document.components.get(name);
            let defaults = resolved.recipe.as_ref().and_then(|recipe| recipe.default_configuration.as_ref());
            let mut reset = entry.map(|entry| entry.reset.clone()).unwrap_or_default();
            if name == FLOW_RUNTIME && inner.ports.data_plane.is_configured() {
                reset.extend(now.get(name).map(|tree| groups.left_flows(&tree["configuration"])).unwrap_or_default());
            }
            let merge = entry.and_then(|entry| entry.merge.as_ref());
            let value = inner.ports.nucleus.preview(name, &reset, defaults.unwrap_or(&none), merge, time);
            (name.clone(), value)
        })
        .collect();
    let interpolate = configurations
        .get(marram_deploy::NUCLEUS)
        .and_then(|nucleus| nucleus.get("interpolateComponentConfiguration"))
        .cloned()
        .or_else(|| inner.setting(&["interpolateComponentConfiguration"]));
    let interpolate_configuration = interpolate.is_some_and(|value| value == json!(true) || value == json!("true"));
    let allows_unsafe = inner.setting(&["allowUnsafeInterpolation"]) == Some(json!(true));
    let paths =
        Paths { root: inner.settings.root.display().to_string(), thing_name: inner.settings.thing_name.clone() };
    let mut trees = BTreeMap::new();
    for (name, resolved) in &set.components {
        let manifest = resolved.recipe.as_ref().map(|recipe| manifest(recipe, platform)).transpose()?;
        let input = ServiceInput {
            name,
            resolved,
            manifest,
            set: &set.components,
            configurations: &configurations,
            now: now.get(name),
            run_with: document.components.get(name).map(|entry| &entry.run_with),
            paths: &paths,
            interpolate_configuration,
        };
        if let Some(found) = unsafe_interpolations(&input).first().filter(|_| !allows_unsafe) {
            let cause = format!(
                "component {name}: {} in its privileged {} script holds what a shell would execute",
                found.variable, found.step
            );
            return Err(Failure::new(ErrorCode::ConfigInterpolateError, cause));
        }
        let (tree, unresolved) = service_tree(&input);
        if !unresolved.is_empty() {
            tracing::warn!(component = %name, ?unresolved, "variables without a value stay as written");
        }
        check::rights(name, &tree)?;
        trees.insert(name.clone(), tree);
    }
    Ok(trees)
}

/// Components whose configuration changes at the same version: those are asked for their verdict (CR 3.6).
fn judged(now: &BTreeMap<SmolStr, Value>, new: &BTreeMap<SmolStr, Value>) -> Vec<(String, Value)> {
    new.iter()
        .filter_map(|(name, tree)| {
            let old = now.get(name)?;
            let changed =
                old.get("version") == tree.get("version") && old.get("configuration") != tree.get("configuration");
            changed.then(|| (name.to_string(), tree.get("configuration").cloned().unwrap_or_default()))
        })
        .collect()
}

#[allow(clippy::too_many_arguments)]
fn activation(
    inner: &Inner,
    record: &Record,
    document: &DeploymentDocument,
    groups: &Groups,
    set: &Resolution,
    trees: BTreeMap<SmolStr, Value>,
    now: &BTreeMap<SmolStr, Value>,
    plan: &Plan,
) -> Activation {
    let owned = |names: &[SmolStr]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let roots = set.roots.iter().filter(|name| set.components.contains_key(*name)).map(|name| format!("{name}:HARD"));
    let main = json!({ "dependencies": roots.collect::<Vec<_>>() });
    let mut services: Map<String, Value> = trees.into_iter().map(|(name, tree)| (name.to_string(), tree)).collect();
    services.insert("main".to_owned(), main);
    let is_component = |name: &&SmolStr| marram_deploy::builtin(name).is_none();
    let is_removed = |name: &&SmolStr| marram_deploy::builtin(name).is_none_or(Builtin::is_removed);
    let state = |name: &str| inner.ports.nucleus.state(name).map(|(state, _)| state);
    let broken_before = |name: &str| state(name) == Some(ComponentState::Broken);
    let up_before = |name: &str| matches!(state(name), Some(ComponentState::Running | ComponentState::Finished));
    let old = now.keys().filter(is_component).filter(|name| !broken_before(name));
    let source = inner.setting(&["deploymentConfigurationTimeSource"]);
    let by_processing = source.as_ref().and_then(Value::as_str) == Some("deploymentProcessingTime");
    Activation {
        deployment_id: record.id.clone(),
        rollback: document.failure_policy == FailurePolicy::Rollback,
        services: Value::Object(services),
        timestamp: if by_processing { inner.now() } else { document.creation_timestamp },
        tracked: plan.tracked().map(ToString::to_string).collect(),
        added: plan.added.iter().filter(is_removed).map(ToString::to_string).collect(),
        removed: plan.removed.iter().filter(is_removed).map(ToString::to_string).collect(),
        unchanged_roots: document
            .components
            .keys()
            .filter(|name| now.contains_key(*name) && !plan.added.contains(name) && !plan.updated.contains(name))
            .map(ToString::to_string)
            .collect(),
        bootstrap: owned(&plan.bootstrap),
        restarts: plan.restarts(),
        update: None,
        switch: None,
        full_before: inner.ports.room.is_full(),
        fresh: relief::fresh(&inner.settings.root, plan.added.iter().filter(is_component).map(SmolStr::as_str)),
        idle: old.clone().filter(|name| !up_before(name)).map(ToString::to_string).collect(),
        old: old.map(ToString::to_string).collect(),
        defaults: set
            .components
            .iter()
            .filter_map(|(name, resolved)| {
                Some((name.clone(), resolved.recipe.as_ref()?.default_configuration.clone()?))
            })
            .collect(),
        wishes: kept::wishes(inner, document, |name| {
            set.components.get(name)?.recipe.as_ref()?.default_configuration.clone()
        }),
        notes: Vec::new(),
        group_roots: groups.roots_value(),
        group_last: groups.last_value(),
        group_membership: groups.membership_value(),
        component_groups: groups.component_to_groups(),
    }
}

impl Inner {
    /// Whether the deployment in work waits out network trouble.
    pub(crate) fn is_patient(&self) -> bool {
        lock(&self.current).as_ref().is_none_or(|current| current.patient)
    }

    /// Repeats a call of the data plane while it may help, for a cloud deployment without an end (CR 4.8): a cancel drops
    /// the future.
    pub(crate) async fn retry<'a, T>(
        &self,
        what: &str,
        call: impl Fn() -> marram_edge_ports::Later<'a, T, DataPlaneError>,
    ) -> Result<T, DataPlaneError> {
        let mut pauses = self.pauses();
        loop {
            self.waiting(what);
            match call().await {
                Err(error) if error.is_retryable() && self.is_patient() => {
                    tracing::info!(%error, what, "a network operation is tried again");
                    self.waiting(format!("{what} ({error})"));
                    pauses.next().await;
                }
                answer => return answer,
            }
        }
    }

    pub(crate) fn pauses(&self) -> Pauses<'_> {
        Pauses { inner: self, next: self.settings.pace.retry / FIRST_PAUSE }
    }
}

/// Pauses before a network operation is tried again. One request that fails does not cost a minute; an outage is not answered by a
/// storm.
pub(crate) struct Pauses<'a> {
    inner: &'a Inner,
    next: Duration,
}

impl Pauses<'_> {
    /// Over at once when the line comes back, because what failed was most likely the same outage.
    pub(crate) async fn next(&mut self) {
        let mut connection = self.inner.ports.messages.connection();
        tokio::select! {
            () = tokio::time::sleep(crate::source::scattered(self.next)) => {}
            () = crate::source::reconnected(&mut connection) => {}
        }
        self.next = (self.next * 2).min(self.inner.settings.pace.retry);
    }
}
