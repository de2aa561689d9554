//! Local deployments, as the IPC door asks for them (CR 4.5, 6.8).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use marram_deploy::{
    ComponentEntry, DeploymentDocument, DeploymentStatus, ErrorCode, Failure, FailurePolicy, Groups, LOCAL_GROUP,
    Limits, Resolution, RunWith, UpdateAction, is_group_name,
};
use marram_edge_ports::{
    ComponentUpdate, DeploymentRecord, Deployments, KnownDeployment, Later, LocalDeploymentRequest, PortError,
    ValidationRequest,
};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::record::{Record, Source, Stage, folder_of, path_of};
use crate::{Deployer, Inner, disk, lock};

/// Local deployments that may wait (our limit).
const MAX_QUEUED: usize = 100;

impl Deployments for Deployer {
    fn create_local(&self, request: LocalDeploymentRequest) -> Later<'_, String> {
        Box::pin(async move {
            check(&self.inner, &request)?;
            let id = uuid::Uuid::new_v4().to_string();
            let text = to_text(&request);
            let now = self.inner.now().max(after_all(&self.inner));
            enqueue(&self.inner, new_record(&id, &id, Source::Local, "", now), text).await?;
            Ok(id)
        })
    }

    fn cancel_local<'a>(&'a self, id: &'a str) -> Later<'a, String> {
        Box::pin(async move {
            let record = self.local_record(id)?;
            cancel(&self.inner, &record.key).await?;
            Ok(format!("Deployment {id} is being canceled"))
        })
    }

    fn local_status(&self, id: &str) -> Result<DeploymentRecord, PortError> {
        let record = self.local_record(id)?;
        Ok(record.shown(waiting_for(&self.inner, &record.key)))
    }

    fn local_list(&self) -> Vec<DeploymentRecord> {
        let ledger = lock(&self.inner.ledger);
        let mut all: Vec<&Record> = ledger.all().filter(|record| record.source == Source::Local).collect();
        all.sort_by_key(|record| record.sequence);
        all.into_iter().map(|record| record.shown(waiting_for(&self.inner, &record.key))).collect()
    }

    fn all(&self) -> Vec<KnownDeployment> {
        let ledger = lock(&self.inner.ledger);
        let mut all: Vec<&Record> = ledger.all().collect();
        all.sort_by_key(|record| record.sequence);
        all.into_iter().map(|record| record.known(waiting_for(&self.inner, &record.key))).collect()
    }

    fn demands_signatures(&self) -> Option<bool> {
        (!self.inner.settings.thing_name.is_empty()).then(|| self.is_signature_demanded())
    }

    fn component_updates(&self, component: &str) -> mpsc::Receiver<ComponentUpdate> {
        lock(&self.inner.listeners).component_updates(component)
    }

    fn defer(
        &self,
        component: &str,
        deployment_id: &str,
        recheck_after_ms: i64,
        message: Option<String>,
    ) -> Result<(), PortError> {
        tracing::debug!(component, deployment_id, recheck_after_ms, ?message, "a component answers an update");
        lock(&self.inner.listeners).defer(component, deployment_id, recheck_after_ms)
    }

    fn validations(&self, component: &str) -> mpsc::Receiver<ValidationRequest> {
        lock(&self.inner.listeners).validations(component)
    }

    fn report_validity(
        &self,
        component: &str,
        deployment_id: &str,
        verdict: Result<(), Option<String>>,
    ) -> Result<(), PortError> {
        lock(&self.inner.listeners).report_validity(component, deployment_id, verdict)
    }
}

impl Deployer {
    fn local_record(&self, id: &str) -> Result<Record, PortError> {
        if uuid::Uuid::parse_str(id).is_err() {
            return Err(PortError::InvalidArguments(format!("{id} is not a deployment id")));
        }
        let ledger = lock(&self.inner.ledger);
        ledger.get(id).filter(|record| record.source == Source::Local).cloned().ok_or_else(|| {
            PortError::ResourceNotFound {
                message: format!("Deployment with id {id} not found"),
                resource_type: Some("Deployment".to_owned()),
                resource_name: Some(id.to_owned()),
            }
        })
    }
}

/// A time after that of everything that was deployed here or was asked for here before. What is asked for at the device comes last,
/// also when the clock went back since, or was never set: otherwise its configuration would be older than what is there, and would
/// be left out without a word (CR 3.1, 9.6).
fn after_all(inner: &Inner) -> i64 {
    let last = inner.ports.nucleus.get(&["services", "DeploymentService", "GroupToLastDeployment"]);
    let deployed = Groups::read(None, last.as_ref(), None).last.into_values().map(|(time, _)| time).max();
    let ledger = lock(&inner.ledger);
    let asked = ledger.all().filter(|record| record.source == Source::Local).map(|record| record.created_on).max();
    deployed.max(asked).map_or(0, |time| time.saturating_add(1))
}

fn waiting_for(inner: &Inner, key: &str) -> Option<String> {
    let current = lock(&inner.current);
    current.as_ref().filter(|current| current.key == key)?.waiting_for.clone()
}

/// A record that waits for its turn.
pub(crate) fn new_record(key: &str, id: &str, source: Source, arn: &str, created_on: i64) -> Record {
    Record {
        key: key.to_owned(),
        sequence: 0,
        id: id.to_owned(),
        source,
        arn: arn.to_owned(),
        created_on,
        stage: Stage::Queued,
        status: DeploymentStatus::Queued.as_str().to_owned(),
        detailed: String::new(),
        failure: None,
        unreported: false,
        bootstrapped: Vec::new(),
        restarted: false,
        canceled: false,
        abandoned: false,
        refused: None,
        notes: Vec::new(),
    }
}

/// Makes a deployment durable and wakes the worker: document first, then the record that names it.
pub(crate) async fn enqueue(inner: &Inner, record: Record, document: Vec<u8>) -> Result<(), PortError> {
    let folder = folder_of(&inner.settings.root, &record.key);
    let path = folder.join("document.json");
    let failed = |error: std::io::Error| PortError::service(format!("cannot keep the deployment: {error}"));
    disk::make_folder(inner.ports.room.as_ref(), &folder).map_err(failed)?;
    inner.ports.disk.step("document").await;
    inner.disk.write(&path, document.into()).await.map_err(failed)?;
    let key = record.key.clone();
    let text = lock(&inner.ledger).add(record).to_text();
    inner.ports.disk.step("record").await;
    if let Err(error) = inner.ports.nucleus.put(&path_of(&key), text.into()).await {
        lock(&inner.ledger).forget(&key);
        return Err(error);
    }
    inner.work.notify_one();
    Ok(())
}

/// Takes a deployment back: at once while it waits, through its worker while it is before activation, by way of the old state while its
/// components come up. One that goes back already waits for the old components no longer.
pub(crate) async fn cancel(inner: &Inner, key: &str) -> Result<(), PortError> {
    let stage = lock(&inner.ledger).get(key).map(|record| record.stage);
    match stage {
        Some(Stage::Queued) => {
            let outcome = |record: &mut Record| {
                record.stage = Stage::Done;
                record.status = DeploymentStatus::Canceled.as_str().to_owned();
                record.unreported = record.source == Source::Shadow;
            };
            inner.update(key, outcome).await?;
            inner.reports.notify_one();
            Ok(())
        }
        Some(Stage::Preparing) => {
            let current = lock(&inner.current);
            match current.as_ref().filter(|current| current.key == key && current.cancelable) {
                Some(current) => {
                    let _ = current.cancel.send(true);
                    Ok(())
                }
                None => Err(PortError::service("the deployment cannot be canceled any more")),
            }
        }
        Some(Stage::Bootstrapping | Stage::Activating) => {
            let take_back = |record: &mut Record| {
                record.canceled |= matches!(record.stage, Stage::Bootstrapping | Stage::Activating);
            };
            inner.update(key, take_back).await
        }
        Some(Stage::RollingBack) => {
            inner.update(key, |record| record.abandoned |= record.stage == Stage::RollingBack).await
        }
        Some(Stage::Done) => Err(PortError::service("the deployment is over")),
        None => Err(PortError::service("the deployment cannot be canceled any more")),
    }
}

fn check(inner: &Inner, request: &LocalDeploymentRequest) -> Result<(), PortError> {
    if let Some(name) = &request.group_name
        && !is_group_name(name)
    {
        return Err(PortError::InvalidArguments(format!("{name} is not a group name")));
    }
    let configured = request.configuration.keys().chain(request.run_with.keys()).map(AsRef::as_ref);
    for name in request.add.keys().map(AsRef::as_ref).chain(configured) {
        let name: &str = name;
        marram_recipe::check_component_name(name).map_err(|error| PortError::InvalidArguments(error.to_string()))?;
    }
    for (name, version) in &request.add {
        if version.parse::<marram_version::Requirement>().is_err() {
            return Err(PortError::InvalidArguments(format!("{name} has the version {version}, which is none")));
        }
    }
    if let Some(folder) = &request.recipe_directory
        && !folder.is_dir()
    {
        let message = format!("{} is not a folder", folder.display());
        return Err(PortError::InvalidRecipeDirectory(message));
    }
    if let Some(folder) = &request.artifact_directory {
        let refuse = |why: &str| Err(PortError::InvalidArtifactsDirectory(format!("{} {why}", folder.display())));
        let (Ok(folder), Ok(store)) = (folder.canonicalize(), inner.settings.root.join("packages").canonicalize())
        else {
            return refuse("is not a folder");
        };
        if !folder.is_dir() {
            return refuse("is not a folder");
        }
        if folder.starts_with(&store) || store.starts_with(&folder) && folder.ends_with("packages") {
            return refuse("lies in the artifact store");
        }
    }
    if lock(&inner.ledger).queued() >= MAX_QUEUED {
        return Err(PortError::service("too many deployments are waiting"));
    }
    Ok(())
}

/// Why a component cannot be removed that is no root of this group: the wish would be passed over without a word (CR 4.5).
pub(crate) fn nothing_to_remove(name: &str, groups: &Groups, deployed: &BTreeMap<SmolStr, Value>) -> Failure {
    let others = groups.roots.iter().filter(|(_, roots)| roots.contains_key(name)).map(|(group, _)| group.as_str());
    let others: Vec<&str> = others.collect();
    let cause = if !others.is_empty() {
        format!("{name} cannot be removed here: it belongs to {}; take it out of that deployment", others.join(", "))
    } else if deployed.contains_key(name) {
        format!("{name} cannot be removed: it is there because others depend on it; remove those")
    } else {
        format!("there is no component {name} to be removed")
    };
    Failure::new(ErrorCode::DeploymentDocumentNotValid, format!("{cause}. Nothing was changed"))
}

/// What is configured has to be there when the deployment is over.
pub(crate) fn check_configured(document: &DeploymentDocument, set: &Resolution) -> Result<(), Failure> {
    let is_there = |name: &SmolStr| set.components.contains_key(name) || name == marram_deploy::NUCLEUS;
    let Some(name) = document.components.keys().find(|name| !is_there(name)) else { return Ok(()) };
    let near = set.components.keys().find(|known| known.eq_ignore_ascii_case(name));
    let near = near.map(|near| format!(" (there is {near})")).unwrap_or_default();
    let cause = format!(
        "{name} cannot be configured: it is neither deployed nor a part of this deployment{near}. Nothing was changed"
    );
    Err(Failure::new(ErrorCode::DeploymentDocumentNotValid, cause))
}

/// A local request as it is read back when its turn comes.
pub(crate) struct LocalDocument {
    pub add: BTreeMap<String, String>,
    pub remove: Vec<String>,
    pub group: String,
    pub recipe_directory: Option<PathBuf>,
    pub artifact_directory: Option<PathBuf>,
    /// Configuration, run-with and policies; `components` holds entries for everything that is configured.
    pub document: DeploymentDocument,
}

fn to_text(request: &LocalDeploymentRequest) -> Vec<u8> {
    let configuration: Map<String, Value> = request
        .configuration
        .iter()
        .map(|(name, update)| (name.to_string(), json!({ "merge": update.merge, "reset": update.reset })))
        .collect();
    let run_with: Map<String, Value> = request
        .run_with
        .iter()
        .map(|(name, run_with)| {
            let mut one = Map::new();
            if let Some(user) = &run_with.posix_user {
                one.insert("posixUser".to_owned(), json!(user));
            }
            if let Some(limits) = &run_with.system_resource_limits {
                let limits = limits.map(|limits| json!({ "memory": limits.memory, "cpus": limits.cpus }));
                one.insert("systemResourceLimits".to_owned(), json!(limits));
            }
            (name.to_string(), Value::Object(one))
        })
        .collect();
    let text = json!({
        "add": request.add, "remove": request.remove, "group": request.group_name,
        "recipes": request.recipe_directory, "artifacts": request.artifact_directory,
        "rollback": request.rollback_on_failure, "configuration": configuration, "runWith": run_with,
    });
    text.to_string().into_bytes()
}

/// Reads a stored local request; none when it is damaged.
pub(crate) fn from_text(bytes: &[u8], id: &str, created_on: i64) -> Option<LocalDocument> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let texts = |key: &str| -> Option<BTreeMap<String, String>> {
        value
            .get(key)?
            .as_object()?
            .iter()
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    let path = |key: &str| value.get(key).and_then(Value::as_str).map(|text| Path::new(text).to_owned());
    let add = texts("add")?;
    let remove = value.get("remove")?.as_array()?.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let group = value
        .get("group")
        .and_then(Value::as_str)
        .map_or_else(|| LOCAL_GROUP.to_owned(), |name| format!("thinggroup/{name}"));
    let empty = Map::new();
    let map = |key: &str| value.get(key).and_then(Value::as_object).unwrap_or(&empty);
    let (configuration, run_with) = (map("configuration"), map("runWith"));
    let names = configuration.keys().chain(run_with.keys()).chain(add.keys());
    let components = names
        .map(|name| {
            let update = configuration.get(name);
            let reset = update.and_then(|update| update.get("reset")?.as_array()).into_iter().flatten();
            let entry = ComponentEntry {
                version: add.get(name).cloned().unwrap_or_default(),
                reset: reset.filter_map(|pointer| pointer.as_str().map(str::to_owned)).collect(),
                merge: update.and_then(|update| update.get("merge")).filter(|merge| merge.is_object()).cloned(),
                run_with: run_with.get(name).map(read_run_with).unwrap_or_default(),
            };
            (name.as_str().into(), entry)
        })
        .collect();
    let rollback = value.get("rollback").and_then(Value::as_bool).unwrap_or(false);
    let document = DeploymentDocument {
        deployment_id: id.to_owned(),
        deployment_name: None,
        configuration_arn: String::new(),
        on_behalf_of: None,
        creation_timestamp: created_on,
        components,
        failure_policy: if rollback { FailurePolicy::Rollback } else { FailurePolicy::DoNothing },
        required_capabilities: Vec::new(),
        update_timeout_secs: 60,
        update_action: UpdateAction::Skip,
        validation_timeout_secs: 20,
    };
    let (recipe_directory, artifact_directory) = (path("recipes"), path("artifacts"));
    Some(LocalDocument { add, remove, group, recipe_directory, artifact_directory, document })
}

fn read_run_with(value: &Value) -> RunWith {
    let posix_user =
        value.get("posixUser").map(|user| user.as_str().filter(|user| !user.is_empty()).map(str::to_owned));
    let limits = value.get("systemResourceLimits").map(|limits| {
        limits.as_object().map(|limits| Limits {
            memory: limits.get("memory").and_then(Value::as_u64),
            cpus: limits.get("cpus").and_then(Value::as_f64),
        })
    });
    RunWith { posix_user, limits }
}
