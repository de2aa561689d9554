//! A broker in the process, deployments built by hand, and waiting with a deadline.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use marram_expr::{DataType, PropertyType, classify, parse_expr, parse_template};
use marram_flow::Snapshot;
use marram_flow::program::{
    Device, EventSource, Flow, ModbusFunction, Operation, ParamValue, RequestParam, Site, Thing,
};
use marram_flow::snapshot::{Binding, Condition, FlowRole, StartFlow, Trigger};
use marram_flow_runtime::{
    Authority, Deliver, Deployment, FlowAction, FlowPrincipal, HistoryBatch, HistorySink, Incoming, MessagePort,
    Outgoing, Pending, PortError, Ports, RuntimeHandle, RuntimeOptions, Subscription,
};
use marram_sigv4::Credentials;
use smol_str::SmolStr;

#[path = "../../../../domain/flow/tests/suite/support.rs"]
pub mod support;

pub use support::{S, flow};
use support::{property, site};

pub const DEPLOYMENT: &str = "urn:tdm:x:Deployment:Bed7";

type Subscribers = Arc<Mutex<BTreeMap<u64, (SmolStr, Deliver)>>>;

/// Exact topics, in the caller's thread.
#[derive(Default)]
pub struct Broker {
    subscribers: Subscribers,
    next: AtomicU64,
    /// Everything published, in order.
    pub published: Mutex<Vec<(SmolStr, String)>>,
    /// Answers with `Pending` first.
    pub slow: AtomicBool,
}

struct Unsubscribe(Subscribers, u64);

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        self.0.lock().unwrap().remove(&self.1);
    }
}

impl Broker {
    pub fn send(&self, topic: &str, payload: &str) {
        self.deliver(Incoming { topic: topic.into(), payload: payload.to_owned().into(), retained: false });
    }

    pub fn deliver(&self, message: Incoming) {
        let found: Vec<Deliver> = (self.subscribers.lock().unwrap().values())
            .filter(|(filter, _)| *filter == message.topic)
            .map(|(_, deliver)| Arc::clone(deliver))
            .collect();
        found.iter().for_each(|deliver| deliver(message.clone()));
    }

    /// A device in the process: sees every message on `topic`.
    pub fn on(&self, topic: &str, deliver: impl Fn(Incoming) + Send + Sync + 'static) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.subscribers.lock().unwrap().insert(id, (topic.into(), Arc::new(deliver)));
    }

    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.subscribers.lock().unwrap().values().any(|(filter, _)| filter == topic)
    }

    pub fn seen(&self, topic: &str) -> Vec<String> {
        let published = self.published.lock().unwrap();
        published.iter().filter(|(known, _)| known == topic).map(|(_, payload)| payload.clone()).collect()
    }
}

impl MessagePort for Broker {
    fn publish<'a>(&'a self, _: &'a FlowPrincipal, message: Outgoing) -> Pending<'a, Result<(), PortError>> {
        Box::pin(async move {
            if self.slow.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            self.published.lock().unwrap().push((message.topic.clone(), payload));
            self.deliver(Incoming { topic: message.topic, payload: message.payload, retained: false });
            Ok(())
        })
    }

    fn subscribe<'a>(
        &'a self,
        _: &'a FlowPrincipal,
        filter: SmolStr,
        deliver: Deliver,
    ) -> Pending<'a, Result<Subscription, PortError>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.subscribers.lock().unwrap().insert(id, (filter, deliver));
        let guard: Subscription = Box::new(Unsubscribe(Arc::clone(&self.subscribers), id));
        Box::pin(std::future::ready(Ok(guard)))
    }
}

/// Allows everything but one resource.
#[derive(Default)]
pub struct Rights {
    pub denied: Mutex<Option<String>>,
    pub version: AtomicU64,
}

impl Authority for Rights {
    fn allows(&self, _: &FlowPrincipal, action: FlowAction<'_>) -> bool {
        let denied = self.denied.lock().unwrap();
        let (_, resource) = action.resource();
        denied.as_deref().is_none_or(|denied| resource != denied && resource != format!("topic/{denied}"))
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn credentials<'a>(&'a self, _: &'a FlowPrincipal, _: &'a str) -> Pending<'a, Result<Arc<Credentials>, String>> {
        Box::pin(std::future::ready(Ok(Arc::new(Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret: marram_types::SecretString::new("secret"),
            session_token: None,
        }))))
    }
}

/// Keeps history in memory, as it comes.
#[derive(Default)]
pub struct Memory {
    pub batches: Mutex<Vec<HistoryBatch>>,
}

impl Memory {
    /// `EVENT_TYPE` of every message of the execution, in order of arrival.
    pub fn events(&self, execution: &str) -> Vec<&'static str> {
        let mut events = Vec::new();
        for batch in self.batches.lock().unwrap().iter() {
            let of = |message: &&marram_flow_runtime::MessageRecord| {
                batch.executions[message.execution].execution == execution
            };
            events.extend(batch.messages.iter().filter(of).map(|message| message.event_type.as_str()));
        }
        events
    }
}

impl HistorySink for Memory {
    fn write(&self, batch: HistoryBatch) -> Pending<'_, Result<(), String>> {
        self.batches.lock().unwrap().push(batch);
        Box::pin(std::future::ready(Ok(())))
    }
}

pub struct World {
    pub broker: Arc<Broker>,
    pub rights: Arc<Rights>,
    pub memory: Arc<Memory>,
    pub metrics: marram_obs::Metrics,
    pub runtime: RuntimeHandle,
}

/// A runtime on `dir` whose broker and history are in the process.
pub async fn world(options: RuntimeOptions) -> World {
    world_with(options, Arc::new(Broker::default())).await
}

pub async fn world_with(options: RuntimeOptions, broker: Arc<Broker>) -> World {
    let (rights, memory) = (Arc::new(Rights::default()), Arc::new(Memory::default()));
    let metrics = marram_obs::Metrics::new();
    let ports = Ports {
        messages: Arc::clone(&broker) as _,
        authority: Arc::clone(&rights) as _,
        history: Some(Arc::clone(&memory) as _),
    };
    let runtime = RuntimeHandle::open(options, ports, &metrics).await.unwrap();
    World { broker, rights, memory, metrics, runtime }
}

/// A deployment of one flow in role `Irrigate` with the thing `valve-1` in role `valve`, whose device also has an event
/// `reading` (`{"moisture": n}` or a number) on `valve-1/reading`.
pub fn deployment(flow: Flow, triggers: Vec<Trigger>) -> Deployment {
    deployment_on(site(), flow, triggers)
}

pub fn deployment_on(mut site: Site, flow: Flow, triggers: Vec<Trigger>) -> Deployment {
    site.devices[0].events.push(EventSource {
        name: "reading".into(),
        topic: parse_template("${systemRuntime.deviceId}/reading").unwrap(),
        payload: Some(Arc::new(PropertyType::built_in(DataType::Json))),
    });
    let snapshot = Snapshot {
        site: Arc::new(site),
        flows: vec![FlowRole { role: "Irrigate".into(), flow: Arc::new(flow) }],
        bindings: vec![Binding { role: "valve".into(), thing: "valve-1".into() }],
        triggers,
    };
    let principal = FlowPrincipal {
        account: "100200300400".into(),
        region: "eu-local-1".into(),
        role_arn: Some("arn:aws:iam::100200300400:role/flows".into()),
        deployment: DEPLOYMENT.into(),
    };
    Deployment { snapshot, principal, http_allow: vec![], metrics_enabled: true }
}

/// A trigger on `reading` that starts `Irrigate` with `args`.
pub fn on_reading(condition: &str, args: &[&str]) -> Trigger {
    Trigger {
        name: "Dry".into(),
        condition: Condition::Event {
            expr: marram_expr_condition(condition),
            events: vec![("valve".into(), "reading".into())],
        },
        actions: vec![StartFlow {
            role: "Irrigate".into(),
            arguments: args.iter().map(|arg| parse_expr(arg).unwrap()).collect(),
        }],
    }
}

fn marram_expr_condition(condition: &str) -> marram_expr::Expr {
    match marram_expr::parse_trigger_condition(condition).unwrap() {
        marram_expr::TriggerCondition::Event(expr) => expr,
        other => panic!("{other:?}"),
    }
}

pub const READING: &str = "devices[name == 'valve'].events[name == 'reading'].lastEvent";

/// An action's request parameter.
pub fn param(name: &str, value: &str) -> RequestParam {
    RequestParam { name: name.into(), property: None, value: ParamValue::Expr(classify(value).unwrap()) }
}

pub fn thing(device: u16) -> Thing {
    Thing { device, roles: vec![], modbus_endpoint: None }
}

pub fn device_of(site: &mut Site) -> &mut Device {
    &mut site.devices[0]
}

/// Waits until `probe` answers, at most ten seconds.
pub async fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The site with a valve behind Modbus: what is written can be sampled, and `ping` reads registers that are not there.
pub fn modbus_site(endpoint: &str, read_unit: u8, write_unit: u8) -> Site {
    let mut site = site();
    site.things.get_mut("valve-1").unwrap().modbus_endpoint = Some(endpoint.into());
    let read = |address| Operation::Modbus {
        unit: read_unit,
        function: ModbusFunction::ReadHoldingRegisters { address, count: None },
        params: vec![],
    };
    let write = Operation::Modbus {
        unit: write_unit,
        function: ModbusFunction::WriteMultipleRegisters { address: 100, count: Some(2) },
        params: vec![RequestParam { property: Some(property(DataType::Float32)), ..param("v", "${litres.value}") }],
    };
    for action in &mut site.devices[0].actions {
        match action.name.as_str() {
            "dose" => action.operation = write.clone(),
            "sample" => (action.operation, action.returns) = (read(100), Some(property(DataType::Float32))),
            _ => (action.operation, action.returns) = (read(9_000), Some(property(DataType::Int16))),
        }
    }
    site
}
