//! System instances, their runs, their tags (TG 7, 9.4, 9.5).

use std::path::Path;

use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, DEPLOYMENT, ENTITIES, FLOW, ROLE, SYSTEM, document, ids, ns, urn};

/// Everything a deployment needs, short of the deployment.
pub async fn prepared(dir: &Path) -> Bench {
    let bench = Bench::open(dir).await;
    bench.accepted(&ns(ENTITIES)).await;
    bench.ok("CreateFlowTemplate", json!({ "definition": document(&ns(FLOW)) })).await;
    bench.ok("CreateSystemTemplate", json!({ "definition": document(&ns(SYSTEM)) })).await;
    for (thing, device) in [("probe-1", "AcmeProbe"), ("valve-1", "AcmeValve")] {
        bench.create_thing(thing, json!({})).await;
        bench.ok("AssociateEntityToThing", json!({ "thingName": thing, "entityId": urn("Device", device) })).await;
    }
    bench
}

pub fn create(text: &str) -> Value {
    json!({ "definition": document(text), "target": "CLOUD", "flowActionsRoleArn": ROLE })
}

pub fn bed() -> Value {
    json!({ "id": urn("Deployment", "Bed") })
}

async fn status(bench: &Bench) -> String {
    let found = bench.ok("GetSystemInstance", bed()).await;
    found["description"]["summary"]["status"].as_str().unwrap().to_owned()
}

/// TG 7.5, 7.9, 6.9: created, deployed, triggered by a message, run, traced, undeployed, forgotten; its history stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_runs_from_message_to_request() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    let mut input = create(&ns(DEPLOYMENT));
    input["tags"] = json!([{ "key": "site", "value": "north" }]);
    input["metricsConfiguration"] = json!({ "cloudMetricEnabled": true });
    let made = bench.ok("CreateSystemInstance", input.clone()).await["summary"].clone();
    let arn = format!("arn:aws:iotthingsgraph:eu-local-1:{ACCOUNT}:Deployment/default/Bed");
    assert_eq!(
        (&made["status"], &made["arn"], &made["target"]),
        (&json!("NOT_DEPLOYED"), &json!(arn), &json!("CLOUD"))
    );
    bench.refused("CreateSystemInstance", input, "ResourceAlreadyExists").await;
    bench.refused("UndeploySystemInstance", bed(), "InvalidRequest").await;
    assert_eq!(bench.wire.send("probe-1/reading", "{}"), 0, "not armed before it is deployed");

    let deployed = bench.ok("DeploySystemInstance", bed()).await;
    assert_eq!(deployed["summary"]["status"], "DEPLOYED_IN_TARGET");
    let description = bench.ok("GetSystemInstance", bed()).await["description"].clone();
    assert_eq!(description["definition"]["text"], ns(DEPLOYMENT));
    assert_eq!(description["flowActionsRoleArn"], ROLE);
    assert_eq!(description["metricsConfiguration"], json!({ "cloudMetricEnabled": true }));
    assert_eq!(description["validatedNamespaceVersion"], 1);
    let revisions = json!([
        { "id": urn("System", "Irrigation"), "revisionNumber": 1 },
        { "id": urn("Workflow", "Irrigate"), "revisionNumber": 1 },
    ]);
    assert_eq!(description["validatedDependencyRevisions"], revisions);

    // The device calls its field `m`; the flow reads `moisture` (TG 10.2). The first message is too wet.
    assert_eq!(bench.wire.send("probe-1/reading", r#"{"m": 40}"#), 1);
    bench.wire.send("probe-1/reading", r#"{"m": 4}"#);
    bench.until(|| async { (!bench.wire.published.lock().unwrap().is_empty()).then_some(()) }).await;
    assert_eq!(*bench.wire.published.lock().unwrap(), [("valve-1/dose".to_owned(), r#"{"l":2.5}"#.to_owned())]);

    let search = json!({ "systemInstanceId": urn("deployment", "bed") });
    let run = bench
        .until(|| async {
            let found = bench.ok("SearchFlowExecutions", search.clone()).await;
            found["summaries"].as_array().unwrap().iter().find(|run| run["status"] == "SUCCEEDED").cloned()
        })
        .await;
    assert_eq!(run["systemInstanceId"], urn("Deployment", "Bed"));
    assert_eq!(run["flowTemplateId"], urn("Workflow", "Irrigate"));
    let id = run["flowExecutionId"].as_str().unwrap();
    assert!(id.starts_with(&urn("Workflow", "Irrigate_")) && id.contains("_Dry_"), "{id}");
    let messages = bench.pages("ListFlowExecutionMessages", json!({ "flowExecutionId": id }), "messages", 3).await;
    assert_eq!(messages.last().unwrap()["eventType"], "EXECUTION_SUCCEEDED");
    let by_id = json!({ "systemInstanceId": urn("Deployment", "Bed"), "flowExecutionId": id });
    assert_eq!(bench.ok("SearchFlowExecutions", by_id).await["summaries"].as_array().unwrap().len(), 1);
    let future = json!({ "systemInstanceId": urn("Deployment", "Bed"), "startTime": 4_000_000_000.0 });
    assert!(bench.ok("SearchFlowExecutions", future).await["summaries"].as_array().unwrap().is_empty());
    bench.refused("ListFlowExecutionMessages", json!({ "flowExecutionId": "no_such" }), "ResourceNotFound").await;
    let unknown = json!({ "systemInstanceId": urn("Deployment", "Other") });
    bench.refused("SearchFlowExecutions", unknown, "ResourceNotFound").await;

    bench.refused("DeleteSystemInstance", bed(), "ResourceInUse").await;
    let undeployed = bench.ok("UndeploySystemInstance", bed()).await;
    assert_eq!(undeployed["summary"]["status"], "DELETED_IN_TARGET");
    assert_eq!(bench.wire.send("probe-1/reading", r#"{"m": 4}"#), 0);
    bench.ok("DeleteSystemInstance", bed()).await;
    bench.ok("DeleteSystemInstance", bed()).await;
    bench.refused("GetSystemInstance", bed(), "ResourceNotFound").await;
    for operation in ["DeploySystemInstance", "UndeploySystemInstance"] {
        bench.refused(operation, bed(), "ResourceNotFound").await;
        bench.refused(operation, json!({}), "InvalidRequest").await;
    }
    assert_eq!(bench.ok("SearchFlowExecutions", search).await["summaries"].as_array().unwrap().len(), 1);
}

/// TG 7.2, 7.1, 2.5: what a deployment is refused for, each with its code; nothing is stored.
#[tokio::test]
async fn wrong_deployments_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    let text = ns(DEPLOYMENT);
    let table = [
        (text.replace("valve(deviceId: \"valve-1\")", ""), "TDM5001"),
        (text.replace("valve-1", "valve-9"), "TDM5002"),
        (text.replace("deviceId: \"valve-1\"", "deviceId: \"probe-1\""), "TDM5002"),
        (text.replace("condition(", "conditions("), "TDM5003"),
        (text.replace("'Irrigate'", "'Flood'"), "TDM5004"),
        (text.replace("System:Irrigation", "System:Other"), "TDM3004"),
        (text.replace("lastEvent.moisture < 10", "lastEvent.moisture <"), "TDM3018"),
        (text.replace("query Bed", "query Bed @deployment(id: \"x\") query Bed"), "TDM"),
        (text.replace("systemId", "namespaceVersion: 7, systemId"), "namespace version 7"),
    ];
    for (text, code) in table {
        let message = bench.refused("CreateSystemInstance", create(&text), "InvalidRequest").await;
        assert!(message.contains(code), "{code}: {message}");
    }
    let untrusted = json!({ "definition": document(&text), "target": "CLOUD",
                            "flowActionsRoleArn": "arn:aws:iam::100200300400:role/other" });
    assert!(bench.refused("CreateSystemInstance", untrusted, "InvalidRequest").await.contains("trust"));
    let no_role = json!({ "definition": document(&text), "target": "CLOUD" });
    assert!(bench.refused("CreateSystemInstance", no_role, "InvalidRequest").await.contains("flowActionsRoleArn"));
    let no_group = json!({ "definition": document(&text), "target": "GREENGRASS", "s3BucketName": "b" });
    assert!(bench.refused("CreateSystemInstance", no_group, "InvalidRequest").await.contains("greengrassGroupName"));
    let edge = json!({ "definition": document(&text), "target": "GREENGRASS",
                       "s3BucketName": "b", "greengrassGroupName": "g" });
    assert!(bench.refused("CreateSystemInstance", edge, "InvalidRequest").await.contains("not available"));
    assert!(bench.pages("SearchSystemInstances", json!({}), "summaries", 5).await.is_empty());
}

/// TG 7.6: a running deployment is untouched by updates; a redeploy takes the current revisions or changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_frozen_until_redeployed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    bench.ok("CreateSystemInstance", create(&ns(DEPLOYMENT))).await;
    bench.ok("DeploySystemInstance", bed()).await;
    let doubled = ns(FLOW).replace("2.5", "5.0");
    bench
        .ok("UpdateFlowTemplate", json!({ "id": urn("Workflow", "Irrigate"), "definition": document(&doubled) }))
        .await;

    let dose = async |wanted: &str| {
        bench.wire.published.lock().unwrap().clear();
        assert_eq!(bench.wire.send("probe-1/reading", r#"{"moisture": 4}"#), 1);
        bench.until(|| async { bench.wire.published.lock().unwrap().first().cloned() }).await;
        assert_eq!(bench.wire.published.lock().unwrap()[0].1, wanted);
    };
    dose(r#"{"l":2.5}"#).await;
    bench.ok("DeploySystemInstance", bed()).await;
    dose(r#"{"l":5.0}"#).await;
    let found = bench.ok("GetSystemInstance", bed()).await;
    assert_eq!(found["description"]["validatedDependencyRevisions"][1]["revisionNumber"], 2);

    bench.ok("DeprecateFlowTemplate", json!({ "id": urn("Workflow", "Irrigate") })).await;
    let message = bench.refused("DeploySystemInstance", bed(), "InvalidRequest").await;
    assert!(message.contains("TDM5005"), "{message}");
    assert_eq!(status(&bench).await, "DEPLOYED_IN_TARGET");
    dose(r#"{"l":5.0}"#).await;

    // TG 8: with flow and system gone the namespace may go too; what is deployed keeps running.
    bench.ok("DeleteFlowTemplate", json!({ "id": urn("Workflow", "Irrigate") })).await;
    let system = json!({ "id": urn("System", "Irrigation") });
    bench.ok("DeprecateSystemTemplate", system.clone()).await;
    bench.ok("DeleteSystemTemplate", system).await;
    bench.ok("DeleteNamespace", json!({})).await;
    bench
        .until(|| async {
            let status = bench.ok("GetNamespaceDeletionStatus", json!({})).await;
            (status["status"] == "SUCCEEDED").then_some(())
        })
        .await;
    dose(r#"{"l":5.0}"#).await;
    bench.ok("UndeploySystemInstance", bed()).await;
    bench.ok("DeleteSystemInstance", bed()).await;
}

/// TG 9.4, 9.1: search by system and status; values AND, filters OR.
#[tokio::test]
async fn deployments_are_searched() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    for name in ["A", "B", "C"] {
        let text = ns(DEPLOYMENT).replace("Deployment:Bed", &format!("Deployment:{name}"));
        bench.ok("CreateSystemInstance", create(&text)).await;
    }
    bench.ok("DeploySystemInstance", json!({ "id": urn("Deployment", "B") })).await;
    let search = async |filters: Value| {
        ids(&bench.pages("SearchSystemInstances", json!({ "filters": filters }), "summaries", 2).await)
            .into_iter()
            .collect::<String>()
    };
    let filter = |name: &str, values: &[&str]| json!({ "name": name, "value": values });
    let system = urn("System", "irrigation");
    assert_eq!(search(json!([])).await, "ABC");
    assert_eq!(search(json!([filter("SYSTEM_TEMPLATE_ID", &[&system])])).await, "ABC");
    assert_eq!(search(json!([filter("STATUS", &["DEPLOYED_IN_TARGET"])])).await, "B");
    assert_eq!(search(json!([filter("STATUS", &["DEPLOYED_IN_TARGET", "NOT_DEPLOYED"])])).await, "");
    let either = json!([filter("STATUS", &["DEPLOYED_IN_TARGET"]), filter("STATUS", &["NOT_DEPLOYED"])]);
    assert_eq!(search(either).await, "ABC");
    assert_eq!(search(json!([filter("GREENGRASS_GROUP_NAME", &["g"])])).await, "");
}

/// TG 9.5, CP 10.1: tags exist on deployments only and go with them.
#[tokio::test]
async fn deployments_are_tagged() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    let mut input = create(&ns(DEPLOYMENT));
    input["tags"] = json!([{ "key": "site", "value": "north" }, { "key": "Site", "value": "South" }]);
    let arn = bench.ok("CreateSystemInstance", input.clone()).await["summary"]["arn"].clone();
    bench.ok("TagResource", json!({ "resourceArn": arn, "tags": [{ "key": "site", "value": "east" }] })).await;
    bench.ok("UntagResource", json!({ "resourceArn": arn, "tagKeys": ["Site", "absent"] })).await;
    let tags = async || bench.pages("ListTagsForResource", json!({ "resourceArn": arn }), "tags", 1).await;
    assert_eq!(tags().await, [json!({ "key": "site", "value": "east" })]);

    let flow = format!("arn:aws:iotthingsgraph:eu-local-1:{ACCOUNT}:Workflow/default/Irrigate");
    let foreign = "arn:aws:iotthingsgraph:eu-local-1:111111111111:Deployment/default/Bed";
    let unknown = format!("arn:aws:iotthingsgraph:eu-local-1:{ACCOUNT}:Deployment/default/Nope");
    for other in [flow.as_str(), foreign, &unknown, "arn:aws:s3:::b"] {
        bench.refused("ListTagsForResource", json!({ "resourceArn": other }), "InvalidRequest").await;
        let tag = json!({ "resourceArn": other, "tags": [{ "key": "a", "value": "b" }] });
        bench.refused("TagResource", tag, "InvalidRequest").await;
        bench.refused("UntagResource", json!({ "resourceArn": other, "tagKeys": ["a"] }), "InvalidRequest").await;
    }
    let reserved = json!({ "resourceArn": arn, "tags": [{ "key": "AWS:x", "value": "b" }] });
    bench.refused("TagResource", reserved, "InvalidRequest").await;
    for number in 0..49 {
        let tag = json!({ "resourceArn": arn, "tags": [{ "key": format!("k{number}"), "value": "v" }] });
        bench.ok("TagResource", tag).await;
    }
    let one_more = json!({ "resourceArn": arn, "tags": [{ "key": "one more", "value": "v" }] });
    bench.refused("TagResource", one_more, "InvalidRequest").await;
    bench.ok("DeleteSystemInstance", bed()).await;
    bench.ok("CreateSystemInstance", create(&ns(DEPLOYMENT))).await;
    assert!(tags().await.is_empty());
}

/// TG 11.1: executions started and aborted by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_are_started_and_aborted_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    bench.ok("CreateSystemInstance", create(&ns(DEPLOYMENT))).await;
    let operation = marram_aws_api::ServiceId::ThingsGraph.operation("DeploySystemInstance").unwrap();
    let root = || marram_identity::Principal::root(ACCOUNT.parse().unwrap(), "aws");
    let ctx = bench.context(root(), operation);
    let parameters = json!({ "valve": "valve-1", "litres": 7 }).as_object().unwrap().clone();
    let id = urn("Deployment", "Bed");
    let early = bench.service.start_flow_execution(&ctx, &id, "Irrigate", parameters.clone()).await.unwrap_err();
    assert_eq!(early.code, "InvalidRequestException");
    bench.ok("DeploySystemInstance", bed()).await;
    let wrong = bench.service.start_flow_execution(&ctx, &id, "Flood", parameters.clone()).await.unwrap_err();
    assert!(wrong.message.contains("TDM5004"), "{wrong}");
    let started = bench.service.start_flow_execution(&ctx, &id, "Irrigate", parameters).await.unwrap();
    let execution = started["flowExecutionId"].as_str().unwrap().to_owned();
    assert!(execution.contains("_Manual_"));
    bench
        .until(|| async {
            let by_id = json!({ "systemInstanceId": id, "flowExecutionId": execution });
            let found = bench.ok("SearchFlowExecutions", by_id).await;
            (found["summaries"][0]["status"] == "SUCCEEDED").then_some(())
        })
        .await;
    assert_eq!(bench.wire.published.lock().unwrap()[0].1, r#"{"l":7.0}"#);
    let over = bench.service.abort_flow_execution(&ctx, &execution).await.unwrap_err();
    assert_eq!(over.code, "InvalidRequestException");
    let unknown = bench.service.abort_flow_execution(&ctx, "nope").await.unwrap_err();
    assert_eq!(unknown.code, "ResourceNotFoundException");
}

/// TG 7.1: a Modbus device on CLOUD needs the registry to name its endpoint.
#[tokio::test]
async fn modbus_needs_an_endpoint() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let flow = ns(r#"query Ask($box: string!) @workflowType(id: "NS:Workflow:Ask") {
        variables { v @property(id: "urn:tdm:aws:Property:Boolean") }
        steps { step(name: "ask") { DeviceActivity(
            deviceModel: "urn:tdm:aws/examples/modbus/hwgroup/damocles2mini:DeviceModel:DamoclesMini",
            deviceId: "${box}", out: "v") { getOutput1Value } } } }"#);
    let system = ns(r#"type S @systemType(id: "NS:System:S") {
        box: Box @thing(id: "urn:tdm:aws/examples/modbus/hwgroup/damocles2mini:DeviceModel:DamoclesMini")
        Ask: Flow @workflow(id: "NS:Workflow:Ask") }"#);
    let deployment = |thing: &str| {
        ns(&format!(
            "query D @deployment(id: \"NS:Deployment:D\", systemId: \"NS:System:S\") {{ box(deviceId: \"{thing}\") }}"
        ))
    };
    bench.ok("CreateFlowTemplate", json!({ "definition": document(&flow) })).await;
    bench.ok("CreateSystemTemplate", json!({ "definition": document(&system) })).await;
    let device = "urn:tdm:aws/examples/modbus/hwgroup/damocles2mini:Device:ModbusDamoclesMini";
    for (thing, attributes) in [
        ("bare", json!({})),
        ("wrong", json!({ "modbusTcp": "nowhere" })),
        ("right", json!({ "modbusTcp": "127.0.0.1:1502" })),
    ] {
        bench.create_thing(thing, attributes).await;
        bench.ok("AssociateEntityToThing", json!({ "thingName": thing, "entityId": device })).await;
    }
    for thing in ["bare", "wrong"] {
        let message = bench.refused("CreateSystemInstance", create(&deployment(thing)), "InvalidRequest").await;
        assert!(message.contains("TDM5006"), "{message}");
    }
    bench.ok("CreateSystemInstance", create(&deployment("right"))).await;
    bench.ok("DeploySystemInstance", json!({ "id": urn("Deployment", "D") })).await;
}

/// TG 10.4: a CLOUD deployment whose flow calls a service over `http:` is refused with the step's place unless it says
/// `allowInsecureHttp`; private addresses stay refused all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unencrypted_services_need_leave() {
    const SERVICE: &str = r#"
type Ring @actionType(id: "NS:Action:Ring") { ignore: void }
type Bell @capabilityType(id: "NS:Capability:Bell") { ring: Ring @action(id: "NS:Action:Ring") hum: Ring @action(id: "NS:Action:Ring") }
query Bell @service(id: "NS:Service:Bell") { REST { Bell(id: "NS:Capability:Bell") {
  Action(name: "ring") { HttpGet { Request(url: "http://127.0.0.1:9/ring") } }
  Action(name: "hum") { HttpGet { Request(url: "https://127.0.0.1:9/hum") } } } } }
"#;
    const FLOW_RING: &str = r#"
query Irrigate($valve: string!) @workflowType(id: "NS:Workflow:Irrigate") {
  steps { step(name: "bell") { WebServiceActivity(webservice: "NS:Service:Bell") { ring } } } }
"#;
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    bench.accepted(&ns(SERVICE)).await;
    let flow = |text: &str| json!({ "id": urn("Workflow", "Irrigate"), "definition": document(&ns(text)) });
    bench.ok("UpdateFlowTemplate", flow(FLOW_RING)).await;
    let refused = bench.refused("CreateSystemInstance", create(&ns(DEPLOYMENT)), "InvalidRequest").await;
    for part in ["TDM5006", "step bell", "flow Irrigate", &urn("Service", "Bell"), "allowInsecureHttp"] {
        assert!(refused.contains(part), "{refused}");
    }
    bench.ok("UpdateFlowTemplate", flow(&FLOW_RING.replace("{ ring }", "{ hum }"))).await;
    bench.ok("CreateSystemInstance", create(&ns(DEPLOYMENT))).await;
    bench.ok("UpdateFlowTemplate", flow(FLOW_RING)).await;
    assert!(bench.refused("DeploySystemInstance", bed(), "InvalidRequest").await.contains("TDM5006"));
    bench.ok("DeleteSystemInstance", bed()).await;

    let said = |word: &str| ns(DEPLOYMENT).replace("systemId:", &format!("allowInsecureHttp: {word}, systemId:"));
    assert!(bench.refused("CreateSystemInstance", create(&said("false")), "InvalidRequest").await.contains("TDM5006"));
    assert!(bench.refused("CreateSystemInstance", create(&said("maybe")), "InvalidRequest").await.contains("TDM2001"));
    bench.ok("CreateSystemInstance", create(&said("true"))).await;
    bench.ok("DeploySystemInstance", bed()).await;
    bench.wire.send("probe-1/reading", r#"{"m": 4}"#);
    let search = json!({ "systemInstanceId": urn("Deployment", "Bed") });
    let run = bench
        .until(|| async {
            let found = bench.ok("SearchFlowExecutions", search.clone()).await;
            found["summaries"].as_array().unwrap().iter().find(|run| run["status"] == "FAILED").cloned()
        })
        .await;
    let messages = bench
        .pages("ListFlowExecutionMessages", json!({ "flowExecutionId": run["flowExecutionId"] }), "messages", 9)
        .await;
    assert!(messages.iter().any(|message| message.to_string().contains("TG.Permission")), "{messages:?}");
}
