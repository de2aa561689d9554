//! A core without its other parts: configuration in memory, a broker, a control plane that can be cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, Denied, FullAuthority, LocalClient, Message, Tenant,
};
use marram_edge_flows::{COMPONENT, EdgeFlows, EdgeFlowsOptions, EdgePorts};
use marram_edge_ports::{ChangedPath, CloudMessages, CloudPublish, CloudSubscription, Configuration, Later, PortError};
use marram_flow_runtime::Durability;
use marram_flow_runtime::package::{Trust, TrustedKey};
use marram_flow_runtime::replica::{self, Accepted, Page, Report};
use marram_mqtt::Topic;
use marram_types::{SharedClock, SystemClock};
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};

/// Component configuration of the one component.
#[derive(Default)]
pub struct Tree {
    value: Mutex<Option<Value>>,
    watchers: Mutex<Vec<mpsc::Sender<ChangedPath>>>,
}

impl Tree {
    pub fn set(&self, value: Option<Value>) {
        *self.value.lock().unwrap() = value;
        let change = ChangedPath { component: COMPONENT.into(), path: vec![] };
        self.watchers.lock().unwrap().retain(|watcher| watcher.try_send(change.clone()).is_ok());
    }
}

impl Configuration for Tree {
    fn read(&self, component: &str, _: &[SmolStr]) -> Result<Value, PortError> {
        self.value.lock().unwrap().clone().ok_or_else(|| PortError::no_component(component))
    }
    fn update<'a>(&'a self, _: &'a str, _: &'a [SmolStr], _: i64, _: Value) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn watch(&self, _: &str, _: &[SmolStr]) -> Result<mpsc::Receiver<ChangedPath>, PortError> {
        let (sender, receiver) = mpsc::channel(16);
        self.watchers.lock().unwrap().push(sender);
        Ok(receiver)
    }
    fn access_control(&self) -> watch::Receiver<Arc<BTreeMap<SmolStr, Value>>> {
        watch::channel(Arc::default()).1
    }
}

/// A control plane: stores pages once, answers, can be cut off or be mute.
pub struct Cloud {
    pub line: watch::Sender<bool>,
    pub mute: AtomicBool,
    /// Messages stored, in order of arrival, each once.
    pub stored: Mutex<Vec<(SmolStr, u64, &'static str)>>,
    known: Mutex<BTreeSet<(SmolStr, u64)>>,
    pub pages: AtomicUsize,
    pub reports: Mutex<Vec<Report>>,
    answers: Mutex<Vec<mpsc::Sender<CloudPublish>>>,
}

impl Cloud {
    pub fn new(up: bool) -> Arc<Self> {
        Arc::new(Self {
            line: watch::Sender::new(up),
            mute: AtomicBool::new(false),
            stored: Mutex::default(),
            known: Mutex::default(),
            pages: AtomicUsize::new(0),
            reports: Mutex::default(),
            answers: Mutex::default(),
        })
    }

    pub fn finished(&self) -> usize {
        self.stored.lock().unwrap().iter().filter(|(_, _, event)| *event == "EXECUTION_SUCCEEDED").count()
    }

    /// Executions that ended, well or not.
    pub fn ended(&self) -> usize {
        let over = |event: &str| matches!(event, "EXECUTION_SUCCEEDED" | "EXECUTION_FAILED");
        self.stored.lock().unwrap().iter().filter(|(_, _, event)| over(event)).count()
    }

    /// Every execution's messages are there from 1 without a gap, in order, none twice.
    pub fn assert_whole(&self) {
        let mut next: BTreeMap<SmolStr, u64> = BTreeMap::new();
        for (execution, seq, _) in self.stored.lock().unwrap().iter() {
            let expected = next.entry(execution.clone()).or_insert(1);
            assert_eq!(seq, expected, "{execution}");
            *expected += 1;
        }
    }
}

impl CloudMessages for Cloud {
    fn publish<'a>(&'a self, owner: &'a str, message: CloudPublish) -> Later<'a, ()> {
        Box::pin(async move {
            assert_eq!((owner, message.qos), (COMPONENT, 1));
            if message.topic == replica::deployments_topic("core-1") {
                self.reports.lock().unwrap().push(serde_json::from_slice(&message.payload).unwrap());
                return Ok(());
            }
            assert_eq!(message.topic, replica::history_topic("core-1"));
            assert!(message.payload.len() <= 128 * 1024, "{}", message.payload.len());
            let page: Page = serde_json::from_slice(&message.payload).unwrap();
            self.pages.fetch_add(1, Ordering::Relaxed);
            for entry in &page.messages {
                let key = (page.executions[entry.execution].id.clone(), entry.seq);
                if self.known.lock().unwrap().insert(key.clone()) {
                    self.stored.lock().unwrap().push((key.0, key.1, entry.event_type.as_str()));
                }
            }
            if !self.mute.load(Ordering::Relaxed) {
                let payload = serde_json::to_vec(&Accepted { stream: page.stream, through: page.through }).unwrap();
                let answer = CloudPublish {
                    topic: replica::accepted_topic("core-1"),
                    payload: payload.into(),
                    ..CloudPublish::default()
                };
                let answers = self.answers.lock().unwrap();
                answers.iter().for_each(|reader| drop(reader.try_send(answer.clone())));
            }
            Ok(())
        })
    }

    fn subscribe<'a>(&'a self, _: &'a str, filter: &'a str, _: u8) -> Later<'a, CloudSubscription> {
        Box::pin(async move {
            assert_eq!(filter, replica::accepted_topic("core-1"));
            let (sender, messages) = mpsc::channel(64);
            self.answers.lock().unwrap().push(sender);
            Ok(CloudSubscription { messages, guard: Box::new(()) })
        })
    }

    fn connection(&self) -> watch::Receiver<bool> {
        self.line.subscribe()
    }
}

struct Nobody;

impl Authenticator for Nobody {
    fn authenticate<'a>(&'a self, _: &'a marram_broker::PeerInfo, _: &'a marram_mqtt::Connect) -> Authenticating<'a> {
        Box::pin(std::future::ready(Err(Denied::NotAuthorized)))
    }
}

pub struct Core {
    pub flows: EdgeFlows,
    pub device: LocalClient,
}

/// A core on `dir`; `tree` and `cloud` outlive it.
pub fn boot(dir: &Path, tree: &Arc<Tree>, cloud: &Arc<Cloud>, trusted_keys: Vec<TrustedKey>) -> Core {
    let ports = marram_broker::Ports { authenticator: Arc::new(Nobody), interceptor: None, store: None };
    let broker = Broker::start(BrokerOptions::default(), ports).unwrap();
    boot_on(dir, tree, cloud, trusted_keys, broker)
}

/// The same by another clock.
pub fn boot_at(dir: &Path, tree: &Arc<Tree>, cloud: &Arc<Cloud>, clock: SharedClock) -> Core {
    let ports = marram_broker::Ports { authenticator: Arc::new(Nobody), interceptor: None, store: None };
    start(dir, tree, cloud, vec![], Broker::start(BrokerOptions::default(), ports).unwrap(), clock)
}

/// The same beside a broker that is there.
pub fn boot_on(
    dir: &Path,
    tree: &Arc<Tree>,
    cloud: &Arc<Cloud>,
    trusted_keys: Vec<TrustedKey>,
    broker: Broker,
) -> Core {
    start(dir, tree, cloud, trusted_keys, broker, SystemClock::shared())
}

fn start(
    dir: &Path,
    tree: &Arc<Tree>,
    cloud: &Arc<Cloud>,
    trusted_keys: Vec<TrustedKey>,
    broker: Broker,
    clock: SharedClock,
) -> Core {
    let tenant = Tenant::new(marram_client_devices::TENANT);
    let device = broker.local_client("device", FullAuthority::new(tenant.clone(), "device"));
    let mut options = EdgeFlowsOptions::new(dir.join("marram.FlowRuntime"), "core-1");
    options.trust = if trusted_keys.is_empty() { Trust::Whole } else { Trust::Signed(trusted_keys) };
    options.runtime.durability = Durability::ProcessDeath;
    options.runtime.events_per_second = 0;
    options.runtime.clock = clock;
    let ports = EdgePorts {
        configuration: Arc::clone(tree) as _,
        broker,
        tenant,
        cloud: Some(Arc::clone(cloud) as _),
        credentials: None,
    };
    let flows = EdgeFlows::start(options, ports, &marram_obs::Metrics::new());
    Core { flows, device }
}

impl Core {
    pub async fn send(&self, topic: &str, payload: &str) {
        self.device.publish(Message::new(Topic::new(topic).unwrap(), payload.to_owned())).await.unwrap();
    }

    /// The newest report once it satisfies `probe`.
    pub async fn reported(&self, probe: impl Fn(&Report) -> bool) -> Arc<Report> {
        let mut report = self.flows.report();
        let found = report.wait_for(|report| report.as_deref().is_some_and(&probe));
        let found = tokio::time::timeout(std::time::Duration::from_secs(10), found).await;
        found.expect("the report in time").unwrap().clone().unwrap()
    }
}
