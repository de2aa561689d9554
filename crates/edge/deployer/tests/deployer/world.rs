//! A core and its cloud in one process. What is durable outlives the deployer; time can end at any durable step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use marram_configuration::{Behavior, Mode, Origin, Tree, Write};
use marram_deploy::{DOCUMENT_TYPE, RECIPE_TYPE, SIGNATURE_MEMBER, canonical, pre_authentication, recipe_statement};
use marram_deployer::{Deployer, Disk, EndpointError, Endpoints, FileDisk, Pace, Ports, Restart, Settings};
use marram_edge_ports::{
    ApplyMode, ArtifactPlace, BootstrapOutcome, Candidate, CloudMessage, CloudMessages, CloudPublish,
    CloudSubscription, ComponentState, DataPlane, DataPlaneError, Later, Nucleus, PortError, Resolved, Room,
    StateChange,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::Instant;

pub const THING: &str = "core";
pub const ARN: &str = "arn:aws:greengrass:us-east-1:000000000000:configuration:thinggroup/g:1";

/// Ends time at the n-th durable step: whoever reaches it waits for ever.
#[derive(Default)]
pub struct Crash {
    pub at: Option<usize>,
    pub count: AtomicUsize,
    pub fired: Notify,
}

impl Crash {
    async fn point(&self) {
        if Some(self.count.fetch_add(1, Ordering::SeqCst)) == self.at {
            self.fired.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// What survives: the tree, the cloud, the folder.
pub struct World {
    pub folder: tempfile::TempDir,
    pub tree: Mutex<Tree>,
    pub cloud: Mutex<Cloud>,
    pub bootstrapped: Mutex<Vec<String>>,
    /// Once set, every write fails as on a full disk.
    pub disk_full: Mutex<bool>,
    /// Whether the core keeps room for itself.
    pub reserve: Mutex<bool>,
    /// How often that is open now, and how often it was opened.
    pub opened: Mutex<(usize, usize)>,
    /// Components whose processes were ended before a rollback.
    pub halted: Mutex<Vec<String>>,
    /// The disk fills up, for the tree as well, when a file of this name is written.
    pub fills_at: Mutex<Option<&'static str>>,
    /// Writes to the tree that were refused; none while there is room.
    pub tree_full: Mutex<Option<usize>>,
    pub free_bytes: Mutex<u64>,
    pub planes: Mutex<Planes>,
    /// A component that does not come up from now on, whatever its recipe says.
    pub hangs: Mutex<Option<&'static str>>,
    /// What the core's clock shows, milliseconds.
    pub now: AtomicI64,
}

/// Other control planes, and what was asked of them.
#[derive(Default)]
pub struct Planes {
    pub refuses: Option<EndpointError>,
    pub unsettled: Option<EndpointError>,
    /// Hosts.
    pub attempted: Vec<String>,
    /// Hosts and messages.
    pub told: Vec<(String, CloudPublish)>,
}

#[derive(Default, Clone)]
pub struct Cloud {
    /// Recipes by name and version.
    pub recipes: BTreeMap<(String, String), Value>,
    /// Content by artifact name.
    pub artifacts: BTreeMap<String, Vec<u8>>,
    pub groups: Vec<String>,
    /// The job: id, document.
    pub job: Option<(String, Value)>,
    /// Every status that was told: word and details.
    pub told: Vec<(String, Value)>,
    /// The shadow's state and version.
    pub shadow: Value,
    pub shadow_version: i64,
    /// How often the next job was asked for.
    pub asked: usize,
    /// Errors to answer by call, once each.
    pub trouble: BTreeMap<&'static str, DataPlaneError>,
    /// No control plane is configured.
    pub offline: bool,
    /// Every call ends in network trouble.
    pub unreachable: bool,
    /// Signs recipes.
    pub signer: Option<Arc<Ed25519KeyPair>>,
    /// Recipes that arrive in place of the signed ones, by component.
    pub forged: BTreeMap<String, Value>,
}

/// The DSSE envelope of SEC-154.
pub fn envelope(key: &Ed25519KeyPair, payload_type: &str, payload: &Value) -> Value {
    let public = key.public_key().as_ref();
    let id: String = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let signature = key.sign(&pre_authentication(payload_type, canonical(payload).as_bytes()));
    json!({"payloadType": payload_type, "signatures": [{"keyid": id, "sig": STANDARD.encode(signature.as_ref())}]})
}

/// A signed document.
pub fn signed(key: &Ed25519KeyPair, document: &Value) -> Value {
    let mut whole = document.clone();
    whole[SIGNATURE_MEMBER] = envelope(key, DOCUMENT_TYPE, document);
    whole
}

fn recipe_envelope(key: &Ed25519KeyPair, arn: &str, name: &str, version: &str, recipe: &[u8]) -> Value {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, recipe);
    envelope(key, RECIPE_TYPE, &recipe_statement(arn, name, version, &STANDARD.encode(digest)))
}

/// In memory where that can be had: these crashes end processes and not the power, so waiting for a disk proves nothing.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            folder: folder(),
            tree: Mutex::default(),
            cloud: Mutex::new(Cloud { groups: vec!["g".to_owned()], ..Cloud::default() }),
            bootstrapped: Mutex::default(),
            disk_full: Mutex::new(false),
            reserve: Mutex::new(false),
            opened: Mutex::default(),
            halted: Mutex::default(),
            fills_at: Mutex::default(),
            tree_full: Mutex::default(),
            free_bytes: Mutex::new(u64::MAX),
            planes: Mutex::default(),
            hangs: Mutex::default(),
            now: AtomicI64::new(5_000),
        })
    }

    /// Another world in the same state.
    pub fn fork(&self) -> Arc<Self> {
        fn copy(from: &Path, to: &Path) {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap().flatten() {
                let (from, to) = (entry.path(), to.join(entry.file_name()));
                if from.is_dir() {
                    copy(&from, &to);
                } else {
                    std::fs::copy(&from, &to).unwrap();
                }
            }
        }
        let folder = folder();
        copy(self.folder.path(), folder.path());
        Arc::new(Self {
            folder,
            tree: Mutex::new(self.tree.lock().unwrap().clone()),
            cloud: Mutex::new(self.cloud.lock().unwrap().clone()),
            bootstrapped: Mutex::default(),
            disk_full: Mutex::new(false),
            reserve: Mutex::new(false),
            opened: Mutex::default(),
            halted: Mutex::default(),
            fills_at: Mutex::default(),
            tree_full: Mutex::default(),
            free_bytes: Mutex::new(u64::MAX),
            planes: Mutex::default(),
            hangs: Mutex::default(),
            now: AtomicI64::new(self.now()),
        })
    }

    /// What the core's clock shows.
    pub fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// A component's work folder.
    pub fn work(&self, component: &str) -> PathBuf {
        self.folder.path().join("work").join(component)
    }

    /// Whether a component filled the disk.
    fn is_filled(&self) -> bool {
        let mut work = std::fs::read_dir(self.folder.path().join("work")).into_iter().flatten().flatten();
        work.any(|entry| entry.path().join("fill").exists())
    }

    fn is_full(&self) -> bool {
        *self.disk_full.lock().unwrap() || self.is_filled()
    }

    /// Puts a component version into the catalogue, with one artifact of its own.
    pub fn publish(&self, name: &str, version: &str, lifecycle: Value, dependencies: &[(&str, &str)]) {
        let content = format!("artifact of {name} {version}").into_bytes();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
        let dependencies: BTreeMap<&str, Value> =
            dependencies.iter().map(|(name, range)| (*name, json!({"VersionRequirement": range}))).collect();
        let artifact = format!("{name}/{version}/{name}.txt");
        let recipe = json!({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
            "ComponentDependencies": dependencies,
            "ComponentConfiguration": {"DefaultConfiguration": {"greeting": "hello", "deep": {"from": version}}},
            "Manifests": [{"Lifecycle": lifecycle, "Artifacts": [{
                "Uri": format!("greengrass:{artifact}"), "Algorithm": "SHA-256",
                "Digest": STANDARD.encode(digest),
            }]}],
        });
        let mut cloud = self.cloud.lock().unwrap();
        cloud.recipes.insert((name.to_owned(), version.to_owned()), recipe);
        cloud.artifacts.insert(artifact, content);
    }

    /// Lets the cloud deploy to the group: components with their versions, and more members of the document.
    pub fn deploy(&self, id: &str, components: &[(&str, &str)], more: Value) {
        let all: BTreeMap<&str, Value> =
            components.iter().map(|(name, version)| (*name, json!({"version": version}))).collect();
        let mut document = json!({
            "deploymentId": id, "configurationArn": ARN, "components": all,
            "creationTimestamp": 1_000 + id.len() as i64,
        });
        merge(&mut document, &more);
        self.cloud.lock().unwrap().job = Some((format!("job-{id}"), document));
    }

    /// The core is given the public half of a key, the cloud the private one.
    pub fn trust(&self, key: &Arc<Ed25519KeyPair>) {
        self.cloud.lock().unwrap().signer = Some(Arc::clone(key));
        self.set_trust(&json!(STANDARD.encode(key.public_key().as_ref())));
    }

    pub fn set_trust(&self, setting: &Value) {
        let write = Write { time: 1, origin: Origin::Runtime, force: true };
        let behavior = Behavior::all(Mode::Replace);
        self.tree.lock().unwrap().apply(&["system", "deploymentPublicKey"], setting, &behavior, &write);
    }

    /// Versions of what is deployed.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let services = self.services();
        let versions = services.as_object().unwrap().iter();
        versions.filter_map(|(name, tree)| Some((name.clone(), tree.get("version")?.as_str()?.to_owned()))).collect()
    }

    /// Everything below `services` that a deployment decides.
    pub fn services(&self) -> Value {
        let mut services = self.tree.lock().unwrap().read(&["services"]).unwrap_or_else(|| json!({}));
        services.as_object_mut().unwrap().remove("DeploymentService");
        services
    }

    pub fn groups(&self) -> Value {
        self.tree.lock().unwrap().read(&["services", "DeploymentService", "GroupToRootComponents"]).unwrap_or_default()
    }

    /// The last status that the cloud was told, with `detailed-deployment-status`.
    pub fn told(&self) -> (String, String) {
        let cloud = self.cloud.lock().unwrap();
        let (status, details) = cloud.told.last().cloned().unwrap_or_default();
        (status, details["detailed-deployment-status"].as_str().unwrap_or_default().to_owned())
    }

    pub fn detail(&self, key: &str) -> String {
        let cloud = self.cloud.lock().unwrap();
        cloud.told.last().map(|(_, details)| details[key].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.cloud.lock().unwrap().told.last().is_some_and(|(status, _)| status != "IN_PROGRESS")
    }

    /// One life of the core.
    pub fn start(self: &Arc<Self>, crash: Arc<Crash>) -> Life {
        self.start_on(&Arc::new(FakeMessages::new(self.clone())), crash)
    }

    /// One life of the core on a line that the test speaks on as well.
    pub fn start_on(self: &Arc<Self>, line: &Arc<FakeMessages>, crash: Arc<Crash>) -> Life {
        let pace = Pace {
            retry: Duration::from_millis(5),
            checksum_retry: Duration::from_millis(1),
            checksum_attempts: 3,
            poll: Duration::from_millis(5),
            report: Duration::from_secs(5),
            restart_grace: Duration::from_secs(60),
            min_free_bytes: 1_000,
        };
        let world = self.clone();
        self.start_with(crash, pace, line.clone(), Arc::new(move || world.now()))
    }

    /// One life of the core, with its own line and clock.
    pub fn start_with(
        self: &Arc<Self>,
        crash: Arc<Crash>,
        pace: Pace,
        messages: Arc<dyn CloudMessages>,
        clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    ) -> Life {
        let nucleus = Arc::new(FakeNucleus::new(self.clone(), crash.clone()));
        let restart = Arc::new(Notify::new());
        let asked = restart.clone();
        let ports = Ports {
            nucleus: nucleus.clone(),
            data_plane: Arc::new(FakePlane { world: self.clone(), crash: crash.clone() }),
            messages,
            room: Arc::new(FakeRoom(self.clone())),
            disk: Arc::new(FakeDisk { world: self.clone(), crash: crash.clone() }),
            clock,
            restart: Arc::new(move |_: Restart| asked.notify_one()),
            program: None,
            endpoints: Some(Arc::new(FakePlanes { world: self.clone() })),
        };
        let settings = Settings {
            root: self.folder.path().to_owned(),
            thing_name: THING.to_owned(),
            platform: [("os".to_owned(), "linux".to_owned())].into(),
            pace,
        };
        Life { deployer: Deployer::open(settings, ports).unwrap(), nucleus, crash, restart, world: self.clone() }
    }

    /// Lives until the deployment's end is told; the n-th life dies at the n-th of these steps, or where a restart is asked
    /// for.
    pub async fn run_through(self: &Arc<Self>, crashes: &[usize]) {
        for life in 0..crashes.len() + 6 {
            let life = self.start(Arc::new(Crash { at: crashes.get(life).copied(), ..Crash::default() }));
            if life.until_over().await {
                return;
            }
        }
        panic!("the deployment does not end");
    }

    /// Lives until the deployment's end is told; dies once, at step `crash_at` of all its lives, and wherever a restart is
    /// asked for. Answers how many steps there were.
    pub async fn run(self: &Arc<Self>, crash_at: Option<usize>) -> usize {
        let mut crash_at = crash_at;
        let mut steps = 0;
        for _ in 0..6 {
            let life = self.start(Arc::new(Crash { at: crash_at, ..Crash::default() }));
            let over = life.until_over().await;
            let count = life.crash.count.load(Ordering::SeqCst);
            steps += count;
            if over {
                return steps;
            }
            crash_at = crash_at.and_then(|at| at.checked_sub(count));
        }
        panic!("the deployment does not end");
    }
}

fn merge(to: &mut Value, from: &Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (key, value) in from {
                merge(to.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (to, from) => *to = from.clone(),
    }
}

pub struct Life {
    pub deployer: Deployer,
    #[allow(dead_code)] // not the fleet's
    pub nucleus: Arc<FakeNucleus>,
    pub crash: Arc<Crash>,
    restart: Arc<Notify>,
    world: Arc<World>,
}

impl Life {
    /// Works until it dies at its crash point, asks for a restart, or `end` resolves.
    #[allow(dead_code)] // the fleet's
    pub async fn until_death(&self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = self.deployer.run() => unreachable!("it works for ever"),
            () = self.crash.fired.notified() => {}
            () = self.restart.notified() => {}
            () = end => {}
        }
    }

    /// Whether it came to the told end; false when it died before.
    pub async fn until_over(&self) -> bool {
        let over = async {
            loop {
                if self.world.is_over() {
                    // the acknowledgement is durable as well
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = self.deployer.run() => unreachable!("it works for ever"),
            () = self.crash.fired.notified() => false,
            () = self.restart.notified() => false,
            () = over => true,
            () = tokio::time::sleep(Duration::from_secs(20)) => {
                panic!("stuck: {:?}, told {:?}", self.deployer.waiting_for(), self.world.cloud.lock().unwrap().told)
            }
        }
    }

    /// Works until `done` holds.
    pub async fn until(&self, what: &str, done: impl Fn() -> bool) {
        let wait = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = self.deployer.run() => unreachable!("it works for ever"),
            () = wait => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("{what} does not come: {:?}", self.deployer.waiting_for()),
        }
    }
}

/// How long a component lives that dies.
const DEATH: Duration = Duration::from_millis(12);

pub struct FakeNucleus {
    world: Arc<World>,
    crash: Arc<Crash>,
    states: Mutex<BTreeMap<String, (ComponentState, bool)>>,
    /// When those that die do so.
    deaths: Mutex<BTreeMap<String, Instant>>,
    changes: broadcast::Sender<StateChange>,
}

impl FakeNucleus {
    fn new(world: Arc<World>, crash: Arc<Crash>) -> Self {
        let (states, deaths) = (Mutex::default(), Mutex::default());
        let nucleus = Self { world, crash, states, deaths, changes: broadcast::channel(64).0 };
        nucleus.follow();
        nucleus
    }

    /// Components do at once what their `run` says: `break`, `hang`, or come up; `die` comes up and breaks a moment later, `fill` comes up and fills the disk. What depends
    /// on one that breaks is not started.
    fn follow(&self) {
        let services = self.world.services();
        let mut states = self.states.lock().unwrap();
        states.clear();
        self.deaths.lock().unwrap().clear();
        for (name, tree) in services.as_object().unwrap() {
            let run = tree.pointer("/lifecycle/run").and_then(Value::as_str).unwrap_or_default();
            let waits = tree["dependencies"].as_array().into_iter().flatten().filter_map(Value::as_str).any(|one| {
                let broken = |name: &str| services[name].pointer("/lifecycle/run") == Some(&json!("break"));
                one.strip_suffix(":HARD").is_some_and(broken)
            });
            let state = match run {
                _ if waits => (ComponentState::Installed, false),
                _ if *self.world.hangs.lock().unwrap() == Some(name.as_str()) => (ComponentState::Starting, false),
                "break" => (ComponentState::Broken, true),
                "hang" => (ComponentState::Starting, false),
                _ => (ComponentState::Running, true),
            };
            states.insert(name.clone(), state);
            if run == "fill" {
                std::fs::create_dir_all(self.world.work(name)).unwrap();
                std::fs::write(self.world.work(name).join("fill"), "everything").unwrap();
            }
            if run == "die" {
                self.deaths.lock().unwrap().insert(name.clone(), Instant::now() + DEATH);
            }
        }
    }
}

impl Nucleus for FakeNucleus {
    fn snapshot(&self) -> Value {
        self.world.tree.lock().unwrap().to_timed_value()
    }

    fn get(&self, path: &[&str]) -> Option<Value> {
        self.world.tree.lock().unwrap().read(path)
    }

    fn put<'a>(&'a self, path: &'a [&'a str], value: Value) -> Later<'a, ()> {
        Box::pin(async move {
            self.crash.point().await;
            let is_full = self.world.tree_full.lock().unwrap().is_some() || self.world.is_filled();
            let _open = if is_full {
                let open = FakeRoom(self.world.clone()).open();
                if open.is_none() {
                    if let Some(refused) = self.world.tree_full.lock().unwrap().as_mut() {
                        *refused += 1;
                    }
                    return Err(PortError::service("no space left"));
                }
                open
            } else {
                None
            };
            let write = Write { time: 5_000, origin: Origin::Runtime, force: true };
            self.world.tree.lock().unwrap().apply(path, &value, &Behavior::all(Mode::Replace), &write);
            self.crash.point().await;
            Ok(())
        })
    }

    fn apply(&self, services: Value, timestamp: i64, mode: ApplyMode) -> Later<'_, ()> {
        Box::pin(async move {
            self.crash.point().await;
            {
                let mut tree = self.world.tree.lock().unwrap();
                match mode {
                    ApplyMode::Deployment => {
                        let now = self.world.now();
                        let behavior = Behavior::deployment_at(["DeploymentService", "main"], timestamp, now);
                        tree.apply(&["services"], &services, &behavior, &Write::new(now, Origin::Runtime));
                    }
                    ApplyMode::Rollback => {
                        let snapshot = Tree::from_timed_value(&services).unwrap();
                        let kept = snapshot.root().children().count();
                        assert!(kept > 0 || services["c"] == json!({}));
                        tree.restore(&["services"], &snapshot, 5_000, |path| {
                            // what the snapshot does not know stays until it is removed
                            path.get(1).is_some_and(|name| {
                                name == "DeploymentService" || snapshot.get(&["services", name.as_str()]).is_none()
                            })
                        });
                    }
                }
            }
            self.crash.point().await;
            self.follow();
            Ok(())
        })
    }

    fn preview(
        &self,
        component: &str,
        reset: &[String],
        defaults: &Value,
        merge: Option<&Value>,
        timestamp: i64,
    ) -> Value {
        let now = self.world.tree.lock().unwrap().subtree(&["services", component, "configuration"]);
        let update = marram_configuration::ConfigurationUpdate {
            reset,
            defaults,
            merge,
            time: timestamp,
            origin: Origin::Deployment("d".into()),
        };
        now.updated_at(&update, self.world.now()).tree.root().to_value()
    }

    fn changes(&self) -> broadcast::Receiver<StateChange> {
        self.changes.subscribe()
    }

    fn state(&self, component: &str) -> Option<(ComponentState, bool)> {
        if self.deaths.lock().unwrap().get(component).is_some_and(|at| *at <= Instant::now()) {
            return Some((ComponentState::Broken, false));
        }
        self.states.lock().unwrap().get(component).copied()
    }

    fn settling(&self, component: &str) -> Option<Duration> {
        self.deaths.lock().unwrap().contains_key(component).then_some(DEATH)
    }

    fn failure(&self, component: &str) -> Option<String> {
        let is_broken = matches!(self.state(component), Some((ComponentState::Broken, _)));
        is_broken.then(|| "The run script exited with code 3.".to_owned())
    }

    fn reinstall<'a>(&'a self, _component: &'a str) -> Later<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn halt<'a>(&'a self, component: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            self.crash.point().await;
            self.world.halted.lock().unwrap().push(component.to_owned());
            Ok(())
        })
    }

    fn remove<'a>(&'a self, component: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            self.crash.point().await;
            let write = Write { time: 5_000, origin: Origin::Runtime, force: true };
            self.world.tree.lock().unwrap().remove(&["services", component], &write);
            self.states.lock().unwrap().remove(component);
            self.crash.point().await;
            Ok(())
        })
    }

    fn bootstrap<'a>(&'a self, component: &'a str, service: &'a Value) -> Later<'a, BootstrapOutcome> {
        Box::pin(async move {
            self.crash.point().await;
            let step = service.pointer("/lifecycle/bootstrap").and_then(Value::as_str).unwrap_or_default();
            let version = service["version"].as_str().unwrap_or_default();
            self.world.bootstrapped.lock().unwrap().push(format!("{component} {version}"));
            self.crash.point().await;
            Ok(match step {
                "0" => BootstrapOutcome::Done,
                "100" => BootstrapOutcome::RestartRuntime,
                "101" => BootstrapOutcome::RebootDevice,
                "late" => BootstrapOutcome::TimedOut,
                other => BootstrapOutcome::Failed(other.parse().unwrap_or(1)),
            })
        })
    }
}

/// The room that a core keeps for its own writes.
struct FakeRoom(Arc<World>);

impl std::fmt::Debug for FakeRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeRoom")
    }
}

impl Room for FakeRoom {
    fn is_full(&self) -> bool {
        self.0.is_full()
    }

    fn kept_bytes(&self) -> u64 {
        0
    }

    fn open(&self) -> Option<Box<dyn Send>> {
        if !self.is_full() || !*self.0.reserve.lock().unwrap() {
            return None;
        }
        let mut opened = self.0.opened.lock().unwrap();
        *opened = (opened.0 + 1, opened.1 + 1);
        Some(Box::new(Opened(self.0.clone())))
    }
}

struct Opened(Arc<World>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.opened.lock().unwrap().0 -= 1;
    }
}

struct FakeDisk {
    world: Arc<World>,
    crash: Arc<Crash>,
}

impl Disk for FakeDisk {
    fn step<'a>(&'a self, _what: &'static str) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.crash.point())
    }

    fn write<'a>(
        &'a self,
        path: &'a Path,
        bytes: Bytes,
    ) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let name = *self.world.fills_at.lock().unwrap();
            if name.is_some_and(|name| path.ends_with(name)) {
                *self.world.disk_full.lock().unwrap() = true;
                self.world.tree_full.lock().unwrap().get_or_insert(0);
            }
            if self.world.is_full() && self.world.opened.lock().unwrap().0 == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            let done = FileDisk.write(path, bytes).await;
            self.crash.point().await;
            done
        })
    }

    fn free_bytes(&self, _path: &Path) -> u64 {
        *self.world.free_bytes.lock().unwrap()
    }
}

struct FakePlane {
    world: Arc<World>,
    crash: Arc<Crash>,
}

impl FakePlane {
    fn answer<T>(
        &self,
        call: &'static str,
        answer: impl FnOnce(&mut Cloud) -> Result<T, DataPlaneError>,
    ) -> Result<T, DataPlaneError> {
        let mut cloud = self.world.cloud.lock().unwrap();
        match cloud.trouble.remove(call) {
            _ if cloud.unreachable && call == "resolve" => Err(DataPlaneError::Unreachable("cable".to_owned())),
            Some(error) => Err(error),
            None => answer(&mut cloud),
        }
    }
}

fn missing(message: &str) -> DataPlaneError {
    DataPlaneError::Answered { status: 404, code: "ResourceNotFoundException".to_owned(), message: message.to_owned() }
}

impl DataPlane for FakePlane {
    fn is_configured(&self) -> bool {
        !self.world.cloud.lock().unwrap().offline
    }

    fn resolve(&self, _platform: Vec<(String, String)>, candidate: Candidate) -> Later<'_, Resolved, DataPlaneError> {
        Box::pin(async move {
            self.answer("resolve", |cloud| {
                let wanted: Vec<marram_version::Requirement> =
                    candidate.requirements.iter().map(|(_, text)| text.parse().unwrap()).collect();
                let fits = |version: &str| {
                    let version: marram_version::Version = version.parse().unwrap();
                    wanted.iter().all(|one| one.matches(&version))
                };
                let found = cloud.recipes.iter().rfind(|((name, version), _)| *name == candidate.name && fits(version));
                let ((name, version), recipe) = found.ok_or_else(|| missing("no usable version"))?;
                let arn = format!("arn:aws:greengrass:us-east-1:0:components:{name}:versions:{version}");
                let bytes = recipe.to_string().into_bytes();
                let sign = |key: &Arc<Ed25519KeyPair>| recipe_envelope(key, &arn, name, version, &bytes);
                Ok(Resolved {
                    signature: cloud.signer.as_ref().map(sign),
                    recipe: cloud.forged.get(name).map_or(bytes.clone(), |forged| forged.to_string().into()).into(),
                    arn,
                    name: name.as_str().into(),
                    version: version.clone(),
                    vendor_guidance: None,
                })
            })
        })
    }

    fn artifact_url<'a>(&'a self, _arn: &'a str, name: &'a str) -> Later<'a, String, DataPlaneError> {
        Box::pin(async move { self.answer("url", |_| Ok(name.to_owned())) })
    }

    fn thing_groups(&self) -> Later<'_, Vec<String>, DataPlaneError> {
        Box::pin(async move { self.answer("groups", |cloud| Ok(cloud.groups.clone())) })
    }

    fn large_document<'a>(&'a self, _deployment_id: &'a str) -> Later<'a, Value, DataPlaneError> {
        Box::pin(async move {
            self.answer("document", |cloud| {
                let mut document = cloud.job.clone().unwrap().1;
                document["components"] = document["wholeComponents"].take();
                Ok(document)
            })
        })
    }

    fn size<'a>(&'a self, place: &'a ArtifactPlace) -> Later<'a, u64, DataPlaneError> {
        Box::pin(async move { self.answer("size", |cloud| Ok(content(cloud, place)?.len() as u64)) })
    }

    fn download<'a>(&'a self, place: &'a ArtifactPlace, to: &'a Path, _limit: u64) -> Later<'a, u64, DataPlaneError> {
        Box::pin(async move {
            let content = self.answer("download", |cloud| content(cloud, place))?;
            let have = std::fs::metadata(to).map_or(0, |facts| facts.len() as usize);
            let half = content.len() / 2;
            if have < half {
                append(to, &content[have..half]);
            }
            self.crash.point().await;
            append(to, &content[have.max(half)..]);
            Ok(content.len() as u64)
        })
    }
}

fn content(cloud: &Cloud, place: &ArtifactPlace) -> Result<Vec<u8>, DataPlaneError> {
    let name = match place {
        ArtifactPlace::Url(name) => name.clone(),
        ArtifactPlace::S3 { bucket, key } => format!("{bucket}/{key}"),
    };
    cloud.artifacts.get(&name).cloned().ok_or_else(|| missing("no such artifact"))
}

fn append(to: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    std::fs::OpenOptions::new().create(true).append(true).open(to).unwrap().write_all(bytes).unwrap();
}

/// The broker, the jobs service and the shadow service.
pub struct FakeMessages {
    world: Arc<World>,
    subscribers: Arc<Mutex<Vec<(String, mpsc::Sender<CloudMessage>)>>>,
    up: watch::Sender<bool>,
}

impl FakeMessages {
    /// Tells the core what is in its list of jobs.
    #[allow(dead_code)] // not the fleet's
    pub fn notify(&self, jobs: &Value) {
        let topic = format!("$aws/things/{THING}/jobs/notify-namespace-aws-gg-deployment");
        self.send(&topic, &json!({"jobs": jobs}));
    }

    pub fn new(world: Arc<World>) -> Self {
        Self { world, subscribers: Arc::default(), up: watch::channel(true).0 }
    }

    fn send(&self, topic: &str, payload: &Value) {
        let message = CloudMessage {
            topic: topic.to_owned(),
            payload: payload.to_string().into_bytes().into(),
            ..CloudMessage::default()
        };
        let subscribers = self.subscribers.lock().unwrap();
        for (filter, sender) in subscribers.iter() {
            if filter == topic {
                let _ = sender.try_send(message.clone());
            }
        }
    }

    fn service(&self, topic: &str, payload: &Value) {
        let mut cloud = self.world.cloud.lock().unwrap();
        if topic.ends_with("/$next/namespace-aws-gg-deployment/get") {
            cloud.asked += 1;
            let over = cloud.told.last().is_some_and(|(status, _)| status != "IN_PROGRESS");
            let mut answer = json!({"clientToken": payload["clientToken"]});
            if let Some((job_id, document)) = cloud.job.clone().filter(|_| !over) {
                let queued_at = document["creationTimestamp"].clone();
                answer["execution"] =
                    json!({"jobId": job_id, "queuedAt": queued_at, "status": "QUEUED", "jobDocument": document});
            }
            drop(cloud);
            self.send(&format!("{topic}/accepted"), &answer);
        } else if topic.contains("/jobs/") && topic.ends_with("/update") {
            let status = payload["status"].as_str().unwrap().to_owned();
            cloud.told.push((status, payload["statusDetails"].clone()));
            drop(cloud);
            self.send(&format!("{topic}/accepted"), &json!({"clientToken": payload["clientToken"]}));
        } else if topic.ends_with("/shadow/name/AWSManagedGreengrassV2Deployment/get") && !cloud.shadow.is_null() {
            let answer = json!({"state": cloud.shadow, "version": cloud.shadow_version});
            drop(cloud);
            self.send(&format!("{topic}/accepted"), &answer);
        } else if topic.ends_with("/shadow/name/AWSManagedGreengrassV2Deployment/update") {
            let stale = payload["version"].as_i64().is_some_and(|version| version != cloud.shadow_version);
            let token = payload["clientToken"].clone();
            if stale {
                drop(cloud);
                return self.send(&format!("{topic}/rejected"), &json!({"code": 409, "clientToken": token}));
            }
            cloud.shadow_version += 1;
            let reported = payload["state"]["reported"].clone();
            cloud.shadow["reported"] = reported.clone();
            let status = reported["status"].as_str().unwrap().to_owned();
            cloud
                .told
                .push((status, json!({"detailed-deployment-status": reported["statusDetails"]["detailedStatus"]})));
            let version = cloud.shadow_version;
            drop(cloud);
            let answer = json!({"state": {"reported": reported}, "version": version, "clientToken": token});
            self.send(&format!("{topic}/accepted"), &answer);
        }
    }
}

impl CloudMessages for FakeMessages {
    fn publish<'a>(&'a self, _owner: &'a str, message: CloudPublish) -> Later<'a, ()> {
        Box::pin(async move {
            let payload = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
            self.service(&message.topic, &payload);
            Ok(())
        })
    }

    fn subscribe<'a>(&'a self, _owner: &'a str, filter: &'a str, _qos: u8) -> Later<'a, CloudSubscription> {
        Box::pin(async move {
            let (sender, messages) = mpsc::channel(16);
            self.subscribers.lock().unwrap().push((filter.to_owned(), sender));
            Ok(CloudSubscription { messages, guard: Box::new(()) })
        })
    }

    fn connection(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }
}

/// Paths of all files below the folder of packages.
pub fn stored(world: &World) -> BTreeSet<PathBuf> {
    fn below(folder: &Path, root: &Path, all: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                below(&path, root, all);
            } else {
                all.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    let mut all = BTreeSet::new();
    below(&world.folder.path().join("packages"), world.folder.path(), &mut all);
    all
}

struct FakePlanes {
    world: Arc<World>,
}

fn host(configuration: &Value) -> String {
    configuration["iotDataEndpoint"].as_str().unwrap_or_default().to_owned()
}

impl Endpoints for FakePlanes {
    fn attempt(&self, configuration: Value) -> Later<'_, (), EndpointError> {
        let mut planes = self.world.planes.lock().unwrap();
        planes.attempted.push(host(&configuration));
        let answer = planes.refuses.clone().map_or(Ok(()), Err);
        Box::pin(async { answer })
    }
    fn settle(&self, _: Duration) -> Later<'_, (), EndpointError> {
        let answer = self.world.planes.lock().unwrap().unsettled.clone().map_or(Ok(()), Err);
        Box::pin(async { answer })
    }
    fn tell(&self, configuration: Value, message: CloudPublish) -> Later<'_, (), EndpointError> {
        let update: Value = serde_json::from_slice(&message.payload).unwrap();
        let status = update["status"].as_str().unwrap().to_owned();
        self.world.cloud.lock().unwrap().told.push((status, update["statusDetails"].clone()));
        self.world.planes.lock().unwrap().told.push((host(&configuration), message));
        Box::pin(async { Ok(()) })
    }
}
