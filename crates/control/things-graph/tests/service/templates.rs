//! Flow and system templates (TG 7.7, 9.3).

use marram_things_graph::Quotas;
use serde_json::json;

use crate::bench::{Bench, ENTITIES, FLOW, SYSTEM, document, ids, ns, urn};

/// TG 7.7, 9.3: the life of both kinds: create, update, read, list, search, deprecate, delete, again from revision 1.
#[tokio::test]
async fn templates_live_and_die() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.accepted(&ns(ENTITIES)).await;
    for (kind, metatype, name, text) in
        [("Flow", "Workflow", "Irrigate", ns(FLOW)), ("System", "System", "Irrigation", ns(SYSTEM))]
    {
        let op = |verb: &str, rest: &str| format!("{verb}{kind}Template{rest}");
        let id = json!({ "id": urn(metatype, name) });
        let made = bench.ok(&op("Create", ""), json!({ "definition": document(&text) })).await["summary"].clone();
        assert_eq!(made["id"], id["id"]);
        assert_eq!(made["arn"], format!("arn:aws:iotthingsgraph:eu-local-1:100200300400:{metatype}/default/{name}"));
        assert_eq!(made["revisionNumber"], 1);
        bench.refused(&op("Create", ""), json!({ "definition": document(&text) }), "ResourceAlreadyExists").await;

        bench.clock.advance(std::time::Duration::from_secs(5));
        let wrapped = format!("{{\n# second\n{text}}}");
        let other_case = urn(metatype, name).to_uppercase().replace("URN:TDM:EU-LOCAL-1", "urn:tdm:eu-local-1");
        let update = json!({ "id": other_case, "definition": document(&wrapped) });
        let updated = bench.ok(&op("Update", ""), update).await["summary"].clone();
        assert_eq!((&updated["revisionNumber"], &updated["createdAt"]), (&json!(2), &made["createdAt"]));
        let latest = bench.ok(&op("Get", ""), id.clone()).await["description"].clone();
        assert_eq!(latest["definition"]["text"], wrapped, "verbatim, wrapper included (TG 2.4)");
        assert_eq!(latest["validatedNamespaceVersion"], 1);
        let first = bench.ok(&op("Get", ""), json!({ "id": id["id"], "revisionNumber": 1 })).await;
        assert_eq!(first["description"]["definition"]["text"], text);
        let revisions = bench.pages(&op("Get", "Revisions"), id.clone(), "summaries", 1).await;
        let numbers: Vec<_> = revisions.iter().map(|one| one["revisionNumber"].as_i64().unwrap()).collect();
        assert_eq!(numbers, [2, 1]);
        assert!(revisions[0]["createdAt"].as_f64() > revisions[1]["createdAt"].as_f64());

        let beyond = json!({ "id": id["id"], "revisionNumber": 3 });
        bench.refused(&op("Get", ""), beyond, "ResourceNotFound").await;
        bench.refused(&op("Delete", ""), id.clone(), "InvalidRequest").await;
        let stranger = json!({ "id": urn(metatype, "Other"), "definition": document(&text) });
        bench.refused(&op("Update", ""), stranger, "ResourceNotFound").await;
        let wrong_type = json!({ "id": urn("Device", "AcmeValve") });
        bench.refused(&op("Get", ""), wrong_type, "InvalidRequest").await;
    }
    let by_model = json!({ "filters": [{ "name": "DEVICE_MODEL_ID", "value": [urn("devicemodel", "valve")] }] });
    assert_eq!(ids(&bench.pages("SearchFlowTemplates", by_model, "summaries", 1).await).len(), 1);
    let by_other = json!({ "filters": [{ "name": "DEVICE_MODEL_ID", "value": [urn("DeviceModel", "Probe")] }] });
    assert!(bench.pages("SearchFlowTemplates", by_other, "summaries", 1).await.is_empty());
    let by_flow = json!({ "filters": [{ "name": "FLOW_TEMPLATE_ID", "value": [urn("Workflow", "irrigate")] }] });
    assert_eq!(ids(&bench.pages("SearchSystemTemplates", by_flow, "summaries", 1).await).len(), 1);

    let flow = json!({ "id": urn("Workflow", "Irrigate") });
    bench.ok("DeprecateFlowTemplate", flow.clone()).await;
    bench.ok("DeprecateFlowTemplate", flow.clone()).await;
    let update = json!({ "id": flow["id"], "definition": document(&ns(FLOW)) });
    bench.refused("UpdateFlowTemplate", update, "InvalidRequest").await;
    bench.ok("GetFlowTemplateRevisions", flow.clone()).await;
    let update = json!({ "id": urn("System", "Irrigation"), "definition": document(&ns(SYSTEM)) });
    assert!(bench.refused("UpdateSystemTemplate", update, "InvalidRequest").await.contains("TDM5005"));
    bench.ok("DeleteFlowTemplate", flow.clone()).await;
    bench.ok("DeleteFlowTemplate", flow.clone()).await;
    bench.refused("GetFlowTemplate", flow.clone(), "ResourceNotFound").await;
    bench.refused("DeprecateFlowTemplate", flow, "ResourceNotFound").await;
    let again = bench.ok("CreateFlowTemplate", json!({ "definition": document(&ns(FLOW)) })).await;
    assert_eq!(again["summary"]["revisionNumber"], 1);
}

/// TG 2.5, 7.7: refusals carry every diagnostic, one a line; nothing is stored.
#[tokio::test]
async fn refused_documents_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.accepted(&ns(ENTITIES)).await;
    let table = [
        ("CreateFlowTemplate", ns(SYSTEM), "TDM2005"),
        ("CreateFlowTemplate", format!("{}{}", ns(FLOW), ns(SYSTEM)), "TDM2005"),
        ("CreateFlowTemplate", "{".repeat(100_000), "TDM"),
        ("CreateFlowTemplate", ns(FLOW).replace("dose(", "spill("), "TDM4005"),
        ("CreateFlowTemplate", ns(FLOW).replace("100200300400", "111111111111"), "TDM3001"),
        ("CreateFlowTemplate", ns(FLOW).replace("${litres}", "${litres"), "TDM3018"),
        ("CreateSystemTemplate", ns(SYSTEM), "TDM3004"),
    ];
    for (operation, text, code) in table {
        let message = bench.refused(operation, json!({ "definition": document(&text) }), "InvalidRequest").await;
        assert!(message.contains(code), "{code}: {message}");
    }
    let many = ns(FLOW).replace("deviceId: \"${valve}\"", "deviceId: \"${a + b + c}\"");
    let message = bench.refused("CreateFlowTemplate", json!({ "definition": document(&many) }), "InvalidRequest").await;
    assert!(message.lines().count() >= 3, "{message}");
    assert!(bench.pages("SearchFlowTemplates", json!({}), "summaries", 5).await.is_empty());
}

/// TG 7.7: the last hundred revisions are kept; TG 9.5: quotas, each with the error its operation lists.
#[tokio::test]
async fn revisions_and_quotas_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open_with(dir.path(), Quotas { flows: 1, systems: 0, ..Quotas::default() }).await;
    bench.accepted(&ns(ENTITIES)).await;
    bench.ok("CreateFlowTemplate", json!({ "definition": document(&ns(FLOW)) })).await;
    let second = ns(FLOW).replace("Workflow:Irrigate", "Workflow:Second");
    bench.refused("CreateFlowTemplate", json!({ "definition": document(&second) }), "LimitExceeded").await;
    bench.refused("CreateSystemTemplate", json!({ "definition": document(&ns(SYSTEM)) }), "InvalidRequest").await;
    for _ in 0..101 {
        let update = json!({ "id": urn("Workflow", "Irrigate"), "definition": document(&ns(FLOW)) });
        bench.ok("UpdateFlowTemplate", update).await;
    }
    let id = json!({ "id": urn("Workflow", "Irrigate") });
    let revisions = bench.pages("GetFlowTemplateRevisions", id, "summaries", 40).await;
    let numbers: Vec<i64> = revisions.iter().map(|one| one["revisionNumber"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (3..=102).rev().collect::<Vec<_>>());
}

/// TG 8: a pinned flow stays with its version, a floating one must compile against the latest.
#[tokio::test]
async fn compatible_versions_pin() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.accepted(&ns(ENTITIES)).await;
    let gone = bench.upload(json!({ "deprecateExistingEntities": true })).await;
    assert_eq!(gone["namespaceVersion"], 2);
    let floating = json!({ "definition": document(&ns(FLOW)) });
    assert!(bench.refused("CreateFlowTemplate", floating, "InvalidRequest").await.contains("TDM3004"));
    let pinned = json!({ "definition": document(&ns(FLOW)), "compatibleNamespaceVersion": 1 });
    bench.ok("CreateFlowTemplate", pinned).await;
    let found = bench.ok("GetFlowTemplate", json!({ "id": urn("Workflow", "Irrigate") })).await;
    assert_eq!(found["description"]["validatedNamespaceVersion"], 1);
    let unknown = json!({ "definition": document(&ns(FLOW)), "compatibleNamespaceVersion": 7 });
    bench.refused("CreateFlowTemplate", unknown, "InvalidRequest").await;
}
