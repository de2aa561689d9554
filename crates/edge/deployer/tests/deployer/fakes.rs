//! Nucleus, disk, data plane and messages of a world.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::Bytes;
use marram_configuration::{Behavior, Mode, Origin, Tree, Write};
use marram_deployer::{Disk, EndpointError, Endpoints, FileDisk, KeyToken};
use marram_edge_ports::{
    ApplyMode, ArtifactPlace, BootstrapOutcome, Candidate, CloudMessage, CloudMessages, CloudPublish,
    CloudSubscription, ComponentState, DataPlane, DataPlaneError, Later, Nucleus, PortError, Resolved, Room,
    StateChange,
};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use super::world::{Cloud, Crash, THING, World, recipe_envelope};

/// Around the names of artifacts in presigned URLs.
const STORE: &str = "https://store.test:8443/";
const SIGNATURE: &str = "?X-Amz-Signature=secret";

/// How long a component lives that dies.
const DEATH: Duration = Duration::from_millis(12);

pub struct FakeNucleus {
    pub world: Arc<World>,
    pub crash: Arc<Crash>,
    states: Mutex<BTreeMap<String, (ComponentState, bool)>>,
    /// When those that die do so.
    deaths: Mutex<BTreeMap<String, Instant>>,
    changes: broadcast::Sender<StateChange>,
}

impl FakeNucleus {
    pub fn new(world: Arc<World>, crash: Arc<Crash>) -> Self {
        let (states, deaths) = (Mutex::default(), Mutex::default());
        let nucleus = Self { world, crash, states, deaths, changes: broadcast::channel(64).0 };
        nucleus.follow();
        nucleus
    }

    /// Components do at once what their `run` says: `break`, `hang`, or come up; `die` comes up and breaks a moment later, `fill` comes up and fills the disk. One
    /// whose file says `altered` breaks. What depends on one that breaks is not started.
    fn follow(&self) {
        let services = self.world.services();
        let mut states = self.states.lock().unwrap();
        states.clear();
        self.deaths.lock().unwrap().clear();
        for (name, tree) in services.as_object().unwrap() {
            let run = tree.pointer("/lifecycle/run").and_then(Value::as_str).unwrap_or_default();
            let waits = tree["dependencies"].as_array().into_iter().flatten().filter_map(Value::as_str).any(|one| {
                let broken = |name: &str| {
                    services[name].pointer("/lifecycle/run") == Some(&json!("break"))
                        || self.world.is_altered(name, &services[name])
                };
                one.strip_suffix(":HARD").is_some_and(broken)
            });
            let state = match run {
                _ if waits => (ComponentState::Installed, false),
                _ if *self.world.hangs.lock().unwrap() == Some(name.as_str()) => (ComponentState::Starting, false),
                "break" => (ComponentState::Broken, true),
                _ if self.world.is_altered(name, tree) => (ComponentState::Broken, true),
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
pub struct FakeRoom(pub Arc<World>);

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

pub struct FakeDisk {
    pub world: Arc<World>,
    pub crash: Arc<Crash>,
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

pub struct FakePlane {
    pub world: Arc<World>,
    pub crash: Arc<Crash>,
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
        Box::pin(async move { self.answer("url", |_| Ok(format!("{STORE}{name}{SIGNATURE}"))) })
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
        ArtifactPlace::Url(url) => {
            url.strip_prefix(STORE).and_then(|url| url.strip_suffix(SIGNATURE)).expect("a presigned URL").to_owned()
        }
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
    pub world: Arc<World>,
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

    #[allow(dead_code)] // not the fleet's
    pub fn set_up(&self, up: bool) {
        self.up.send_replace(up);
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
            cloud.shadow_asked += 1;
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

pub struct FakePlanes {
    pub world: Arc<World>,
}

fn host(configuration: &Value) -> String {
    configuration["iotDataEndpoint"].as_str().unwrap_or_default().to_owned()
}

impl KeyToken for FakePlanes {
    fn attempt(&self, configuration: Value) -> Later<'_, (), String> {
        let mut planes = self.world.planes.lock().unwrap();
        planes.tokens.push(configuration);
        let answer = planes.token_refuses.clone().map_or(Ok(()), Err);
        Box::pin(async { answer })
    }
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
