//! Uploads, versions, deletion of the namespace (TG 8).

use marram_things_graph::Quotas;
use serde_json::{Value, json};

use crate::bench::{Bench, ENTITIES, FLOW, OTHER, document, ids, ns, urn};

/// TG 8: which uploads make a new version, and what old versions keep.
#[tokio::test]
async fn versions_count_changes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.refused("DescribeNamespace", json!({}), "ResourceNotFound").await;
    let level = |facets: &str| ns(&format!("type L @propertyType(id: \"NS:Property:L\", {facets}) {{ ignore: void }}"));

    assert_eq!(bench.accepted(&level("dataType: int8")).await, 1);
    assert_eq!(bench.accepted(&ns(ENTITIES)).await, 1, "adding keeps the number");
    let same = level("dataType: int8").replace("type L", "# a comment\n  TYPE   L").replace('"', "'");
    assert_eq!(bench.accepted(&same.replace("TYPE", "type")).await, 1, "the same in other words keeps the number");
    assert_eq!(bench.accepted(&level("dataType: int8, maxValue: 9")).await, 2, "a change makes a version");
    let text = async |version: i64| {
        let asked = json!({ "ids": [urn("Property", "L")], "namespaceVersion": version });
        bench.ok("GetEntities", asked).await["descriptions"][0]["definition"]["text"].as_str().unwrap().to_owned()
    };
    assert!(!text(1).await.contains("maxValue") && text(2).await.contains("maxValue"));

    let synced = bench.upload(json!({ "syncWithPublicNamespace": true })).await;
    assert_eq!(synced["namespaceVersion"], 3);
    let input = json!({ "deprecateExistingEntities": true, "document": document(&level("dataType: int16")) });
    assert_eq!(bench.upload(input).await["namespaceVersion"], 4);
    bench.refused("GetEntities", json!({ "ids": [urn("Device", "AcmeValve")] }), "ResourceNotFound").await;
    bench.ok("GetEntities", json!({ "ids": [urn("Device", "AcmeValve")], "namespaceVersion": 3 })).await;
    let own = json!({ "entityTypes": ["PROPERTY"], "filters": [{ "name": "NAMESPACE", "value": ["eu-local-1"] }] });
    assert_eq!(ids(&bench.pages("SearchEntities", own, "descriptions", 50).await), ["L".to_owned()].into());

    let namespace = bench.ok("DescribeNamespace", json!({})).await;
    assert_eq!(namespace["namespaceVersion"], 4);
    assert_eq!(namespace["trackingNamespaceName"], "aws");
    assert_eq!(namespace["namespaceArn"], "arn:aws:iotthingsgraph:eu-local-1:100200300400");
    let public = bench.ok("DescribeNamespace", json!({ "namespaceName": "aws" })).await;
    assert!(public.get("trackingNamespaceName").is_none() && public["namespaceVersion"].as_i64() >= Some(1));
    let foreign = json!({ "namespaceName": format!("eu-local-1/{OTHER}/default") });
    bench.refused("DescribeNamespace", foreign, "ResourceNotFound").await;
}

/// TG 8: all or nothing, every reason told with its place; a change that breaks an untouched entity names it.
#[tokio::test]
async fn refused_uploads_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.accepted(&ns(ENTITIES)).await;
    let before = bench.ok("DescribeNamespace", json!({})).await;

    let half = ns("type A @propertyType(id: \"NS:Property:A\", dataType: int8) { ignore: void }\n\
                   type B @propertyType(id: \"NS:Property:B\", dataType: nothing) { ignore: void }\n\
                   type C @eventType(id: \"NS:Event:C\", payload: \"NS:Property:Gone\") { ignore: void }");
    let status = bench.upload(json!({ "document": document(&half) })).await;
    assert_eq!(status["uploadStatus"], "FAILED");
    let reasons: Vec<&str> = status["failureReason"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    assert!(reasons.len() == 2 && reasons[1].starts_with("TDM3004 3:"), "{reasons:?}");
    assert!(status.get("namespaceVersion").is_none());

    let breaking =
        ns("type Probe @stateType(id: \"NS:State:Probe\") { wet: W @property(id: \"urn:tdm:aws:Property:Boolean\") }");
    let status = bench.upload(json!({ "document": document(&breaking) })).await;
    assert_eq!(status["uploadStatus"], "FAILED");
    assert!(status["failureReason"].to_string().contains("AcmeProbe"), "{status}");

    let flow = bench.upload(json!({ "document": document(&ns(FLOW)) })).await;
    assert!(flow["failureReason"][0].as_str().unwrap().starts_with("TDM2002"), "{flow}");

    assert_eq!(bench.ok("DescribeNamespace", json!({})).await, before);
    bench.refused("GetEntities", json!({ "ids": [urn("Property", "A")] }), "ResourceNotFound").await;
    bench.refused("UploadEntityDefinitions", json!({}), "InvalidRequest").await;
    bench.refused("GetUploadStatus", json!({ "uploadId": "nope" }), "ResourceNotFound").await;
}

/// TG 9.5: quotas of uploads in progress and of entities.
#[tokio::test]
async fn quotas_hold() {
    let dir = tempfile::tempdir().unwrap();
    let quotas = Quotas { uploads: 0, entities: 1, ..Quotas::default() };
    let bench = Bench::open_with(dir.path(), quotas).await;
    bench.refused("UploadEntityDefinitions", json!({ "syncWithPublicNamespace": true }), "InvalidRequest").await;
    bench.close().await;
    let bench = Bench::open_with(dir.path(), Quotas { uploads: 10, ..quotas }).await;
    let status = bench.upload(json!({ "document": document(&ns(ENTITIES)) })).await;
    assert!(status["failureReason"][0].as_str().unwrap().starts_with("TDM1005"), "{status}");
}

/// TG 8: uploads of one namespace take their turns; none is lost or doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_are_serialised() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let mut uploads = Vec::new();
    for number in 0..8 {
        let text =
            ns(&format!("type P @propertyType(id: \"NS:Property:P\", dataType: int32, maxValue: {number}) {{ }}"));
        uploads.push(
            bench.ok("UploadEntityDefinitions", json!({ "document": document(&text) })).await["uploadId"].clone(),
        );
    }
    let mut versions = Vec::new();
    for id in uploads {
        let done = bench.until(|| async {
            let status = bench.ok("GetUploadStatus", json!({ "uploadId": id })).await;
            (status["uploadStatus"] != "IN_PROGRESS").then_some(status)
        });
        versions.push(done.await["namespaceVersion"].as_i64().unwrap());
    }
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// TG 8: a namespace with a flow in it stays; without one it goes, with versions and associations, and starts again at 1.
#[tokio::test]
async fn the_namespace_is_deleted_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.refused("GetNamespaceDeletionStatus", json!({}), "InvalidRequest").await;
    bench.accepted(&ns(ENTITIES)).await;
    bench.create_thing("valve-1", json!({})).await;
    bench.ok("AssociateEntityToThing", json!({ "thingName": "valve-1", "entityId": urn("Device", "AcmeValve") })).await;
    bench.ok("CreateFlowTemplate", json!({ "definition": document(&ns(FLOW)) })).await;

    let deleted = async || -> Value {
        bench.ok("DeleteNamespace", json!({})).await;
        bench
            .until(|| async {
                let status = bench.ok("GetNamespaceDeletionStatus", json!({})).await;
                (status["status"] != "IN_PROGRESS").then_some(status)
            })
            .await
    };
    let status = deleted().await;
    assert_eq!((&status["status"], &status["errorCode"]), (&json!("FAILED"), &json!("VALIDATION_FAILED")));
    assert!(status["errorMessage"].as_str().unwrap().contains(&urn("Workflow", "Irrigate")));

    let id = json!({ "id": urn("Workflow", "Irrigate") });
    bench.ok("DeprecateFlowTemplate", id.clone()).await;
    bench.ok("DeleteFlowTemplate", id).await;
    assert_eq!(deleted().await["status"], "SUCCEEDED");
    bench.refused("DescribeNamespace", json!({}), "ResourceNotFound").await;
    bench.refused("GetEntities", json!({ "ids": [urn("Device", "AcmeValve")] }), "ResourceNotFound").await;
    assert_eq!(bench.accepted(&ns(ENTITIES)).await, 1);
    let things = bench.pages("SearchThings", json!({ "entityId": urn("Device", "AcmeValve") }), "things", 5).await;
    assert!(things.is_empty());
}
