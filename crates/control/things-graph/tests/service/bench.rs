//! The service over a store in a temporary directory, called as the front door calls it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_flow_runtime::{
    Authority, Deliver, FlowAction, FlowPrincipal, History, Incoming, MessagePort, Outgoing, Pending, PortError, Ports,
    RuntimeHandle, RuntimeOptions, Subscription,
};
use marram_identity::{CallContext, Principal, Service};
use marram_pki::{CertificateAuthority, Validity};
use marram_registry::{Endpoints, Registry, RegistryOptions};
use marram_store::Store;
use marram_testkit::Control;
use marram_things_graph::{Network, Parts, Quotas, Realm, RegistryThings, Roles, ThingsGraph};
use marram_types::{AccountId, ManualClock};
use serde_json::{Value, json};

/// The role the tests' deployments act with.
pub const ROLE: &str = "arn:aws:iam::100200300400:role/flows";
/// The account of the tests.
pub const ACCOUNT: &str = "100200300400";
/// Another one.
pub const OTHER: &str = "111111111111";

/// The broker: keeps what is published, delivers what a test sends.
#[derive(Default)]
pub struct Wire {
    pub published: Mutex<Vec<(String, String)>>,
    subscribed: Mutex<Vec<(u64, String, Deliver)>>,
}

struct Unsubscribe(Arc<Wire>, u64);

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        self.0.subscribed.lock().unwrap().retain(|(id, ..)| *id != self.1);
    }
}

/// The port to a shared [`Wire`].
struct Port(Arc<Wire>);

impl MessagePort for Port {
    fn publish<'a>(&'a self, _: &'a FlowPrincipal, message: Outgoing) -> Pending<'a, Result<(), PortError>> {
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        self.0.published.lock().unwrap().push((message.topic.to_string(), text));
        Box::pin(std::future::ready(Ok(())))
    }

    fn subscribe<'a>(
        &'a self,
        _: &'a FlowPrincipal,
        filter: smol_str::SmolStr,
        deliver: Deliver,
    ) -> Pending<'a, Result<Subscription, PortError>> {
        let mut subscribed = self.0.subscribed.lock().unwrap();
        let id = subscribed.last().map_or(0, |(id, ..)| id + 1);
        subscribed.push((id, filter.to_string(), deliver));
        let subscription: Subscription = Box::new(Unsubscribe(self.0.clone(), id));
        Box::pin(std::future::ready(Ok(subscription)))
    }
}

impl Wire {
    /// Delivers a message; answers how many subscriptions took it.
    pub fn send(&self, topic: &str, payload: &str) -> usize {
        let takers: Vec<Deliver> = {
            let subscribed = self.subscribed.lock().unwrap();
            subscribed.iter().filter(|(_, filter, _)| filter == topic).map(|(.., deliver)| deliver.clone()).collect()
        };
        for deliver in &takers {
            let payload = bytes::Bytes::copy_from_slice(payload.as_bytes());
            deliver(Incoming { topic: topic.into(), payload, retained: false });
        }
        takers.len()
    }
}

/// Allows every topic, knows no credentials.
struct AllowTopics;

impl Authority for AllowTopics {
    fn allows(&self, _: &FlowPrincipal, _: FlowAction<'_>) -> bool {
        true
    }

    fn version(&self) -> u64 {
        0
    }

    fn credentials<'a>(
        &'a self,
        _: &'a FlowPrincipal,
        _: &'a str,
    ) -> Pending<'a, Result<Arc<marram_sigv4::Credentials>, String>> {
        Box::pin(std::future::ready(Err("no credentials".to_owned())))
    }
}

/// Trusts [`ROLE`] alone.
#[derive(Debug)]
struct OneRole;

impl Roles for OneRole {
    fn trusts(&self, _: &Realm, role_arn: &str, source_arn: &str) -> bool {
        role_arn == ROLE && source_arn.contains(":Deployment/default/")
    }
}

pub struct Bench {
    pub clock: Arc<ManualClock>,
    pub service: ThingsGraph,
    pub runtime: RuntimeHandle,
    pub store: Store,
    pub wire: Arc<Wire>,
    registry: Registry,
    control: Control,
}

impl Bench {
    /// A service over what `dir` holds, with these quotas.
    pub async fn open_with(dir: &Path, quotas: Quotas) -> Self {
        let control = Control::reopen(&dir.join("store"), "eu-local-1".parse().unwrap()).await;
        let (store, identity) = (control.store.clone(), control.identity.clone());
        store.migrate(marram_registry::MIGRATIONS).unwrap();
        store.migrate(marram_things_graph::MIGRATIONS).unwrap();
        store.migrate(marram_flow_runtime::history::MIGRATIONS).unwrap();
        let authority = CertificateAuthority::create("CA", Validity::starting(1_800_000_000, 86_400 * 3650)).unwrap();
        let registry =
            Registry::new(RegistryOptions::new(Arc::new(authority), Endpoints::single("iot.marram.example")));
        let wire = Arc::new(Wire::default());
        let history = History::new(store.clone());
        let ports = Ports {
            messages: Arc::new(Port(wire.clone())),
            authority: Arc::new(AllowTopics),
            history: Some(Arc::new(history.clone())),
        };
        let metrics = marram_obs::Metrics::new();
        let runtime = RuntimeHandle::open(RuntimeOptions::new(dir.join("flows")), ports, &metrics).await.unwrap();
        let service = ThingsGraph::open(Parts {
            store: store.clone(),
            identity,
            things: Arc::new(RegistryThings),
            roles: Arc::new(OneRole),
            runtime: runtime.clone(),
            history,
            network: Network::default(),
            page_secret: b"secret".to_vec(),
            quotas,
        })
        .await
        .unwrap();
        registry.watch_memberships(Arc::new(service.clone()));
        Self { clock: control.clock.clone(), service, runtime, store, wire, registry, control }
    }

    pub async fn open(dir: &Path) -> Self {
        Self::open_with(dir, Quotas::default()).await
    }

    /// Ends everything that runs, so that the directory can be opened again.
    pub async fn close(self) {
        self.runtime.shutdown().await;
        self.store.close();
    }

    pub fn context(&self, principal: Principal, operation: &'static Operation) -> CallContext {
        self.control.context(principal, operation)
    }

    /// Calls an operation, and checks the answer against the model.
    pub async fn call_by(&self, principal: Principal, operation: &str, input: Value) -> Result<Value, ApiError> {
        let model = ServiceId::ThingsGraph.operation(operation).unwrap_or_else(|| panic!("no operation {operation}"));
        let refused = marram_aws_api::constraint::check(model.input.unwrap(), &input);
        assert!(refused.is_empty(), "{operation}: the front door would refuse {input}");
        self.control.call(&self.service, principal, operation, input).await
    }

    pub async fn call_as(&self, account: &str, operation: &str, input: Value) -> Result<Value, ApiError> {
        let account: AccountId = account.parse().unwrap();
        self.call_by(Principal::root(account, "aws"), operation, input).await
    }

    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, ApiError> {
        self.call_as(ACCOUNT, operation, input).await
    }

    /// A call that succeeds.
    pub async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// A call that is refused with this code; answers the message.
    pub async fn refused(&self, operation: &str, input: Value, code: &str) -> String {
        match self.call(operation, input).await {
            Ok(answer) => panic!("{operation} answered {answer} instead of {code}"),
            Err(error) => {
                assert_eq!(error.code, format!("{code}Exception"), "{operation}: {error}");
                error.message
            }
        }
    }

    /// Every item of a list, page by page.
    pub async fn pages(&self, operation: &str, input: Value, member: &str, page: i64) -> Vec<Value> {
        let model = ServiceId::ThingsGraph.operation(operation).unwrap();
        marram_testkit::pages(model, input, member, page, async |input| self.ok(operation, input).await).await
    }

    pub async fn create_thing(&self, name: &str, attributes: Value) {
        let input = json!({ "thingName": name, "attributePayload": { "attributes": attributes } });
        self.registry_ok("CreateThing", input).await;
    }

    /// Greengrass deleted a core device.
    pub async fn delete_core(&self, thing: &str) {
        let realm = marram_registry::Realm {
            partition: marram_types::Partition::aws(),
            account: ACCOUNT.parse().unwrap(),
            region: "eu-local-1".parse().unwrap(),
        };
        let (service, thing, now) = (self.service.clone(), thing.to_owned(), marram_types::Clock::now(&*self.clock));
        self.store.write(move |tx| service.on_core_deleted(tx, &realm, &thing, now)).await.unwrap();
    }

    /// The answer of a call of the registry that succeeds.
    pub async fn registry_ok(&self, operation: &str, input: Value) -> Value {
        let operation = ServiceId::Iot.operation(operation).unwrap();
        let ctx = self.context(Principal::root(ACCOUNT.parse().unwrap(), "aws"), operation);
        self.registry.call(&ctx, operation, input).await.unwrap()
    }

    /// Uploads and waits for the end; answers the status.
    pub async fn upload(&self, input: Value) -> Value {
        let id = self.ok("UploadEntityDefinitions", input).await["uploadId"].clone();
        self.until(|| async {
            let status = self.ok("GetUploadStatus", json!({ "uploadId": id })).await;
            (status["uploadStatus"] != "IN_PROGRESS").then_some(status)
        })
        .await
    }

    /// Uploads a document that must be accepted; answers the resulting namespace version.
    pub async fn accepted(&self, text: &str) -> i64 {
        let status = self.upload(json!({ "document": document(text) })).await;
        assert_eq!(status["uploadStatus"], "SUCCEEDED", "{status}");
        status["namespaceVersion"].as_i64().unwrap()
    }

    /// Waits until `probe` finds something.
    pub async fn until<T>(&self, probe: impl AsyncFn() -> Option<T>) -> T {
        marram_testkit::until(probe).await
    }
}

/// A `DefinitionDocument`.
pub fn document(text: &str) -> Value {
    json!({ "language": "GRAPHQL", "text": text })
}

/// The URN of something in the tests' namespace.
pub fn urn(metatype: &str, name: &str) -> String {
    format!("urn:tdm:eu-local-1/{ACCOUNT}/default:{metatype}:{name}")
}

/// Replaces `NS:` by the namespace of the tests' account.
pub fn ns(text: &str) -> String {
    text.replace("NS:", &format!("urn:tdm:eu-local-1/{ACCOUNT}/default:"))
}

/// The ids of a list of summaries or descriptions, without the namespace.
pub fn ids(items: &[Value]) -> BTreeSet<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()).collect()
}

/// A probe that measures moisture and a valve that doses, both over MQTT.
pub const ENTITIES: &str = r#"
type Percent @propertyType(id: "NS:Property:moisture/percent", dataType: float32, minValue: 0, maxValue: 100) { ignore: void }
type Probe @stateType(id: "NS:State:Probe") { moisture: Percent @property(id: "NS:Property:moisture/percent") }
type Reading @propertyType(id: "NS:Property:Reading", instanceOf: "NS:State:Probe") { ignore: void }
type Read @eventType(id: "NS:Event:Read", payload: "NS:Property:Reading") { ignore: void }
type Dose @actionType(id: "NS:Action:Dose") { litres: Float32 @property(id: "urn:tdm:aws:Property:Float32") }
type ProbeCap @capabilityType(id: "NS:Capability:Probe") { STATE: Probe @state(id: "NS:State:Probe") reading: Read @event(id: "NS:Event:Read") }
type ValveCap @capabilityType(id: "NS:Capability:Valve") { dose: Dose @action(id: "NS:Action:Dose") }
type ProbeModel @deviceModel(id: "NS:DeviceModel:Probe", capability: "NS:Capability:Probe") { ignore: void }
type ValveModel @deviceModel(id: "NS:DeviceModel:Valve", capability: "NS:Capability:Valve") { ignore: void }
query AcmeProbe @device(id: "NS:Device:AcmeProbe", deviceModel: "NS:DeviceModel:Probe") {
  MQTT { ProbeCap(id: "NS:Capability:Probe") {
    state { moisture(name: "m", property: "NS:Property:moisture/percent") }
    Event(name: "reading") { Subscribe(topic: "$macro(${systemRuntime.deviceId}/reading)") { responsePayload(property: "NS:Property:Reading") } } } } }
query AcmeValve @device(id: "NS:Device:AcmeValve", deviceModel: "NS:DeviceModel:Valve") {
  MQTT { ValveCap(id: "NS:Capability:Valve") {
    Action(name: "dose") { params { param(name: "litres", property: "urn:tdm:aws:Property:Float32") }
      Publish { Request(topic: "$macro(${systemRuntime.deviceId}/dose)") { params { param(name: "l", property: "urn:tdm:aws:Property:Float32", value: "${litres.value}") } } } } } } }
"#;

/// Doses once.
pub const FLOW: &str = r#"
query Irrigate($valve: string!, $litres: Float64 = 2.5) @workflowType(id: "NS:Workflow:Irrigate") {
  steps { step(name: "water") { DeviceActivity(deviceModel: "NS:DeviceModel:Valve", deviceId: "${valve}") { dose(litres: "${litres}") } } } }
"#;

/// A probe, a valve and the flow.
pub const SYSTEM: &str = r#"
type Irrigation @systemType(id: "NS:System:Irrigation", description: "beds") {
  probe: Probe @thing(id: "NS:DeviceModel:Probe") valve: Valve @thing(id: "NS:DeviceModel:Valve")
  Irrigate: Flow @workflow(id: "NS:Workflow:Irrigate") }
"#;

/// Waters when the probe says dry.
pub const DEPLOYMENT: &str = r#"
query Bed @deployment(id: "NS:Deployment:Bed", systemId: "NS:System:Irrigation") {
  probe(deviceId: "probe-1") valve(deviceId: "valve-1")
  triggers { Dry { condition(expr: "devices[name == 'probe'].events[name == 'reading'].lastEvent.moisture < 10")
    action(expr: "ThingsGraph.startFlow('Irrigate', bindings[name == 'valve'].deviceId)") } } }
"#;
