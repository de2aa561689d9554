//! Shadows here and in the cloud come to agree, whatever happens on the way (CC 3.5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{
    CloudMessage, CloudMessages, CloudPublish, CloudShadows, CloudSubscription, DataPlaneError, Later, LocalShadows,
    PortError,
};
use marram_local_shadows::{ShadowEvents, Shadows, synchronize};
use marram_parts::{Scope, ShadowSettings, SyncSettings};
use marram_shadow::{Limits, Shadow, Update};
use marram_types::SystemClock;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

const THING: &str = "core";

struct Nobody;

impl ShadowEvents for Nobody {
    fn publish(&self, _: &str, _: Bytes) {}
}

/// The control plane's shadows, after its rules; each request takes a few turns, so that others come in between.
struct Cloud {
    shadows: Mutex<BTreeMap<String, (Option<Shadow>, u64)>>,
    listeners: Mutex<Vec<(String, mpsc::Sender<CloudMessage>)>>,
    up: watch::Sender<bool>,
    asked: Mutex<Vec<&'static str>>,
    refuse: Mutex<Option<DataPlaneError>>,
    refuse_names: Mutex<Option<DataPlaneError>>,
}

impl Cloud {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            shadows: Mutex::default(),
            listeners: Mutex::default(),
            up: watch::Sender::new(true),
            asked: Mutex::default(),
            refuse: Mutex::default(),
            refuse_names: Mutex::default(),
        })
    }

    async fn turn(&self, what: &'static str) -> Result<(), DataPlaneError> {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.asked.lock().unwrap().push(what);
        if !*self.up.borrow() {
            return Err(DataPlaneError::Unreachable("cable".to_owned()));
        }
        self.refuse.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn tell(&self, name: &str, operation: &str, body: &Value) {
        let base = if name.is_empty() { String::new() } else { format!("/name/{name}") };
        let topic = format!("$aws/things/{THING}/shadow{base}/{operation}/accepted");
        for (filter, sender) in self.listeners.lock().unwrap().iter() {
            let (begins, ends) = filter.split_once('+').unwrap_or((filter.as_str(), ""));
            let matches =
                *filter == topic || begins != filter.as_str() && topic.starts_with(begins) && topic.ends_with(ends);
            if matches && *self.up.borrow() {
                let payload = body.to_string().into_bytes().into();
                let _ = sender.try_send(CloudMessage { topic: topic.clone(), payload, ..CloudMessage::default() });
            }
        }
    }

    /// An application's update, or ours.
    fn apply(&self, name: &str, body: &Value) -> Result<Value, DataPlaneError> {
        let mut shadows = self.shadows.lock().unwrap();
        let (previous, last) = shadows.get(name).cloned().unwrap_or_default();
        let refused = |status: u16, message: String| DataPlaneError::Answered { status, code: "X".to_owned(), message };
        let update = Update::from_object(body.as_object().unwrap().clone(), &Limits::default())
            .map_err(|error| refused(400, error.to_string()))?;
        let applied = Shadow::apply(previous.as_ref(), last, &update, &Limits::default(), 0)
            .map_err(|error| refused(error.code(), error.to_string()))?;
        let version = applied.shadow.version;
        shadows.insert(name.to_owned(), (Some(applied.shadow), version));
        drop(shadows);
        self.tell(name, "update", &applied.accepted);
        Ok(applied.accepted)
    }

    fn remove(&self, name: &str) -> bool {
        let mut shadows = self.shadows.lock().unwrap();
        let Some((found @ Some(_), version)) = shadows.get_mut(name) else { return false };
        *found = None;
        *version += 1;
        let version = *version - 1;
        drop(shadows);
        self.tell(name, "delete", &json!({"version": version}));
        true
    }

    fn state(&self, name: &str) -> Option<Value> {
        let shadows = self.shadows.lock().unwrap();
        shadows.get(name)?.0.as_ref().map(|shadow| sections(&shadow.document(0)))
    }
}

fn sections(document: &Value) -> Value {
    let mut state = document["state"].clone();
    state.as_object_mut().unwrap().remove("delta");
    state
}

impl CloudShadows for Cloud {
    fn get<'a>(&'a self, _: &'a str, name: &'a str) -> Later<'a, Option<Value>, DataPlaneError> {
        Box::pin(async move {
            self.turn("get").await?;
            let shadows = self.shadows.lock().unwrap();
            Ok(shadows.get(name).and_then(|(shadow, _)| Some(shadow.as_ref()?.document(0))))
        })
    }
    fn update<'a>(&'a self, _: &'a str, name: &'a str, body: Value) -> Later<'a, Value, DataPlaneError> {
        Box::pin(async move {
            self.turn("update").await?;
            let answer = self.apply(name, &body);
            // The answer may never arrive.
            tokio::task::yield_now().await;
            answer
        })
    }
    fn delete<'a>(&'a self, _: &'a str, name: &'a str) -> Later<'a, (), DataPlaneError> {
        Box::pin(async move {
            self.turn("delete").await?;
            self.remove(name);
            Ok(())
        })
    }
    fn names<'a>(&'a self, _: &'a str, limit: usize) -> Later<'a, Vec<String>, DataPlaneError> {
        Box::pin(async move {
            self.turn("names").await?;
            self.refuse_names.lock().unwrap().clone().map_or(Ok(()), Err)?;
            let shadows = self.shadows.lock().unwrap();
            let living = shadows.iter().filter(|(name, (shadow, _))| !name.is_empty() && shadow.is_some());
            Ok(living.map(|(name, _)| name.clone()).take(limit).collect())
        })
    }
}

impl CloudMessages for Cloud {
    fn publish<'a>(&'a self, _: &'a str, _: CloudPublish) -> Later<'a, ()> {
        Box::pin(async { Err(PortError::service("not here")) })
    }
    fn subscribe<'a>(&'a self, _: &'a str, filter: &'a str, _: u8) -> Later<'a, CloudSubscription> {
        let (sender, messages) = mpsc::channel(64);
        self.listeners.lock().unwrap().push((filter.to_owned(), sender));
        Box::pin(async { Ok(CloudSubscription { messages, guard: Box::new(()) }) })
    }
    fn connection(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }
}

struct Site {
    cloud: Arc<Cloud>,
    dir: tempfile::TempDir,
    shadows: Option<Shadows>,
    task: Option<tokio::task::JoinHandle<()>>,
    settings: watch::Sender<SyncSettings>,
}

fn settings(direction: &str, names: &[&str]) -> SyncSettings {
    let configuration = json!({"synchronize": {"direction": direction, "coreThing": {"classic": true, "namedShadows": names}},
               "rateLimits": {"maxOutboundSyncUpdatesPerSecond": 100_000}});
    SyncSettings::read(&configuration, Scope::Core(THING)).usable().unwrap()
}

impl Site {
    fn new(direction: &str, names: &[&str]) -> Self {
        let settings = watch::Sender::new(settings(direction, names));
        let dir = tempfile::tempdir().unwrap();
        let mut site = Self { cloud: Cloud::new(), dir, shadows: None, task: None, settings };
        site.open();
        site
    }

    /// The core starts; nothing is synchronised yet.
    fn open(&mut self) {
        let mut local = ShadowSettings::default();
        local.rates.total = u32::MAX;
        local.rates.per_thing = u32::MAX;
        let shadows = Shadows::open(self.dir.path(), local, Arc::new(Nobody), SystemClock::shared());
        self.shadows = Some(shadows.unwrap());
    }

    fn start(&mut self) {
        let cloud: Arc<Cloud> = Arc::clone(&self.cloud);
        let run = synchronize(self.here().clone(), cloud.clone(), cloud, self.settings.subscribe());
        self.task = Some(tokio::spawn(run));
    }

    /// Power goes.
    async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
        self.shadows.take().unwrap().close();
    }

    fn here(&self) -> &Shadows {
        self.shadows.as_ref().unwrap()
    }

    async fn update(&self, name: &str, state: Value) {
        let body = Bytes::from(json!({ "state": state }).to_string());
        self.here().update(THING, name, body).await.unwrap();
    }

    async fn state(&self, name: &str) -> Option<Value> {
        let document = self.here().get(THING, name).await.ok()?;
        Some(sections(&serde_json::from_slice(&document).unwrap()))
    }

    /// Both sides hold `wanted`; none: no shadow.
    async fn both(&self, name: &str, wanted: Option<Value>, case: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let (here, there) = (self.state(name).await, self.cloud.state(name));
            if here == wanted && there == wanted {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{case}: here {here:?}, there {there:?}, wanted {wanted:?}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// CC 3.5: each way alone, both at once, while the line was away, deletion on either side, and what is made again.
#[tokio::test]
async fn changes_go_both_ways() {
    let mut site = Site::new("betweenDeviceAndCloud", &["n"]);
    site.update("", json!({"reported": {"from": "here"}})).await;
    site.cloud.apply("n", &json!({"state": {"desired": {"from": "there"}}})).unwrap();
    site.start();
    site.both("", Some(json!({"reported": {"from": "here"}})), "never synchronised, only here").await;
    site.both("n", Some(json!({"desired": {"from": "there"}})), "never synchronised, only there").await;

    site.cloud.apply("", &json!({"state": {"desired": {"x": 1, "o": {"a": 1}}}})).unwrap();
    let wanted = json!({"desired": {"x": 1, "o": {"a": 1}}, "reported": {"from": "here"}});
    site.both("", Some(wanted), "a change there").await;
    site.update("", json!({"reported": {"from": null, "y": [1, 2]}})).await;
    site.both("", Some(json!({"desired": {"x": 1, "o": {"a": 1}}, "reported": {"y": [1, 2]}})), "a change here").await;

    site.cloud.up.send_replace(false);
    site.update("", json!({"desired": {"x": 2, "o": {"b": 2}}, "reported": {"y": 3, "z": 1}})).await;
    site.cloud.apply("", &json!({"state": {"desired": {"x": 3, "o": {"a": null}}, "reported": {"y": 4}}})).unwrap();
    site.update("n", json!({"desired": {"from": "both"}})).await;
    assert!(site.cloud.remove("n"));
    site.cloud.up.send_replace(true);
    let wanted = json!({"desired": {"x": 3, "o": {"b": 2}}, "reported": {"y": 3, "z": 1}});
    site.both("", Some(wanted), "desired: the cloud's word; reported: the device's").await;
    site.both("n", Some(json!({"desired": {"from": "both"}})), "deleted there, changed here").await;

    assert!(site.cloud.remove("n"));
    site.both("n", None, "deleted there").await;
    site.here().delete(THING, "").await.unwrap();
    site.both("", None, "deleted here").await;
    site.cloud.apply("n", &json!({"state": {"reported": {"again": 1}}})).unwrap();
    site.update("", json!({"reported": {"again": 2}})).await;
    site.both("n", Some(json!({"reported": {"again": 1}})), "made again there").await;
    site.both("", Some(json!({"reported": {"again": 2}})), "made again here").await;

    // A shadow that is not listed stays where it is; one that is listed later comes in.
    site.update("late", json!({"reported": {"a": 1}})).await;
    assert_eq!(site.cloud.state("late"), None);
    site.settings.send_replace(settings("betweenDeviceAndCloud", &["n", "late"]));
    site.both("late", Some(json!({"reported": {"a": 1}})), "listed later").await;
    site.kill().await;
}

/// CC 3.1 [M]: `namedShadows: ["*"]` means all that exist on either side, at the start and later; not the one that carries
/// deployments.
#[tokio::test]
async fn all_named_shadows_of_a_thing() {
    const DEPLOYMENTS: &str = "AWSManagedGreengrassV2Deployment";
    let mut site = Site::new("betweenDeviceAndCloud", &["*"]);
    let value = |n: u64| json!({"reported": {"n": n}});
    site.update("here", value(1)).await;
    site.cloud.apply("there", &json!({"state": value(2)})).unwrap();
    site.cloud.apply(DEPLOYMENTS, &json!({"state": value(3)})).unwrap();
    site.start();
    site.both("here", Some(value(1)), "only here").await;
    site.both("there", Some(value(2)), "only there").await;
    site.update("born-here", value(4)).await;
    site.cloud.apply("born-there", &json!({"state": value(5)})).unwrap();
    site.both("born-here", Some(value(4)), "made here later").await;
    site.both("born-there", Some(value(5)), "made there later").await;

    site.cloud.up.send_replace(false);
    site.here().delete(THING, "here").await.unwrap();
    assert!(site.cloud.remove("born-there"));
    site.cloud.apply("away", &json!({"state": value(6)})).unwrap();
    site.cloud.up.send_replace(true);
    site.both("here", None, "deleted here without a line").await;
    site.both("born-there", None, "deleted there without a line").await;
    site.both("away", Some(value(6)), "made there without a line").await;
    assert_eq!(site.state(DEPLOYMENTS).await, None);

    // Rights to list may be missing: what is here goes up, what is new there is heard of.
    site.kill().await;
    site.open();
    let no = DataPlaneError::Answered { status: 403, code: "X".to_owned(), message: "no".to_owned() };
    *site.cloud.refuse_names.lock().unwrap() = Some(no);
    site.update("here", value(7)).await;
    site.start();
    site.both("here", Some(value(7)), "without the right to list").await;
    site.kill().await;
}

/// CC 3.5: `deviceToCloud` overwrites the cloud, `cloudToDevice` the device.
#[tokio::test]
async fn a_direction_makes_one_side_the_truth() {
    for (direction, wanted) in [("deviceToCloud", "here"), ("cloudToDevice", "there")] {
        let mut site = Site::new(direction, &["mine", "theirs"]);
        site.update("", json!({"desired": {"from": "here", "a": 1}})).await;
        site.cloud.apply("", &json!({"state": {"desired": {"from": "there"}}})).unwrap();
        site.update("mine", json!({"reported": {"x": 1}})).await;
        site.cloud.apply("theirs", &json!({"state": {"reported": {"x": 2}}})).unwrap();
        site.start();
        let both = match wanted {
            "here" => json!({"desired": {"from": "here", "a": 1}}),
            _ => json!({"desired": {"from": "there"}}),
        };
        site.both("", Some(both.clone()), direction).await;
        match direction {
            "deviceToCloud" => {
                site.both("mine", Some(json!({"reported": {"x": 1}})), "goes up").await;
                assert_eq!(site.state("theirs").await, None, "does not come down");
                assert!(site.cloud.remove(""));
                site.update("", json!({"reported": {"b": 1}})).await;
                let both = json!({"desired": {"from": "here", "a": 1}, "reported": {"b": 1}});
                site.both("", Some(both), "deleted there").await;
                site.here().delete(THING, "mine").await.unwrap();
                site.both("mine", None, "deleted here").await;
            }
            _ => {
                site.both("theirs", Some(json!({"reported": {"x": 2}})), "comes down").await;
                assert_eq!(site.cloud.state("mine"), None, "does not go up");
                site.update("", json!({"desired": {"from": "here"}})).await;
                site.both("", Some(both), "changed here").await;
                assert!(site.cloud.remove("theirs"));
                site.both("theirs", None, "deleted there").await;
                site.here().delete(THING, "").await.unwrap();
                site.both("", Some(json!({"desired": {"from": "there"}})), "deleted here").await;
            }
        }
        site.kill().await;
    }
}

async fn nobody_apart(site: &Site) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !site.here().apart().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", site.here().apart());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// CC 3.5: sides that are too large together stay as they are and are told, until somebody takes something out; what is not synchronised any
/// more is not told either.
#[tokio::test]
async fn sides_that_are_too_large_together_are_told() {
    let mut site = Site::new("betweenDeviceAndCloud", &["big", "small"]);
    let (ours, theirs) = ("a".repeat(5000), "b".repeat(4000));
    site.update("big", json!({"reported": {"ours": ours}})).await;
    site.cloud.apply("big", &json!({"state": {"desired": {"theirs": theirs}}})).unwrap();
    site.update("small", json!({"reported": {"n": 1}})).await;
    assert_eq!(site.here().apart(), []);
    site.start();
    let told = async |site: &Site| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            match site.here().apart().pop() {
                Some(apart) => return apart,
                None => assert!(tokio::time::Instant::now() < deadline, "nothing is told"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let apart = told(&site).await;
    assert_eq!((apart.shadow.as_str(), apart.is_too_large), ("core/big", true));
    // `{"ours":"..."}` has 11 bytes beside the text, `{"theirs":"..."}` 13.
    let words =
        "both sides together hold 9024 bytes (5011 on this core, 4013 in the control plane), which is more than";
    assert!(apart.why.starts_with(words), "{}", apart.why);
    site.both("small", Some(json!({"reported": {"n": 1}})), "others go on").await;
    assert_eq!(site.state("big").await, Some(json!({"reported": {"ours": ours}})));
    assert_eq!(site.cloud.state("big"), Some(json!({"desired": {"theirs": theirs}})));

    site.cloud.apply("big", &json!({"state": {"desired": {"theirs": "c"}}})).unwrap();
    site.both("big", Some(json!({"reported": {"ours": ours}, "desired": {"theirs": "c"}})), "small enough").await;
    nobody_apart(&site).await;

    site.cloud.up.send_replace(false);
    site.update("small", json!({"reported": {"ours": ours}})).await;
    site.cloud.apply("small", &json!({"state": {"desired": {"theirs": theirs}}})).unwrap();
    site.cloud.up.send_replace(true);
    assert_eq!(told(&site).await.shadow, "core/small");
    site.settings.send_replace(settings("betweenDeviceAndCloud", &["big"]));
    nobody_apart(&site).await;
    site.kill().await;
}

/// CC 3.1, 3.5: `periodic` gathers; our own updates that come back ask for nothing; a refusal is not tried in a loop.
#[tokio::test]
async fn nothing_is_asked_in_vain() {
    let mut site = Site::new("betweenDeviceAndCloud", &[]);
    site.start();
    site.update("", json!({"reported": {"n": 0}})).await;
    site.both("", Some(json!({"reported": {"n": 0}})), "the first").await;
    site.cloud.asked.lock().unwrap().clear();
    for n in 1..=20 {
        site.update("", json!({"reported": {"n": n}})).await;
        site.both("", Some(json!({"reported": {"n": n}})), "each").await;
    }
    let asked = site.cloud.asked.lock().unwrap().clone();
    assert_eq!(asked, ["update"; 20], "a change here is one request");
    *site.cloud.refuse.lock().unwrap() =
        Some(DataPlaneError::Answered { status: 403, code: "X".to_owned(), message: "no".to_owned() });
    site.cloud.asked.lock().unwrap().clear();
    for n in 21..=30 {
        site.update("", json!({"reported": {"n": n}})).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(site.cloud.asked.lock().unwrap().len() <= 2, "{:?}", site.cloud.asked.lock().unwrap());
    site.kill().await;

    let (every, start) = (Duration::from_millis(300), std::time::Instant::now());
    let mut site = Site::new("betweenDeviceAndCloud", &[]);
    site.settings.send_modify(|settings| settings.every = Some(every));
    site.start();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for n in 0..20 {
        site.update("", json!({"reported": {"n": n}})).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    site.both("", Some(json!({"reported": {"n": 19}})), "gathered").await;
    let updates = site.cloud.asked.lock().unwrap().iter().filter(|what| **what == "update").count();
    // On a slow machine the changes themselves take several rounds.
    let rounds = start.elapsed().as_millis() / every.as_millis();
    assert!(updates as u128 <= 2 + rounds, "{updates} updates in {rounds} rounds");
    site.kill().await;
}

/// xorshift: the seed is printed with what failed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// CC 3.5 [M]: power may go at any moment, and the line too; nothing that was acknowledged on either side is lost. Each writer
/// has members of its own, so the last acknowledged value of each must be there in the end.
#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    for seed in 1..=40_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut site = Site::new("betweenDeviceAndCloud", &["n"]);
        let mut wanted: BTreeMap<(&str, &str, String), Option<u64>> = BTreeMap::new();
        site.start();
        for step in 0..40_u64 {
            let name = ["", "n"][random.below(2) as usize];
            let section = ["desired", "reported"][random.below(2) as usize];
            let here = random.below(2) == 0;
            let member = format!("{}{}", if here { "here" } else { "there" }, random.below(3));
            let value = (random.below(4) > 0).then_some(step);
            match random.below(10) {
                0 => {
                    site.kill().await;
                    site.open();
                    site.start();
                }
                1 => drop(site.cloud.up.send_replace(false)),
                2 => drop(site.cloud.up.send_replace(true)),
                _ => {
                    let state = json!({ section: { &member: value } });
                    if here {
                        site.update(name, state).await;
                    } else {
                        site.cloud.apply(name, &json!({ "state": state })).unwrap();
                    }
                    wanted.insert((name, section, member), value);
                }
            }
            for _ in 0..random.below(12) {
                tokio::task::yield_now().await;
            }
        }
        site.kill().await;
        site.open();
        site.cloud.up.send_replace(true);
        site.start();
        let names: BTreeSet<&str> = wanted.keys().map(|(name, ..)| *name).collect();
        for name in names {
            let mut state = json!({});
            for ((of, section, member), value) in &wanted {
                if let Some(value) = value.filter(|_| *of == name) {
                    state[*section][member] = json!(value);
                }
            }
            site.both(name, Some(state), &format!("seed {seed}, shadow `{name}`")).await;
        }
        site.kill().await;
    }
}
