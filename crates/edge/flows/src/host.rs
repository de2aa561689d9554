//! The task that keeps what runs equal to what is configured.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marram_broker::{Broker, Tenant};
use marram_edge_ports::{CloudMessages, Configuration, Credentials};
use marram_flow::topics::ThingTopics;
use marram_flow_runtime::package::{self, Trust};
use marram_flow_runtime::replica::{self, Report, Reported, ReportedState};
use marram_flow_runtime::{BrokerPort, Deployment, Ports, RuntimeHandle, RuntimeOptions};
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use crate::accepted::AcceptedPackages;
use crate::authority::EdgeAuthority;
use crate::history::LocalHistory;
use crate::settings::{Settings, devices, packages};
use crate::{COMPONENT, COMPONENT_VERSION, sync};

/// How often the host looks whether the component was deployed or removed without being told.
const LOOK: Duration = Duration::from_secs(5);
/// A deployment changes many places of the configuration: they are taken together.
const GATHER: Duration = Duration::from_millis(20);
/// Pause after the runtime or its files could not be opened.
const REOPEN: Duration = Duration::from_secs(30);
/// Longest reason in a report, characters.
const REASON_CHARS: usize = 300;

/// How a host runs.
#[derive(Debug, Clone)]
pub struct EdgeFlowsOptions {
    /// `<root>/work/marram.FlowRuntime`: journals, history, accepted packages; for its owner only.
    pub dir: PathBuf,
    /// The core's thing name.
    pub thing: SmolStr,
    /// What packages must show: a signature of the control plane's deployment key, or their hash alone.
    pub trust: Trust,
    /// How the runtime runs; `dir` is replaced, serial lines may be used.
    pub runtime: RuntimeOptions,
}

impl EdgeFlowsOptions {
    /// The defaults.
    pub fn new(dir: impl Into<PathBuf>, thing: &str) -> Self {
        let dir = dir.into();
        Self { runtime: RuntimeOptions::new(dir.join("journals")), dir, thing: thing.into(), trust: Trust::Whole }
    }
}

/// What the host needs of the core.
pub struct EdgePorts {
    /// Configuration of components.
    pub configuration: Arc<dyn Configuration>,
    /// The local broker and the tenant its client devices live in.
    pub broker: Broker,
    /// See `broker`.
    pub tenant: Tenant,
    /// The line; `None`: history stays here.
    pub cloud: Option<Arc<dyn CloudMessages>>,
    /// The core's role; `None`: signed HTTP steps fail with `TG.Permission`.
    pub credentials: Option<Arc<dyn Credentials>>,
}

/// Topics of the bound things of all deployments, by thing.
pub type FlowTopics = BTreeMap<SmolStr, ThingTopics>;

/// Certificate ids of bound things, by thing.
pub type BoundDevices = BTreeMap<SmolStr, BTreeSet<SmolStr>>;

/// The flows of a core. A cheap clone; the flows end with [`EdgeFlows::stop`] and go on at the next start.
#[derive(Clone)]
pub struct EdgeFlows {
    shared: Arc<Shared>,
}

struct Shared {
    nudge: Notify,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    done: watch::Receiver<bool>,
    report: watch::Receiver<Option<Arc<Report>>>,
    topics: watch::Receiver<Arc<FlowTopics>>,
    devices: watch::Receiver<Arc<BoundDevices>>,
    open: watch::Receiver<Option<(RuntimeHandle, LocalHistory)>>,
}

impl EdgeFlows {
    /// Starts following the configuration. What ran before is armed again before anything else happens; without the
    /// component and without anything of it on disk, nothing is opened.
    pub fn start(options: EdgeFlowsOptions, ports: EdgePorts, metrics: &marram_obs::Metrics) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (done_sender, done) = watch::channel(false);
        let (report_sender, report) = watch::channel(None);
        let (topics_sender, topics) = watch::channel(Arc::default());
        let (devices_sender, devices) = watch::channel(Arc::default());
        let (open_sender, open) = watch::channel(None);
        let stop = Mutex::new(Some(stop));
        let shared = Arc::new(Shared { nudge: Notify::new(), stop, done, report, topics, devices, open });
        let host = Host {
            authority: Arc::new(EdgeAuthority::new(ports.credentials.clone())),
            options,
            ports,
            metrics: metrics.clone(),
            shared: Arc::clone(&shared),
            report: report_sender,
            topics: topics_sender,
            devices: devices_sender,
            open: open_sender,
            entries: HashMap::new(),
            tasks: JoinSet::new(),
        };
        tokio::spawn(async move {
            host.run(stopped).await;
            done_sender.send_replace(true);
        });
        Self { shared }
    }

    /// Looks at the configuration now: the component was deployed or removed.
    pub fn refresh(&self) {
        self.shared.nudge.notify_one();
    }

    /// State of each deployment; `None` until the configuration was read once.
    pub fn report(&self) -> watch::Receiver<Option<Arc<Report>>> {
        self.shared.report.clone()
    }

    /// Topics of bound things: what the local broker lets these things do beside their own policies.
    pub fn topics(&self) -> watch::Receiver<Arc<FlowTopics>> {
        self.shared.topics.clone()
    }

    /// Certificates of bound things: whom the local broker lets in without asking the control plane.
    pub fn devices(&self) -> watch::Receiver<Arc<BoundDevices>> {
        self.shared.devices.clone()
    }

    /// The runtime while it is open: to start and abort by hand.
    pub fn runtime(&self) -> Option<RuntimeHandle> {
        self.shared.open.borrow().as_ref().map(|(runtime, _)| runtime.clone())
    }

    /// The history while it is open.
    pub fn history(&self) -> Option<LocalHistory> {
        self.shared.open.borrow().as_ref().map(|(_, history)| history.clone())
    }

    /// Stops flows where they stand.
    pub async fn stop(&self) {
        let stop = self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stop) = stop {
            // A host that is gone has stopped.
            let _ = stop.send(());
        }
        let mut done = self.shared.done.clone();
        // An error means that the task ended without a word.
        let _ = done.wait_for(|done| *done).await;
    }
}

/// What the host knows of one deployment.
struct Entry {
    id: SmolStr,
    /// Hash of the package that runs.
    running: Option<String>,
    /// Hash of the package last looked at, and the settings it was looked at with.
    seen: (String, Settings),
    state: ReportedState,
    message: Option<String>,
    topics: FlowTopics,
}

struct Host {
    options: EdgeFlowsOptions,
    ports: EdgePorts,
    metrics: marram_obs::Metrics,
    shared: Arc<Shared>,
    authority: Arc<EdgeAuthority>,
    report: watch::Sender<Option<Arc<Report>>>,
    topics: watch::Sender<Arc<FlowTopics>>,
    devices: watch::Sender<Arc<BoundDevices>>,
    open: watch::Sender<Option<(RuntimeHandle, LocalHistory)>>,
    /// By lower-case URN.
    entries: HashMap<String, Entry>,
    /// The way up.
    tasks: JoinSet<()>,
}

/// What is open while the component is there.
struct Open {
    runtime: RuntimeHandle,
    history: LocalHistory,
    accepted: AcceptedPackages,
}

impl Host {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut open: Option<Open> = None;
        let mut changes = None;
        loop {
            let configuration = self.ports.configuration.read(COMPONENT, &[]).ok();
            if changes.is_none() && configuration.is_some() {
                changes = self.ports.configuration.watch(COMPONENT, &[]).ok();
            }
            let mut pause = LOOK;
            if open.is_none() && (configuration.is_some() || self.options.dir.exists()) {
                match self.open(configuration.as_ref()).await {
                    Ok(opened) => open = Some(opened),
                    Err(error) => {
                        tracing::error!(%error, "the flow runtime cannot be opened");
                        pause = REOPEN;
                    }
                }
            }
            let bound = devices(configuration.as_ref().unwrap_or(&Value::Null));
            self.devices.send_if_modified(|known| {
                let is_changed = **known != bound;
                *known = Arc::new(bound);
                is_changed
            });
            if let Some(open) = &open {
                self.reconcile(open, configuration.as_ref().unwrap_or(&Value::Null)).await;
            }
            tokio::select! {
                _ = &mut stopped => break,
                () = self.shared.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
                change = changed(&mut changes) => {
                    if change {
                        tokio::time::sleep(GATHER).await;
                        if let Some(changes) = &mut changes {
                            while changes.try_recv().is_ok() {}
                        }
                    } else {
                        changes = None;
                    }
                }
            }
        }
        self.tasks.shutdown().await;
        self.open.send_replace(None);
        if let Some(open) = open {
            open.runtime.shutdown().await;
        }
    }

    /// Opens files and runtime. What was accepted before and is still listed gets its topics first, or the runtime could not arm it
    /// again; what is listed no more ends without being armed: the core may have died between a deployment and this task.
    async fn open(&mut self, configuration: Option<&Value>) -> Result<Open, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let settings = Settings::read(configuration.unwrap_or(&Value::Null));
        let dir = &self.options.dir;
        let accepted = AcceptedPackages::open(dir.join("accepted")).map_err(|error| text(&error))?;
        let listed: HashSet<String> = packages(configuration.unwrap_or(&Value::Null)).filter_map(id_of).collect();
        for package in accepted.all().map_err(|error| text(&error))? {
            if let Some(key) = id_of(&package).filter(|key| !listed.contains(key)) {
                accepted.remove(&key).map_err(|error| text(&error))?;
                continue;
            }
            // Cores once accepted packages without a signature, from signed deployments: those go on.
            let trust = if package::is_signed(&package) { self.options.trust.clone() } else { Trust::Whole };
            match unpack(&package, &trust, &settings) {
                Ok((deployment, topics)) => {
                    let hash = package::claimed_hash(&package).unwrap_or_default().to_owned();
                    self.authority.put(deployment.id(), &topics);
                    let entry = Entry {
                        id: deployment.id().clone(),
                        running: Some(hash.clone()),
                        seen: (hash, settings.clone()),
                        state: ReportedState::Deployed,
                        message: None,
                        topics,
                    };
                    self.entries.insert(deployment.id().to_ascii_lowercase(), entry);
                }
                Err(reason) => tracing::warn!(%reason, "a deployment that was accepted once is refused now"),
            }
        }
        let history =
            LocalHistory::open(&dir.join("history"), settings.history_bytes).await.map_err(|error| text(&error))?;
        let mut options = self.options.runtime.clone();
        options.dir = dir.join("journals");
        options.on_core = true;
        let ports = Ports {
            messages: {
                let tenant = self.ports.tenant.clone();
                Arc::new(BrokerPort::new(self.ports.broker.clone(), move |_| tenant.clone()))
            },
            authority: Arc::clone(&self.authority) as _,
            history: Some(Arc::new(history.clone())),
        };
        let runtime = RuntimeHandle::open_with(options, ports, &self.metrics, &|id| listed.contains(id))
            .await
            .map_err(|error| text(&error))?;
        let armed = runtime.deployments();
        for entry in self.entries.values_mut() {
            if !armed.iter().any(|id| id.eq_ignore_ascii_case(&entry.id)) {
                // The journal is gone: it is deployed anew.
                entry.running = None;
                entry.seen.0.clear();
            }
        }
        self.open.send_replace(Some((runtime.clone(), history.clone())));
        if let Some(cloud) = &self.ports.cloud {
            let thing = &self.options.thing;
            self.tasks.spawn(sync::history(Arc::clone(cloud), thing.clone(), history.clone()));
            self.tasks.spawn(sync::reports(Arc::clone(cloud), thing.clone(), self.report.subscribe()));
        }
        tracing::info!("Initialized ThingsGraph Runtime v{COMPONENT_VERSION}");
        Ok(Open { runtime, history, accepted })
    }

    /// Deploys what is new, undeploys what is gone, tells the others.
    async fn reconcile(&mut self, open: &Open, configuration: &Value) {
        let settings = Settings::read(configuration);
        open.history.set_limit(settings.history_bytes);
        let mut wanted: HashMap<String, &Value> = HashMap::new();
        for package in packages(configuration) {
            if let Some(key) = id_of(package) {
                wanted.insert(key, package);
            }
        }
        let mut is_changed = self.report.borrow().is_none();
        for (key, package) in &wanted {
            let hash = package::claimed_hash(package).unwrap_or_default().to_ascii_lowercase();
            let is_seen = self.entries.get(key).is_some_and(|entry| entry.seen.0 == hash && entry.seen.1 == settings);
            if !is_seen {
                is_changed = true;
                self.deploy(open, key, package, hash, &settings).await;
            }
        }
        let mut gone: Vec<String> = self.entries.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        // What the journals brought back although nobody accepted it.
        let stray = |id: &SmolStr| !wanted.contains_key(id.as_str()) && !self.entries.contains_key(id.as_str());
        gone.extend(open.runtime.deployments().into_iter().filter(stray).map(String::from));
        for key in gone {
            is_changed = true;
            self.undeploy(open, &key).await;
        }
        if is_changed {
            self.tell();
        }
    }

    async fn deploy(&mut self, open: &Open, key: &str, package: &Value, hash: String, settings: &Settings) {
        let id = package.get("id").and_then(Value::as_str).unwrap_or(key);
        // What runs already is only set up anew.
        let runs = self.entries.get(key).is_some_and(|entry| entry.running.as_ref() == Some(&hash));
        let trust = if runs { Trust::Whole } else { self.options.trust.clone() };
        let outcome = match unpack(package, &trust, settings) {
            Ok((deployment, topics)) => {
                self.authority.put(key, &topics);
                let deployed = open.runtime.deploy(deployment).await.map_err(|error| error.to_string());
                let kept = deployed.and_then(|()| {
                    open.accepted.put(key, package).map_err(|error| format!("the package cannot be kept: {error}"))
                });
                match kept {
                    Ok(()) => Ok(topics),
                    Err(reason) => {
                        self.authority.undo(key);
                        Err(reason)
                    }
                }
            }
            Err(reason) => Err(reason),
        };
        let entry = self.entries.entry(key.to_owned()).or_insert_with(|| Entry {
            id: id.into(),
            running: None,
            seen: (String::new(), settings.clone()),
            state: ReportedState::Failed,
            message: None,
            topics: FlowTopics::new(),
        });
        entry.seen = (hash.clone(), settings.clone());
        match outcome {
            Ok(topics) => {
                tracing::info!(deployment = %entry.id, "FlowsBootstrap: registered SDC: {}", entry.id);
                entry.topics = topics;
                (entry.running, entry.state, entry.message) = (Some(hash), ReportedState::Deployed, None);
            }
            Err(reason) => {
                tracing::error!(deployment = %entry.id, %reason, "a deployment is refused; what ran before goes on");
                (entry.state, entry.message) =
                    (ReportedState::Failed, Some(reason.chars().take(REASON_CHARS).collect()));
            }
        }
    }

    async fn undeploy(&mut self, open: &Open, key: &str) {
        if let Err(error) = open.runtime.undeploy(key).await {
            tracing::error!(deployment = key, %error, "a deployment could not be undeployed");
        }
        if let Err(error) = open.accepted.remove(key) {
            tracing::error!(deployment = key, %error, "the package of a deployment could not be removed");
        }
        self.authority.remove(key);
        self.entries.remove(key);
    }

    fn tell(&self) {
        let mut all = FlowTopics::new();
        for entry in self.entries.values() {
            for (thing, topics) in &entry.topics {
                let known = all.entry(thing.clone()).or_default();
                known.publishes.extend(topics.publishes.iter().cloned());
                known.receives.extend(topics.receives.iter().cloned());
            }
        }
        self.topics.send_replace(Arc::new(all));
        let mut deployments: Vec<Reported> = self
            .entries
            .values()
            .map(|entry| Reported {
                id: entry.id.clone(),
                sha256: entry.seen.0.clone(),
                state: entry.state,
                message: entry.message.clone(),
            })
            .collect();
        deployments.sort_by(|a, b| a.id.cmp(&b.id));
        let report = Report { version: replica::VERSION, runtime_version: COMPONENT_VERSION.to_owned(), deployments };
        self.report.send_replace(Some(Arc::new(report)));
    }
}

/// What a package is known by here: its deployment's URN, lower-case.
fn id_of(package: &Value) -> Option<String> {
    Some(package.get("id")?.as_str()?.to_ascii_lowercase())
}

fn unpack(package: &Value, trust: &Trust, settings: &Settings) -> Result<(Deployment, FlowTopics), String> {
    let mut deployment = package::open(package, trust).map_err(|error| error.to_string())?;
    settings.adapt(&mut deployment)?;
    let topics = deployment.snapshot.topics().map_err(|fault| fault.message.to_string())?;
    Ok((deployment, topics))
}

/// Resolves with `true` at a change, `false` when there will be none; never without a watch.
async fn changed(changes: &mut Option<tokio::sync::mpsc::Receiver<marram_edge_ports::ChangedPath>>) -> bool {
    match changes {
        Some(changes) => changes.recv().await.is_some(),
        None => std::future::pending().await,
    }
}
