//! `GetEntities`, `SearchEntities`, associations (TG 9.2, 9.5, 7.8).

use serde_json::{Value, json};

use crate::bench::{Bench, ENTITIES, OTHER, document, ids, ns, urn};

/// TG 9.2, 1.1: definitions come back as written, in the order asked, public ones too; one missing refuses all.
#[tokio::test]
async fn entities_are_read_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.accepted(&ns(ENTITIES)).await;

    let asked = [urn("DEVICEMODEL", "valve"), "urn:tdm:aws/examples:deviceModel:Camera".to_owned()];
    let answer = bench.ok("GetEntities", json!({ "ids": asked })).await;
    let found = answer["descriptions"].as_array().unwrap();
    assert_eq!(found[0]["id"], urn("DeviceModel", "Valve"));
    assert_eq!(found[0]["type"], "DEVICE_MODEL");
    let arn = "arn:aws:iotthingsgraph:eu-local-1:100200300400:entity/default/DeviceModel/Valve";
    assert_eq!(found[0]["arn"], arn);
    assert!(found[0]["definition"]["text"].as_str().unwrap().starts_with("type ValveModel @deviceModel("));
    assert_eq!(found[1]["arn"], "arn:aws:iotthingsgraph:eu-local-1::entity/aws/examples/DeviceModel/Camera");

    let missing = bench.refused("GetEntities", json!({ "ids": [asked[0], urn("Device", "Nope")] }), "ResourceNotFound");
    assert!(missing.await.contains("Nope"));
    bench.refused("GetEntities", json!({ "ids": [urn("Workflow", "F")] }), "InvalidRequest").await;
    bench.refused("GetEntities", json!({ "ids": [asked[0]], "namespaceVersion": 9 }), "InvalidRequest").await;
    let foreign = bench.call_as(OTHER, "GetEntities", json!({ "ids": [asked[0]] })).await.unwrap_err();
    assert_eq!(foreign.code, "ResourceNotFoundException");
}

/// TG 9.1, 9.2: filters OR, values AND; both namespaces; stable pages.
#[tokio::test]
async fn entities_are_searched() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.accepted(&ns(ENTITIES)).await;
    let search = async |filters: Value, types: &[&str]| {
        let input = json!({ "entityTypes": types, "filters": filters });
        ids(&bench.pages("SearchEntities", input, "descriptions", 2).await)
    };
    let own = "eu-local-1/100200300400/default";
    let filter = |name: &str, value: Value| json!({ "name": name, "value": value });
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();

    assert_eq!(search(json!([filter("NAME", json!(["acme"]))]), &["DEVICE"]).await, set(&["AcmeProbe", "AcmeValve"]));
    assert_eq!(search(json!([filter("NAME", json!(["acme", "probe"]))]), &["DEVICE"]).await, set(&["AcmeProbe"]));
    let either = json!([filter("NAME", json!(["acmeprobe"])), filter("NAME", json!(["AcmeValve"]))]);
    assert_eq!(search(either, &["DEVICE"]).await, set(&["AcmeProbe", "AcmeValve"]));
    assert_eq!(
        search(json!([filter("NAMESPACE", json!([own]))]), &["DEVICE_MODEL", "STATE"]).await,
        set(&["Probe", "Valve"])
    );
    assert_eq!(search(json!([filter("NAMESPACE", json!(["eu-local-1/1002"]))]), &["DEVICE"]).await, set(&[]));
    assert_eq!(
        search(json!([filter("SEMANTIC_TYPE_PATH", json!(["Moisture"]))]), &["PROPERTY"]).await,
        set(&["moisture/percent"])
    );
    let referring = json!([filter("REFERENCED_ENTITY_ID", json!([urn("capability", "valve")]))]);
    assert_eq!(search(referring, &["DEVICE", "DEVICE_MODEL"]).await, set(&["AcmeValve", "Valve"]));
    let all = bench.pages("SearchEntities", json!({ "entityTypes": ["DEVICE_MODEL"] }), "descriptions", 3).await;
    let order: Vec<String> = all.iter().map(|one| one["id"].as_str().unwrap().to_lowercase()).collect();
    assert!(order.is_sorted() && ids(&all).contains("Camera") && ids(&all).contains("Valve"));

    bench.refused("SearchEntities", json!({ "entityTypes": [] }), "InvalidRequest").await;
    let first = bench.ok("SearchEntities", json!({ "entityTypes": ["DEVICE"], "maxResults": 1 })).await;
    let token = first["nextToken"].as_str().unwrap();
    // TG 9.1: a token is good for the question it was given for.
    let replays = [
        json!({ "entityTypes": ["STATE"], "maxResults": 1, "nextToken": token }),
        json!({ "entityTypes": ["DEVICE"], "maxResults": 1, "nextToken": format!("{token}A") }),
        json!({ "entityTypes": ["DEVICE"], "maxResults": 1, "nextToken": token.replacen('A', "B", 1) + "x" }),
    ];
    for replay in replays {
        bench.refused("SearchEntities", replay, "InvalidRequest").await;
    }
    let elsewhere = json!({ "entityTypes": ["DEVICE"], "maxResults": 1, "nextToken": token });
    assert_eq!(bench.call_as(OTHER, "SearchEntities", elsewhere).await.unwrap_err().code, "InvalidRequestException");
}

/// TG 7.8: one device per thing, found by device and by model; gone with the thing or by dissociation.
#[tokio::test]
async fn things_are_associated_with_devices() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    bench.accepted(&ns(ENTITIES)).await;
    for name in ["valve-1", "valve-2"] {
        bench.create_thing(name, json!({})).await;
        bench.ok("AssociateEntityToThing", json!({ "thingName": name, "entityId": urn("Device", "AcmeValve") })).await;
    }
    let found = async |entity: String| -> Vec<String> {
        let things = bench.pages("SearchThings", json!({ "entityId": entity }), "things", 1).await;
        things.iter().map(|thing| thing["thingName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found(urn("Device", "AcmeValve")).await, ["valve-1", "valve-2"]);
    assert_eq!(found(urn("DeviceModel", "Valve")).await, ["valve-1", "valve-2"]);
    assert!(found(urn("Device", "AcmeProbe")).await.is_empty());

    bench.ok("AssociateEntityToThing", json!({ "thingName": "valve-2", "entityId": urn("Device", "AcmeProbe") })).await;
    assert_eq!(found(urn("Device", "AcmeProbe")).await, ["valve-2"]);
    bench.ok("DissociateEntityFromThing", json!({ "thingName": "valve-1", "entityType": "DEVICE" })).await;
    assert!(found(urn("Device", "AcmeValve")).await.is_empty());

    let (again, no_type) = (("valve-1", "DEVICE"), ("valve-2", "STATE"));
    for ((thing, kind), code) in [(again, "ResourceNotFound"), (no_type, "InvalidRequest")] {
        bench.refused("DissociateEntityFromThing", json!({ "thingName": thing, "entityType": kind }), code).await;
    }
    for (thing, entity, code) in [
        ("valve-9", urn("Device", "AcmeValve"), "ResourceNotFound"),
        ("valve-1", urn("Device", "Nope"), "ResourceNotFound"),
        ("valve-1", urn("DeviceModel", "Valve"), "InvalidRequest"),
    ] {
        bench.refused("AssociateEntityToThing", json!({ "thingName": thing, "entityId": entity }), code).await;
    }
    bench.refused("SearchThings", json!({ "entityId": urn("Device", "Nope") }), "ResourceNotFound").await;
    bench.refused("SearchThings", json!({ "entityId": urn("State", "Probe") }), "InvalidRequest").await;
}

/// TG 8, 11.6: the public library is there before anything is uploaded, and nobody writes to it.
#[tokio::test]
async fn the_public_namespace_is_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path()).await;
    let found = bench.pages("SearchEntities", json!({ "entityTypes": ["SERVICE"] }), "descriptions", 10).await;
    assert!(ids(&found).contains("Rekognition"));
    let text = r#"type X @propertyType(id: "urn:tdm:aws:Property:Mine", dataType: int8) { ignore: void }"#;
    let status = bench.upload(json!({ "document": document(text) })).await;
    assert_eq!(status["uploadStatus"], "FAILED");
    assert!(status["failureReason"][0].as_str().unwrap().starts_with("TDM3001 1:"), "{status}");
}
