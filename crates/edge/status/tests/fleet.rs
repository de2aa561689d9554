//! When the control plane is told what (CR 4.13).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marram_core_status::{CoreFacts, FleetStatus, FleetStatusParts};
use marram_edge_ports::{
    ApplyMode, BootstrapOutcome, CloudMessages, CloudPublish, CloudSubscription, ComponentDetails, ComponentState,
    Components, DeploymentRecord, DeploymentReport, DeploymentReports, DeploymentSource, DeploymentStatus, Later,
    Nucleus, PortError, ReportedState, StateChange,
};
use marram_types::SystemClock;
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::timeout;

/// A core whose components are what the test says.
struct Core {
    states: Mutex<BTreeMap<SmolStr, ComponentState>>,
    kept: Mutex<BTreeMap<String, Value>>,
    changes: broadcast::Sender<StateChange>,
    sent: mpsc::UnboundedSender<Value>,
    connected: watch::Sender<bool>,
}

impl Core {
    fn set(&self, name: &str, to: ComponentState) {
        let from = self.states.lock().unwrap().insert(name.into(), to).unwrap_or(ComponentState::New);
        if to == ComponentState::Uninstalled {
            self.states.lock().unwrap().remove(name);
        }
        let change = StateChange {
            component: name.into(),
            from,
            to,
            codes: Vec::new(),
            reason: None,
            desired_reached: settled(to),
            at: 0,
        };
        self.changes.send(change).unwrap();
    }

    fn details_of(name: &SmolStr, state: ComponentState) -> ComponentDetails {
        ComponentDetails {
            name: name.clone(),
            version: if name.ends_with("Service") { "" } else { "1.0.0" }.into(),
            state,
            configuration: json!({}),
            status_codes: if state == ComponentState::Errored { vec!["RUN_ERROR"] } else { Vec::new() },
            status_reason: (state == ComponentState::Errored).then(|| "it fell over".to_owned()),
            is_root: !name.ends_with("Nucleus"),
            builtin: name.starts_with("aws.") || name.ends_with("Service"),
        }
    }
}

fn settled(state: ComponentState) -> bool {
    matches!(state, ComponentState::Running | ComponentState::Finished)
}

impl Components for Core {
    fn list(&self) -> Vec<ComponentDetails> {
        self.states.lock().unwrap().iter().map(|(name, state)| Self::details_of(name, *state)).collect()
    }
    fn details(&self, name: &str) -> Option<ComponentDetails> {
        self.list().into_iter().find(|details| details.name == name)
    }
    fn restart<'a>(&'a self, _: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async { Ok(None) })
    }
    fn stop<'a>(&'a self, _: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async { Ok(None) })
    }
    fn pause<'a>(&'a self, _: &'a str) -> Later<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn resume<'a>(&'a self, _: &'a str) -> Later<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn report_state(&self, _: &str, _: ReportedState) -> Result<(), PortError> {
        Ok(())
    }
}

impl Nucleus for Core {
    fn snapshot(&self) -> Value {
        Value::Null
    }
    fn get(&self, path: &[&str]) -> Option<Value> {
        self.kept.lock().unwrap().get(&path.join("/")).cloned()
    }
    fn put<'a>(&'a self, path: &'a [&'a str], value: Value) -> Later<'a, ()> {
        let mut kept = self.kept.lock().unwrap();
        if kept.contains_key("full") {
            return Box::pin(async { Err(PortError::service("no space left")) });
        }
        kept.insert(path.join("/"), value);
        Box::pin(async { Ok(()) })
    }
    fn apply(&self, _: Value, _: i64, _: ApplyMode) -> Later<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn preview(&self, _: &str, _: &[String], _: &Value, _: Option<&Value>, _: i64) -> Value {
        Value::Null
    }
    fn changes(&self) -> broadcast::Receiver<StateChange> {
        self.changes.subscribe()
    }
    fn state(&self, component: &str) -> Option<(ComponentState, bool)> {
        self.states.lock().unwrap().get(component).map(|state| (*state, settled(*state)))
    }
    fn reinstall<'a>(&'a self, _: &'a str) -> Later<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn remove<'a>(&'a self, _: &'a str) -> Later<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn bootstrap<'a>(&'a self, _: &'a str, _: &'a Value) -> Later<'a, BootstrapOutcome> {
        Box::pin(async { Ok(BootstrapOutcome::Done) })
    }
}

impl CloudMessages for Core {
    fn publish<'a>(&'a self, _: &'a str, message: CloudPublish) -> Later<'a, ()> {
        assert_eq!((message.topic.as_str(), message.qos), ("$aws/things/core/greengrassv2/health/json", 1));
        assert!(message.payload.len() <= 128_000, "CR 4.13: chunks");
        self.sent.send(serde_json::from_slice(&message.payload).unwrap()).unwrap();
        Box::pin(async { Ok(()) })
    }
    fn subscribe<'a>(&'a self, _: &'a str, _: &'a str, _: u8) -> Later<'a, CloudSubscription> {
        Box::pin(async { Err(PortError::service("not here")) })
    }
    fn connection(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }
}

struct Site {
    core: Arc<Core>,
    sent: mpsc::UnboundedReceiver<Value>,
    status: FleetStatus,
    trouble: watch::Sender<Option<String>>,
    _held: (watch::Sender<CoreFacts>, watch::Sender<Duration>),
}

impl Site {
    fn start(components: &[&str]) -> Self {
        let (sender, sent) = mpsc::unbounded_channel();
        let states = components.iter().map(|name| (SmolStr::new(name), ComponentState::Running)).collect();
        let core = Arc::new(Core {
            states: Mutex::new(states),
            kept: Mutex::default(),
            changes: broadcast::Sender::new(64),
            sent: sender,
            connected: watch::Sender::new(false),
        });
        core.kept.lock().unwrap().insert(
            "services/DeploymentService/ComponentToGroups/a".into(),
            json!({"thing/core": "arn:aws:greengrass:r:a:configuration:thing/core:3"}),
        );
        let facts = CoreFacts {
            thing: "core".into(),
            version: "2.17.0".into(),
            platform: "linux".into(),
            architecture: "amd64".into(),
            runtime: "marram".into(),
        };
        let (facts_sender, facts) = watch::channel(facts);
        let (trouble_sender, trouble) = watch::channel(None);
        let (cadence_sender, cadence) = watch::channel(Duration::from_secs(86_400));
        let status = FleetStatus::start(FleetStatusParts {
            components: core.clone(),
            nucleus: core.clone(),
            cloud: core.clone(),
            facts,
            cadence,
            trouble,
            clock: SystemClock::shared(),
        });
        Site { core, sent, status, trouble: trouble_sender, _held: (facts_sender, cadence_sender) }
    }

    async fn next(&mut self) -> Value {
        timeout(Duration::from_secs(20), self.sent.recv()).await.expect("a message").expect("the core lives")
    }
}

fn names(message: &Value) -> Vec<(&str, &str)> {
    let components = message["components"].as_array().unwrap();
    components.iter().map(|one| (one["componentName"].as_str().unwrap(), one["status"].as_str().unwrap())).collect()
}

fn report(status: DeploymentStatus) -> DeploymentReport {
    DeploymentReport {
        source: DeploymentSource::ThingGroup,
        record: DeploymentRecord {
            id: "d1".into(),
            status,
            created_on: 0,
            detailed_status: "SUCCESSFUL".into(),
            error_stack: Vec::new(),
            error_types: Vec::new(),
            failure_cause: None,
            waiting_for: None,
            notes: Vec::new(),
        },
        configuration_arn: Some("arn:x".into()),
        unchanged_roots: vec!["b".into()],
        removed: vec!["old".into()],
    }
}

/// Launch tells all, at the first connection, what the runtime is itself included, its inner services not; a failure is told at once and
/// names its code.
#[tokio::test]
async fn launch_failure_and_recovery() {
    let mut site = Site::start(&["a", "b", "aws.greengrass.Nucleus", "DeploymentService"]);
    tokio::task::yield_now().await;
    assert!(site.sent.try_recv().is_err(), "nothing is sent while the line is down");
    site.core.connected.send_replace(true);
    let launch = site.next().await;
    assert_eq!(
        (launch["trigger"].as_str(), launch["messageType"].as_str()),
        (Some("NUCLEUS_LAUNCH"), Some("COMPLETE"))
    );
    assert_eq!(names(&launch), [("a", "RUNNING"), ("aws.greengrass.Nucleus", "RUNNING"), ("b", "RUNNING")]);
    let roots: Vec<_> = launch["components"].as_array().unwrap().iter().map(|one| one["isRoot"].as_bool()).collect();
    assert_eq!(roots, [Some(true), Some(false), Some(true)]);
    assert_eq!(
        launch["components"][0]["fleetConfigArns"],
        json!(["arn:aws:greengrass:r:a:configuration:thing/core:3"])
    );
    assert_eq!((launch["overallDeviceStatus"].as_str(), launch["runtime"].as_str()), (Some("HEALTHY"), Some("marram")));
    assert!(launch.get("chunkInfo").is_none() && launch.get("deploymentInformation").is_none());

    site.core.set("b", ComponentState::Errored);
    let failure = site.next().await;
    assert_eq!(
        (failure["trigger"].as_str(), failure["messageType"].as_str()),
        (Some("COMPONENT_STATUS_CHANGE"), Some("PARTIAL"))
    );
    assert_eq!(names(&failure), [("b", "ERRORED")]);
    assert_eq!(
        failure["components"][0]["componentStatusDetails"],
        json!({"statusCodes": ["RUN_ERROR"], "statusReason": "it fell over"})
    );
    assert_eq!(failure["sequenceNumber"].as_u64().unwrap(), launch["sequenceNumber"].as_u64().unwrap() + 1);

    site.core.set("b", ComponentState::Starting);
    site.core.set("b", ComponentState::Running);
    assert_eq!(names(&site.next().await), [("b", "RUNNING")]);
}

/// During a deployment changes wait for its end; then one message tells them, with what was removed.
#[tokio::test]
async fn a_deployment_is_one_message() {
    let mut site = Site::start(&["a"]);
    site.core.connected.send_replace(true);
    site.next().await;
    site.status.deployment_started();
    tokio::task::yield_now().await;
    site.core.set("c", ComponentState::Starting);
    site.core.set("c", ComponentState::Running);
    site.core.set("old", ComponentState::Uninstalled);
    // The reporter works through the changes before the end is told.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(site.sent.try_recv().is_err());
    site.status.deployment_ended(report(DeploymentStatus::Succeeded));
    let message = site.next().await;
    assert_eq!(message["trigger"], "THING_GROUP_DEPLOYMENT");
    assert_eq!(names(&message), [("c", "RUNNING"), ("old", "UNINSTALLED")]);
    assert_eq!(
        message["deploymentInformation"],
        json!({"status": "SUCCEEDED", "deploymentId": "d1", "fleetConfigurationArnForStatus": "arn:x", "unchangedRootComponents": ["b"],
            "statusDetails": {"detailedStatus": "SUCCESSFUL", "failureCause": "", "errorStack": [], "errorTypes": []}})
    );
}

/// CC 1.1, CR 4.13: parts of the runtime announce no changes: a deployment's message tells those that came, went, or have other versions or
/// deployments than were told, and no other.
#[tokio::test]
async fn a_deployment_tells_the_parts_that_came_and_went() {
    const MOQUETTE: &str = "aws.greengrass.clientdevices.mqtt.Moquette";
    let mut site = Site::start(&["a", "aws.greengrass.Nucleus"]);
    site.core.connected.send_replace(true);
    assert_eq!(names(&site.next().await).len(), 2);
    let arns = "services/DeploymentService/ComponentToGroups/aws.greengrass.Nucleus";
    let deployed = || site.core.states.lock().unwrap().insert(MOQUETTE.into(), ComponentState::Running);
    deployed();
    site.status.deployment_ended(report(DeploymentStatus::Succeeded));
    assert_eq!(names(&site.next().await), [(MOQUETTE, "RUNNING"), ("old", "UNINSTALLED")]);
    site.core
        .kept
        .lock()
        .unwrap()
        .insert(arns.into(), json!({"thing/core": "arn:aws:greengrass:r:a:configuration:thing/core:4"}));
    site.core.states.lock().unwrap().remove(MOQUETTE);
    site.status.deployment_ended(report(DeploymentStatus::Succeeded));
    let message = site.next().await;
    assert_eq!(
        names(&message),
        [("aws.greengrass.Nucleus", "RUNNING"), (MOQUETTE, "UNINSTALLED"), ("old", "UNINSTALLED")]
    );
    assert_eq!(message["components"][0]["fleetConfigArns"][0], "arn:aws:greengrass:r:a:configuration:thing/core:4");
    site.status.deployment_ended(report(DeploymentStatus::Succeeded));
    assert_eq!(names(&site.next().await), [("old", "UNINSTALLED")]);
}

/// CR 4.13: another line is told everything, at once or when it is up.
#[tokio::test]
async fn another_line_is_told_everything() {
    let mut site = Site::start(&["a", "b"]);
    site.core.connected.send_replace(true);
    site.next().await;
    for online in [true, false] {
        site.core.connected.send_replace(online);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        site.status.reconfigured();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(online || site.sent.try_recv().is_err(), "nothing is sent while the line is down");
        site.core.connected.send_replace(true);
        let message = site.next().await;
        assert_eq!(
            (message["trigger"].as_str(), message["messageType"].as_str()),
            (Some("NETWORK_RECONFIGURE"), Some("COMPLETE"))
        );
        assert_eq!(names(&message), [("a", "RUNNING"), ("b", "RUNNING")]);
    }
}

/// More than 128,000 bytes go in chunks that share a sequence number.
#[tokio::test]
async fn many_components_go_in_chunks() {
    let many: Vec<String> = (0..900).map(|n| format!("component-{n:04}-{}", "x".repeat(100))).collect();
    let names_of: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut site = Site::start(&names_of);
    site.core.connected.send_replace(true);
    let first = site.next().await;
    let total = first["chunkInfo"]["totalChunks"].as_u64().unwrap();
    assert!(total >= 2);
    let mut seen = first["components"].as_array().unwrap().len();
    for chunk in 2..=total {
        let message = site.next().await;
        assert_eq!(message["chunkInfo"], json!({"chunkId": chunk, "totalChunks": total}));
        assert_eq!(message["sequenceNumber"], first["sequenceNumber"]);
        seen += message["components"].as_array().unwrap().len();
    }
    assert_eq!(seen, 900);
}

/// CR 4.13: while the disk is full the device is UNHEALTHY and the core among its components says why, also in the middle of a deployment;
/// when there is room again all is told anew, the core as sound, once no deployment runs.
#[tokio::test]
async fn a_full_disk_is_told_and_taken_back() {
    let mut site = Site::start(&["a", "aws.greengrass.Nucleus"]);
    site.core.connected.send_replace(true);
    assert_eq!(site.next().await["overallDeviceStatus"], "HEALTHY");
    site.status.deployment_started();
    site.trouble.send_replace(Some("the disk is full: by a".to_owned()));
    let message = site.next().await;
    assert_eq!((&message["overallDeviceStatus"], &message["messageType"]), (&json!("UNHEALTHY"), &json!("PARTIAL")));
    assert_eq!(names(&message), [("aws.greengrass.Nucleus", "ERRORED")]);
    let details = &message["components"][0]["componentStatusDetails"];
    assert_eq!(*details, json!({"statusCodes": ["DISK_SPACE_CRITICAL"], "statusReason": "the disk is full: by a"}));
    // The store takes nothing now: numbers go on from memory.
    site.core.kept.lock().unwrap().insert("full".into(), json!(true));
    site.status.deployment_ended(report(DeploymentStatus::Failed));
    let message = site.next().await;
    assert_eq!((&message["overallDeviceStatus"], &message["sequenceNumber"]), (&json!("UNHEALTHY"), &json!(3)));
    site.trouble.send_replace(None);
    let message = site.next().await;
    assert_eq!((&message["overallDeviceStatus"], &message["messageType"]), (&json!("HEALTHY"), &json!("COMPLETE")));
    let sound = vec![("a", "RUNNING"), ("aws.greengrass.Nucleus", "RUNNING")];
    assert_eq!((names(&message), &message["sequenceNumber"]), (sound, &json!(4)));
}
