//! The target GREENGRASS: what is sent to a group of cores, what they report, the history they send up (TG 7.1 to 7.5, 6.10).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use marram_aws_api::ApiError;
use marram_broker::{FullAuthority, Interception, Interceptor, Message, Origin, Reply, Tenant};
use marram_flow::EventType;
use marram_flow_runtime::package::{self, DeploymentKey, Trust};
use marram_flow_runtime::replica::{Page, PageExecution, PageMessage, Report, Reported, ReportedState, VERSION};
use marram_identity::{BoxFuture, CallContext, CallError};
use marram_mqtt::{ClientId, QoS, ReasonCode, Topic};
use marram_store::Snapshot;
use marram_things_graph::{CoreTopics, FlowComponent, FlowTarget, GreengrassTarget, GroupMembers, Realm, Sent};
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, DEPLOYMENT, ns, urn};
use crate::deployments::{bed, prepared};

/// Greengrass as a list of what was sent, with one bucket and a key.
#[derive(Debug)]
struct Sends(Mutex<Vec<FlowComponent>>, Mutex<BTreeMap<String, Vec<u8>>>, DeploymentKey);

/// The bucket that is there.
const BUCKET: &str = "flows";

fn in_bucket(bucket: &str) -> Result<(), ApiError> {
    (bucket == BUCKET).then_some(()).ok_or_else(|| ApiError::new("NoSuchBucket", 404, "The bucket is not there"))
}

impl GreengrassTarget for Sends {
    fn resolve(&self, s: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<FlowTarget>, CallError> {
        GroupMembers.resolve(s, realm, name)
    }
    fn includes(&self, s: &Snapshot<'_>, realm: &Realm, resource: &str, thing: &str) -> Result<bool, CallError> {
        GroupMembers.includes(s, realm, resource, thing)
    }
    fn may_store(&self, _: &CallContext, bucket: &str, _: &str) -> Result<(), ApiError> {
        in_bucket(bucket)
    }
    fn store<'a>(
        &'a self,
        _: &'a CallContext,
        bucket: &'a str,
        key: &'a str,
        bytes: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        self.1.lock().unwrap().insert(key.to_owned(), bytes);
        Box::pin(std::future::ready(in_bucket(bucket)))
    }
    fn discard<'a>(&'a self, _: &'a CallContext, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        self.1.lock().unwrap().remove(key);
        Box::pin(std::future::ready(in_bucket(bucket)))
    }
    fn sign(&self, manifest: &[u8]) -> Value {
        json!({ "signed": manifest.len() })
    }
    fn sign_package(&self, message: &[u8]) -> Vec<u8> {
        self.2.sign(message)
    }
    fn send<'a>(
        &'a self,
        _: &'a CallContext,
        _: &'a FlowTarget,
        component: FlowComponent,
    ) -> BoxFuture<'a, Result<Option<Sent>, ApiError>> {
        let mut sends = self.0.lock().unwrap();
        sends.push(component);
        let number = sends.len().to_string();
        Box::pin(std::future::ready(Ok(Some(Sent { deployment_id: format!("d-{number}"), revision: number }))))
    }
}

impl Sends {
    /// The packages of the last deployment, by deployment URN.
    fn packages(&self) -> Vec<Value> {
        let sends = self.0.lock().unwrap();
        let value = sends.last().and_then(|sent| sent.value.clone()).unwrap_or_default();
        // Beside them stand the certificates of bound things.
        let packages = value.as_object().into_iter().flat_map(|packages| packages.values());
        packages.filter(|package| package["id"].is_string()).cloned().collect()
    }
}

#[derive(Default)]
struct Answers(Mutex<Vec<Message>>);

impl Reply for Answers {
    fn deliver(&self, message: Message) {
        self.0.lock().unwrap().push(message);
    }
    fn deliver_privately(&self, message: Message) {
        self.deliver(message);
    }
}

struct Cores {
    bench: Bench,
    sends: Arc<Sends>,
    topics: Arc<CoreTopics>,
    answers: Arc<Answers>,
}

impl Cores {
    /// `core-1` in `floor` below `building`; `core-2` in no group.
    async fn open(dir: &std::path::Path) -> Self {
        let bench = prepared(dir).await;
        let sends = Arc::new(Sends(Mutex::default(), Mutex::default(), DeploymentKey::generate().unwrap().0));
        bench.service.serve_greengrass(sends.clone());
        bench.registry_ok("CreateThingGroup", json!({ "thingGroupName": "building" })).await;
        let floor = json!({ "thingGroupName": "floor", "parentGroupName": "building" });
        bench.registry_ok("CreateThingGroup", floor).await;
        for core in ["core-1", "core-2"] {
            bench.create_thing(core, json!({})).await;
        }
        let member = json!({ "thingGroupName": "floor", "thingName": "core-1" });
        bench.registry_ok("AddThingToThingGroup", member).await;
        let topics = CoreTopics::start(bench.service.clone());
        Self { bench, sends, topics, answers: Arc::default() }
    }

    fn create(name: &str) -> Value {
        let text = ns(DEPLOYMENT).replace("Deployment:Bed", &format!("Deployment:{name}"));
        json!({ "definition": { "language": "GRAPHQL", "text": text }, "target": "GREENGRASS",
                "greengrassGroupName": "building", "s3BucketName": "flows" })
    }

    async fn publish(&self, thing: &str, family: &str, document: &impl serde::Serialize) {
        let topic = Topic::new(&format!("$aws/things/{thing}/thingsgraph/{family}")).unwrap();
        let message = Message::new(topic, serde_json::to_vec(document).unwrap()).with_qos(QoS::AtLeastOnce);
        let origin = Origin {
            client_id: ClientId::new(thing).unwrap(),
            authority: FullAuthority::new(Tenant::new(&format!("{ACCOUNT}/eu-local-1")), thing),
            reply: self.answers.clone(),
        };
        match self.topics.publish(origin, &message) {
            Interception::Pending(done) => assert_eq!(done.await, ReasonCode::SUCCESS),
            _ => panic!("{family} is not taken"),
        }
    }

    /// A core says what it has: everything that was sent last, in `state`.
    async fn report(&self, thing: &str, state: ReportedState) {
        let told = |package: Value| Reported {
            id: package["id"].as_str().unwrap().into(),
            sha256: package::claimed_hash(&package).unwrap().to_owned(),
            state,
            message: (state == ReportedState::Failed).then(|| "no such bus".to_owned()),
        };
        let deployments = self.sends.packages().into_iter().map(told).collect();
        let report = Report { version: VERSION, runtime_version: "1.0.0".to_owned(), deployments };
        self.publish(thing, "deployments", &report).await;
    }

    async fn summary(&self) -> Value {
        self.bench.ok("GetSystemInstance", bed()).await["description"]["summary"].clone()
    }
}

/// TG 7.5: nobody waits for the word of a core that is none of the target any more, whichever way it left and whether it left before the
/// undeployment or while it waited; of others it is told who they are. What such a core says later changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_is_gone_holds_nothing() {
    let member = json!({ "thingGroupName": "floor", "thingName": "core-1" });
    let ways: [(&str, Vec<(&str, Value)>); 4] = [
        ("taken out of its group", vec![("RemoveThingFromThingGroup", member.clone())]),
        ("its thing deleted", vec![("DeleteThing", json!({ "thingName": "core-1" }))]),
        ("its group deleted", vec![("DeleteThingGroup", json!({ "thingGroupName": "floor" }))]),
        (
            "all groups deleted",
            vec![
                ("DeleteThingGroup", json!({ "thingGroupName": "floor" })),
                ("DeleteThingGroup", json!({ "thingGroupName": "building" })),
            ],
        ),
    ];
    for (way, calls) in ways {
        for leaves_first in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let cores = Cores::open(dir.path()).await;
            cores.bench.ok("CreateSystemInstance", Cores::create("Bed")).await;
            cores.bench.ok("DeploySystemInstance", bed()).await;
            cores.report("core-1", ReportedState::Deployed).await;
            let package = cores.sends.packages().remove(0);
            if !leaves_first {
                let undeployed = cores.bench.ok("UndeploySystemInstance", bed()).await;
                assert_eq!(undeployed["summary"]["status"], "PENDING_DELETE", "{way}");
                let refused = cores.bench.refused("DeleteSystemInstance", bed(), "ResourceInUse").await;
                assert!(refused.contains("until core-1 told"), "{way}: {refused}");
            }
            for (operation, input) in &calls {
                cores.bench.registry_ok(operation, input.clone()).await;
            }
            if leaves_first {
                assert_eq!(cores.summary().await["status"], "DEPLOYED_IN_TARGET", "{way}");
                cores.bench.ok("UndeploySystemInstance", bed()).await;
            }
            assert_eq!(cores.summary().await["status"], "DELETED_IN_TARGET", "{way}, first {leaves_first}");
            let still = Reported {
                id: package["id"].as_str().unwrap().into(),
                sha256: package::claimed_hash(&package).unwrap().to_owned(),
                state: ReportedState::Deployed,
                message: None,
            };
            let report = Report { version: VERSION, runtime_version: "1.0.0".to_owned(), deployments: vec![still] };
            cores.publish("core-1", "deployments", &report).await;
            assert_eq!(cores.summary().await["status"], "DELETED_IN_TARGET", "{way}");
            cores.bench.ok("DeleteSystemInstance", bed()).await;
        }
    }
}

/// TG 7.5: a core device that was deleted has nothing to confirm, though its thing is still in the group; a second core has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_core_device_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cores = Cores::open(dir.path()).await;
    let member = json!({ "thingGroupName": "floor", "thingName": "core-2" });
    cores.bench.registry_ok("AddThingToThingGroup", member).await;
    cores.bench.ok("CreateSystemInstance", Cores::create("Bed")).await;
    cores.bench.ok("DeploySystemInstance", bed()).await;
    for core in ["core-1", "core-2"] {
        cores.report(core, ReportedState::Deployed).await;
    }
    assert_eq!(cores.bench.ok("UndeploySystemInstance", bed()).await["summary"]["status"], "PENDING_DELETE");
    for (core, status) in [("core-1", "PENDING_DELETE"), ("core-2", "DELETED_IN_TARGET")] {
        cores.bench.delete_core(core).await;
        assert_eq!(cores.summary().await["status"], status, "{core}");
    }
}

/// TG 7.5: NOT_DEPLOYED, DEPLOY_IN_PROGRESS until a core of the group speaks, DEPLOYED_IN_TARGET, FAILED by its word,
/// PENDING_DELETE until it is gone, DELETED_IN_TARGET; what other cores say changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cores_word_moves_the_status() {
    let dir = tempfile::tempdir().unwrap();
    let cores = Cores::open(dir.path()).await;
    let made = cores.bench.ok("CreateSystemInstance", Cores::create("Bed")).await["summary"].clone();
    assert_eq!((&made["status"], &made["target"]), (&json!("NOT_DEPLOYED"), &json!("GREENGRASS")));
    assert_eq!(made["greengrassGroupName"], "building");

    let deployed = cores.bench.ok("DeploySystemInstance", bed()).await;
    assert_eq!(deployed["greengrassDeploymentId"], "d-1");
    assert_eq!(deployed["summary"]["status"], "DEPLOY_IN_PROGRESS");
    assert_eq!(deployed["summary"]["greengrassGroupVersionId"], "1");
    assert!(deployed["summary"]["greengrassGroupId"].is_string());
    assert!(cores.bench.runtime.deployments().is_empty(), "nothing runs in the control plane");
    cores.bench.refused("DeploySystemInstance", bed(), "ResourceInUse").await;
    cores.bench.refused("DeleteSystemInstance", bed(), "ResourceInUse").await;
    let packages = cores.sends.packages();
    let opened = package::open(&packages[0], &Trust::Signed(vec![cores.sends.2.public()])).unwrap();
    assert_eq!(opened.id(), &urn("Deployment", "Bed"));
    assert_eq!(opened.principal.role_arn, None);

    cores.report("core-2", ReportedState::Deployed).await;
    assert_eq!(cores.summary().await["status"], "DEPLOY_IN_PROGRESS", "core-2 is no core of the group");
    cores.report("core-1", ReportedState::Failed).await;
    assert_eq!(cores.summary().await["status"], "FAILED");
    cores.bench.refused("DeleteSystemInstance", bed(), "ResourceInUse").await;
    cores.report("core-1", ReportedState::Deployed).await;
    assert_eq!(cores.summary().await["status"], "DEPLOYED_IN_TARGET");
    let filters = json!({ "filters": [{ "name": "GREENGRASS_GROUP_NAME", "value": ["building"] }] });
    assert_eq!(cores.bench.ok("SearchSystemInstances", filters).await["summaries"].as_array().unwrap().len(), 1);

    // Nothing changed since the snapshot: no core has anything to do, and none will speak again.
    let again = cores.bench.ok("DeploySystemInstance", bed()).await;
    assert_eq!(again["greengrassDeploymentId"], "d-2");
    assert_eq!(again["summary"]["status"], "DEPLOYED_IN_TARGET", "core-1 said that it has it");

    let undeployed = cores.bench.ok("UndeploySystemInstance", bed()).await;
    assert_eq!(undeployed["summary"]["status"], "PENDING_DELETE");
    cores.bench.refused("DeploySystemInstance", bed(), "ResourceInUse").await;
    assert!(cores.sends.packages().is_empty());
    cores.report("core-1", ReportedState::Deployed).await;
    assert_eq!(cores.summary().await["status"], "DELETED_IN_TARGET");
    cores.bench.ok("DeleteSystemInstance", bed()).await;
}

/// TG 7.4: bound things bring the ids of their active certificates along, so that a core lets them in without a line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bound_things_bring_their_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let cores = Cores::open(dir.path()).await;
    let mut ids = Vec::new();
    for is_active in [true, false] {
        let made = cores.bench.registry_ok("CreateKeysAndCertificate", json!({ "setAsActive": is_active })).await;
        let input = json!({ "thingName": "valve-1", "principal": made["certificateArn"] });
        cores.bench.registry_ok("AttachThingPrincipal", input).await;
        ids.push(made["certificateId"].clone());
    }
    cores.bench.ok("CreateSystemInstance", Cores::create("Bed")).await;
    cores.bench.ok("DeploySystemInstance", bed()).await;
    let sent = cores.sends.0.lock().unwrap().last().unwrap().value.clone().unwrap();
    assert_eq!(sent["devices"], json!({ "valve-1": [ids[0]] }));
}

/// TG 7.3, 7.4: several instances of a group live side by side; undeploying one leaves the other and its artifact. TG 7.5: a core that is away
/// does not hold up an undeploy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_a_group_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let cores = Cores::open(dir.path()).await;
    let other = json!({ "id": urn("Deployment", "Other") });
    for (name, id) in [("Bed", bed()), ("Other", other.clone())] {
        cores.bench.ok("CreateSystemInstance", Cores::create(name)).await;
        cores.bench.ok("DeploySystemInstance", id).await;
    }
    assert_eq!(cores.sends.packages().len(), 2);
    // Both have the same flow, and so the same object.
    let stored = || cores.sends.1.lock().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(stored(), ["flow-Irrigate.tar.gz"]);
    assert_eq!(cores.sends.0.lock().unwrap()[1].member, "thinggroup/building");
    let gone = cores.bench.ok("UndeploySystemInstance", bed()).await;
    assert_eq!(gone["summary"]["status"], "DELETED_IN_TARGET", "no core ever had it");
    let left = cores.sends.packages();
    assert_eq!((left.len(), &left[0]["id"]), (1, &json!(urn("Deployment", "Other"))));
    assert_eq!(stored(), ["flow-Irrigate.tar.gz"], "it is the other one's");
    cores.bench.ok("UndeploySystemInstance", other).await;
    assert!(stored().is_empty());

    let mut wrong = Cores::create("Third");
    wrong["greengrassGroupName"] = json!("attic");
    let message = cores.bench.refused("CreateSystemInstance", wrong, "InvalidRequest").await;
    assert!(message.contains("attic"), "{message}");
    let mut wrong = Cores::create("Third");
    wrong["s3BucketName"] = json!("cellar");
    let message = cores.bench.refused("CreateSystemInstance", wrong, "InvalidRequest").await;
    assert!(message.contains("bucket cellar cannot be written"), "{message}");
}

/// TG 6.10: pages are stored once, whatever comes twice; the execution is terminal with its last message; a core adds
/// nothing to deployments that are not its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_of_cores_is_found_with_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let cores = Cores::open(dir.path()).await;
    cores.bench.ok("CreateSystemInstance", Cores::create("Bed")).await;
    cores.bench.ok("DeploySystemInstance", bed()).await;
    let run = urn("Workflow", "Irrigate_run-1");
    let page = |from: u64, events: &[EventType]| Page {
        version: VERSION,
        stream: "s".to_owned(),
        through: from + events.len() as u64 - 1,
        dropped: 0,
        executions: vec![PageExecution {
            id: run.as_str().into(),
            deployment: urn("Deployment", "Bed").into(),
            flow: urn("Workflow", "Irrigate").into(),
            created_at: 1_800_000_000_000,
        }],
        messages: events
            .iter()
            .zip(from..)
            .map(|(event, seq)| PageMessage {
                execution: 0,
                seq,
                event_type: *event,
                at: 1_800_000_000_000 + seq as i64,
                payload: "{}".to_owned(),
            })
            .collect(),
    };
    let search = json!({ "systemInstanceId": urn("Deployment", "Bed") });
    cores.publish("core-2", "history", &page(1, &[EventType::ExecutionStarted])).await;
    let found = cores.bench.ok("SearchFlowExecutions", search.clone()).await;
    assert!(found["summaries"].as_array().unwrap().is_empty(), "core-2 is no core of the group");

    let begin = page(1, &[EventType::ExecutionStarted, EventType::StepStarted]);
    let end = page(3, &[EventType::StepSucceeded, EventType::ExecutionSucceeded]);
    for page in [&begin, &begin, &end, &begin] {
        cores.publish("core-1", "history", page).await;
    }
    let found = cores.bench.ok("SearchFlowExecutions", search).await;
    assert_eq!(found["summaries"].as_array().unwrap().len(), 1);
    assert_eq!(found["summaries"][0]["status"], "SUCCEEDED");
    let input = json!({ "flowExecutionId": run });
    let messages = cores.bench.pages("ListFlowExecutionMessages", input, "messages", 3).await;
    let ids: Vec<&str> = messages.iter().map(|message| message["messageId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "2", "3", "4"]);
    let answers = cores.answers.0.lock().unwrap();
    let through: Vec<Value> = answers
        .iter()
        .map(|answer| serde_json::from_slice::<Value>(&answer.payload).unwrap()["through"].clone())
        .collect();
    assert_eq!(through, [1, 2, 2, 4, 2]);
    assert_eq!(&*answers[1].topic, "$aws/things/core-1/thingsgraph/history/accepted");
}
