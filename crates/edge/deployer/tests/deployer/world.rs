//! A core and its cloud in one process. What is durable outlives the deployer; time can end at any durable step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_configuration::{Behavior, Mode, Origin, Tree, Write};
use marram_deploy::{DOCUMENT_TYPE, RECIPE_TYPE, SIGNATURE_MEMBER, canonical, pre_authentication, recipe_statement};
use marram_deployer::{Deployer, EndpointError, Pace, Ports, Restart, Settings};
use marram_edge_ports::{CloudMessages, CloudPublish, DataPlaneError};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::fakes::{FakeDisk, FakeMessages, FakeNucleus, FakePlane, FakePlanes, FakeRoom};

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
    pub async fn point(&self) {
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
    /// Why the token cannot be used.
    pub token_refuses: Option<String>,
    /// Configurations of the token.
    pub tokens: Vec<Value>,
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
    /// How often the shadow was asked for.
    pub shadow_asked: usize,
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

pub fn recipe_envelope(key: &Ed25519KeyPair, arn: &str, name: &str, version: &str, recipe: &[u8]) -> Value {
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

    /// Whether the artifact `NAME.txt` of a component's version says so.
    pub fn is_altered(&self, component: &str, tree: &Value) -> bool {
        let version = tree["version"].as_str().unwrap_or_default();
        let file = self.folder.path().join(format!("packages/artifacts/{component}/{version}/{component}.txt"));
        std::fs::read(file).is_ok_and(|content| content == b"altered")
    }

    /// Whether a component filled the disk.
    pub fn is_filled(&self) -> bool {
        let mut work = std::fs::read_dir(self.folder.path().join("work")).into_iter().flatten().flatten();
        work.any(|entry| entry.path().join("fill").exists())
    }

    pub fn is_full(&self) -> bool {
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
            token: Some(Arc::new(FakePlanes { world: self.clone() })),
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

    /// Works, without a pause, until a story is over.
    #[allow(dead_code)] // not the fleet's
    pub async fn through(&self, story: impl Future<Output = ()>) {
        tokio::select! {
            () = self.deployer.run() => unreachable!("it works for ever"),
            () = story => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => {
                panic!("stuck: {:?}, {:?}", self.deployer.waiting_for(), self.deployer.deployments())
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
