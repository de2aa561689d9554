//! What one account learns of another: nothing.

use serde_json::{Value, json};

use crate::bench::{Bench, OTHER};

/// SEC-66: a resource that only another account has is answered word for word as one that nobody has, whatever is asked
/// of it.
#[tokio::test]
async fn foreign_resources_look_like_absent_ones() {
    let bench = Bench::new();
    let statement = json!({"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"});
    let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    for (operation, input) in [
        ("CreateThing", json!({"thingName": "foreign", "attributePayload": {"attributes": {"a": "b"}}})),
        ("CreateThingType", json!({"thingTypeName": "foreign"})),
        ("CreateThingGroup", json!({"thingGroupName": "foreign"})),
        ("CreatePolicy", json!({"policyName": "foreign", "policyDocument": document})),
    ] {
        bench.call_as(OTHER, operation, input).await.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    let certificate = bench.call_as(OTHER, "CreateKeysAndCertificate", json!({"setAsActive": true})).await.unwrap();
    let foreign_id = certificate["certificateId"].as_str().unwrap();
    let absent_id = "0".repeat(foreign_id.len());
    bench.ok("CreateThing", json!({"thingName": "own"})).await;

    let by = |member: &'static str| move |name: &str, _: &str| json!({member: name});
    type Ask = Box<dyn Fn(&str, &str) -> Value>;
    let asked: Vec<(&str, Ask)> = vec![
        ("DescribeThing", Box::new(by("thingName"))),
        ("UpdateThing", Box::new(by("thingName"))),
        ("DeleteThing", Box::new(by("thingName"))),
        ("ListThingPrincipals", Box::new(by("thingName"))),
        ("ListThingGroupsForThing", Box::new(by("thingName"))),
        ("DescribeThingType", Box::new(by("thingTypeName"))),
        ("DeprecateThingType", Box::new(by("thingTypeName"))),
        ("DeleteThingType", Box::new(by("thingTypeName"))),
        ("DescribeThingGroup", Box::new(by("thingGroupName"))),
        ("DeleteThingGroup", Box::new(by("thingGroupName"))),
        ("ListThingsInThingGroup", Box::new(by("thingGroupName"))),
        ("AddThingToThingGroup", Box::new(|name, _| json!({"thingGroupName": name, "thingName": "own"}))),
        ("GetPolicy", Box::new(by("policyName"))),
        ("DeletePolicy", Box::new(by("policyName"))),
        ("ListPolicyVersions", Box::new(by("policyName"))),
        ("ListTargetsForPolicy", Box::new(by("policyName"))),
        ("DescribeCertificate", Box::new(|_, id| json!({"certificateId": id}))),
        ("UpdateCertificate", Box::new(|_, id| json!({"certificateId": id, "newStatus": "INACTIVE"}))),
        ("DeleteCertificate", Box::new(|_, id| json!({"certificateId": id}))),
        ("CreateThing", Box::new(|name, _| json!({"thingName": "new", "thingTypeName": name}))),
    ];
    for (operation, ask) in asked {
        let foreign = bench.call(operation, ask("foreign", foreign_id)).await;
        let absent = bench.call(operation, ask("nowhere", &absent_id)).await;
        let told = |answer: &Result<Value, _>, name: &str, id: &str| {
            format!("{answer:?}").replace(name, "NAME").replace(id, "ID")
        };
        assert_eq!(
            told(&foreign, "foreign", foreign_id),
            told(&absent, "nowhere", &absent_id),
            "{operation} tells a foreign resource from an absent one"
        );
    }
    let things = bench.ok("ListThings", json!({})).await;
    assert_eq!(things["things"].as_array().map(Vec::len), Some(1), "{things}");
    let foreign = bench.call_as(OTHER, "DescribeThing", json!({"thingName": "foreign"})).await.unwrap();
    assert_eq!(foreign["version"], 1, "nothing that was tried changed it");
}
