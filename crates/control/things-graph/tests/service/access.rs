//! Who may do it: every operation asks before it answers, and tells nothing to those who may not (TG 11).

use marram_aws_api::{ServiceId, op};
use marram_identity::Principal;
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, DEPLOYMENT, ENTITIES, FLOW, OTHER, ROLE, SYSTEM, document, ns, urn};
use crate::deployments::prepared;

/// A valid request of every operation on what the tests set up.
fn requests() -> Vec<(&'static str, Value)> {
    let (flow, system, bed) = (urn("Workflow", "Irrigate"), urn("System", "Irrigation"), urn("Deployment", "Bed"));
    let arn = format!("arn:aws:iotthingsgraph:eu-local-1:{ACCOUNT}:Deployment/default/Bed");
    let (flow_id, system_id, bed_id) = (json!({ "id": flow }), json!({ "id": system }), json!({ "id": bed }));
    vec![
        ("UploadEntityDefinitions", json!({ "document": document(&ns(ENTITIES)) })),
        ("GetUploadStatus", json!({ "uploadId": "u" })),
        ("DescribeNamespace", json!({})),
        ("DeleteNamespace", json!({})),
        ("GetNamespaceDeletionStatus", json!({})),
        ("GetEntities", json!({ "ids": [urn("Device", "AcmeValve")] })),
        ("SearchEntities", json!({ "entityTypes": ["DEVICE"] })),
        ("CreateFlowTemplate", json!({ "definition": document(&ns(FLOW)) })),
        ("CreateSystemTemplate", json!({ "definition": document(&ns(SYSTEM)) })),
        ("UpdateFlowTemplate", json!({ "id": flow, "definition": document(&ns(FLOW)) })),
        ("UpdateSystemTemplate", json!({ "id": system, "definition": document(&ns(SYSTEM)) })),
        ("GetFlowTemplate", flow_id.clone()),
        ("GetSystemTemplate", system_id.clone()),
        ("GetFlowTemplateRevisions", flow_id.clone()),
        ("GetSystemTemplateRevisions", system_id.clone()),
        ("SearchFlowTemplates", json!({})),
        ("SearchSystemTemplates", json!({})),
        ("DeprecateFlowTemplate", flow_id.clone()),
        ("DeprecateSystemTemplate", system_id.clone()),
        ("DeleteFlowTemplate", flow_id),
        ("DeleteSystemTemplate", system_id),
        (
            "CreateSystemInstance",
            json!({ "definition": document(&ns(DEPLOYMENT)), "target": "CLOUD", "flowActionsRoleArn": ROLE }),
        ),
        ("GetSystemInstance", bed_id.clone()),
        ("SearchSystemInstances", json!({})),
        ("DeploySystemInstance", bed_id.clone()),
        ("UndeploySystemInstance", bed_id.clone()),
        ("DeleteSystemInstance", bed_id),
        ("SearchFlowExecutions", json!({ "systemInstanceId": bed })),
        ("ListFlowExecutionMessages", json!({ "flowExecutionId": "some_execution" })),
        ("AssociateEntityToThing", json!({ "thingName": "valve-1", "entityId": urn("Device", "AcmeValve") })),
        ("DissociateEntityFromThing", json!({ "thingName": "valve-1", "entityType": "DEVICE" })),
        ("SearchThings", json!({ "entityId": urn("Device", "AcmeValve") })),
        ("TagResource", json!({ "resourceArn": arn, "tags": [{ "key": "a", "value": "b" }] })),
        ("UntagResource", json!({ "resourceArn": arn, "tagKeys": ["a"] })),
        ("ListTagsForResource", json!({ "resourceArn": arn })),
    ]
}

/// TG 11.1: a principal without permissions is refused every operation, by its own action.
#[tokio::test]
async fn every_operation_asks() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    let requests = requests();
    assert_eq!(requests.len(), 35);
    for (operation, input) in requests {
        let nobody = Principal::service(ACCOUNT.parse().unwrap(), "nobody.example");
        let error = bench.call_by(nobody, operation, input).await.expect_err(operation);
        assert_eq!(error.code, "AccessDeniedException", "{operation}");
        let action = op("iotthingsgraph", operation).unwrap().iam_action;
        assert!(error.message.contains(&format!("not authorized to perform: {action}")), "{operation}: {error}");
    }
    assert_eq!(
        bench.ok("GetFlowTemplate", json!({ "id": urn("Workflow", "Irrigate") })).await["description"]["summary"]["revisionNumber"],
        1
    );
}

/// TG 11.4: another account sees and changes nothing of this one, in any field.
#[tokio::test]
async fn accounts_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let bench = prepared(dir.path()).await;
    let before = bench.ok("GetFlowTemplateRevisions", json!({ "id": urn("Workflow", "Irrigate") })).await;
    for (operation, input) in requests() {
        let answer = bench.call_as(OTHER, operation, input).await;
        match (operation, answer) {
            ("UploadEntityDefinitions" | "DeleteNamespace", Ok(_)) => {}
            (_, Ok(answer)) => {
                let text = answer.to_string();
                assert!(!text.contains(ACCOUNT), "{operation}: {text}");
            }
            (_, Err(error)) => assert_ne!(error.code, "InternalFailureException", "{operation}: {error}"),
        }
    }
    assert_eq!(bench.ok("GetFlowTemplateRevisions", json!({ "id": urn("Workflow", "Irrigate") })).await, before);
    bench.ok("GetEntities", json!({ "ids": [urn("Device", "AcmeValve")] })).await;
    let things = bench.pages("SearchThings", json!({ "entityId": urn("Device", "AcmeValve") }), "things", 5).await;
    assert_eq!(things.len(), 1);
}

/// TG 9: the operation table and the service agree on what there is.
#[test]
fn all_operations_are_known() {
    for (operation, _) in requests() {
        assert!(ServiceId::ThingsGraph.operation(operation).is_some(), "{operation}");
    }
}
