//! Things, their attributes and principals (CP 4.4).

use serde_json::{Value, json};

use crate::bench::{Bench, OTHER};

fn arn(resource: &str) -> String {
    format!("arn:aws:iot:us-east-1:000000000000:{resource}")
}

async fn certificate(bench: &Bench) -> String {
    let answer = bench.ok("CreateKeysAndCertificate", json!({"setAsActive": true})).await;
    answer["certificateArn"].as_str().unwrap().to_owned()
}

/// CP 4.4: created once, described, repeated with the same configuration, refused with another.
#[tokio::test]
async fn a_thing_is_created_once() {
    let bench = Bench::new();
    let input = json!({"thingName": "press-7", "attributePayload": {"attributes": {"line": "4", "gone": ""}}});
    let created = bench.ok("CreateThing", input.clone()).await;
    assert_eq!(created["thingArn"], arn("thing/press-7"));
    assert_eq!(bench.ok("CreateThing", input).await, created);
    let described = bench.ok("DescribeThing", json!({"thingName": "press-7"})).await;
    assert_eq!(
        described,
        json!({
            "thingName": "press-7",
            "thingId": created["thingId"],
            "thingArn": arn("thing/press-7"),
            "defaultClientId": "press-7",
            "attributes": {"line": "4"},
            "version": 1,
        })
    );
    let error = bench.refused("CreateThing", json!({"thingName": "press-7"}), "ResourceAlreadyExistsException").await;
    assert_eq!(error.members["resourceId"], "press-7");
    assert_eq!(error.members["resourceArn"], arn("thing/press-7"));
    bench.refused("DescribeThing", json!({"thingName": "press-8"}), "ResourceNotFoundException").await;
    let other = bench.call_as(OTHER, "DescribeThing", json!({"thingName": "press-7"})).await.unwrap_err();
    assert_eq!(other.code, "ResourceNotFoundException", "another account sees nothing");
}

/// CP 4.1, 4.4: what cannot be created.
#[tokio::test]
async fn refused_things() {
    let bench = Bench::new();
    bench.ok("CreateThingType", json!({"thingTypeName": "old"})).await;
    bench.ok("DeprecateThingType", json!({"thingTypeName": "old"})).await;
    let attributes = |count: usize| {
        let map: serde_json::Map<String, Value> = (0..count).map(|n| (format!("a{n}"), json!("v"))).collect();
        json!({"attributes": map})
    };
    let cases = [
        (json!({"thingName": "a b"}), "InvalidRequestException"),
        (json!({"thingName": "a", "thingTypeName": "none"}), "ResourceNotFoundException"),
        (json!({"thingName": "a", "thingTypeName": "old"}), "InvalidRequestException"),
        (json!({"thingName": "a", "billingGroupName": "none"}), "ResourceNotFoundException"),
        (json!({"thingName": "a", "attributePayload": attributes(4)}), "InvalidRequestException"),
        (json!({"thingName": "a", "attributePayload": {"attributes": {"k k": "v"}}}), "InvalidRequestException"),
        (json!({"thingName": "a", "attributePayload": {"attributes": {"k": "v v"}}}), "InvalidRequestException"),
    ];
    for (input, code) in cases {
        bench.refused("CreateThing", input, code).await;
    }
    bench.ok("CreateThingType", json!({"thingTypeName": "new"})).await;
    let many = |count| json!({"thingName": "a", "thingTypeName": "new", "attributePayload": attributes(count)});
    bench.refused("CreateThing", many(51), "InvalidRequestException").await;
    bench.ok("CreateThing", many(50)).await;
}

/// CP 4.4: merge and replace, empty values remove, versions rise and guard.
#[tokio::test]
async fn updates_merge_replace_and_count() {
    let bench = Bench::new();
    bench.ok("CreateThing", json!({"thingName": "t", "attributePayload": {"attributes": {"a": "1", "b": "2"}}})).await;
    bench.ok("CreateThingType", json!({"thingTypeName": "kind"})).await;
    let steps = [
        (
            json!({"attributePayload": {"attributes": {"b": "3", "c": "4"}, "merge": true}}),
            json!({"a": "1", "b": "3", "c": "4"}),
        ),
        (json!({"attributePayload": {"attributes": {"a": ""}, "merge": true}}), json!({"b": "3", "c": "4"})),
        (json!({"thingTypeName": "kind"}), json!({"b": "3", "c": "4"})),
        (json!({"attributePayload": {"attributes": {"z": "9"}}, "expectedVersion": 4}), json!({"z": "9"})),
        (json!({"removeThingType": true}), json!({"z": "9"})),
    ];
    for (number, (mut input, attributes)) in steps.into_iter().enumerate() {
        input["thingName"] = "t".into();
        bench.ok("UpdateThing", input).await;
        let thing = bench.ok("DescribeThing", json!({"thingName": "t"})).await;
        assert_eq!(thing["attributes"], attributes, "step {number}");
        assert_eq!(thing["version"], number + 2);
        assert_eq!(thing.get("thingTypeName").is_some(), number == 2 || number == 3, "step {number}");
    }
    bench.refused("UpdateThing", json!({"thingName": "t", "expectedVersion": 5}), "VersionConflictException").await;
    bench.refused("UpdateThing", json!({"thingName": "u"}), "ResourceNotFoundException").await;
    let both = json!({"thingName": "t", "thingTypeName": "kind", "removeThingType": true});
    bench.refused("UpdateThing", both, "InvalidRequestException").await;
    assert_eq!(bench.ok("DescribeThing", json!({"thingName": "t"})).await["version"], 6, "a refusal changes nothing");
}

/// CP 4.4: deletion is idempotent, guarded by version and principals, and leaves groups.
#[tokio::test]
async fn things_are_deleted_when_nothing_holds_them() {
    let bench = Bench::new();
    bench.ok("DeleteThing", json!({"thingName": "never"})).await;
    bench.ok("CreateThing", json!({"thingName": "t", "attributePayload": {"attributes": {"a": "1"}}})).await;
    bench.ok("CreateThingGroup", json!({"thingGroupName": "g"})).await;
    bench.ok("AddThingToThingGroup", json!({"thingName": "t", "thingGroupName": "g"})).await;
    let principal = certificate(&bench).await;
    bench.ok("AttachThingPrincipal", json!({"thingName": "t", "principal": principal})).await;
    let error = bench.refused("DeleteThing", json!({"thingName": "t"}), "InvalidRequestException").await;
    assert_eq!(error.message, "Cannot delete. Thing t is still attached to one or more principals");
    bench.ok("DetachThingPrincipal", json!({"thingName": "t", "principal": principal})).await;
    bench.refused("DeleteThing", json!({"thingName": "t", "expectedVersion": 2}), "VersionConflictException").await;
    bench.ok("DeleteThing", json!({"thingName": "t", "expectedVersion": 1})).await;
    assert_eq!(bench.ok("ListThingsInThingGroup", json!({"thingGroupName": "g"})).await["things"], json!([]));
    assert_eq!(bench.ok("ListThings", json!({"attributeName": "a"})).await["things"], json!([]));
}

/// CP 4.4, 1.6: pages of every filter are complete, ordered, and end without a token.
#[tokio::test]
async fn lists_page_through_every_filter() {
    let bench = Bench::new();
    bench.ok("CreateThingType", json!({"thingTypeName": "pump"})).await;
    for number in 0..25 {
        let mut input = json!({
            "thingName": format!("t{number:02}"),
            "attributePayload": {"attributes": {"hall": format!("h{}", number % 3), "n": format!("{number}")}},
        });
        if number % 5 == 0 {
            input["thingTypeName"] = "pump".into();
        }
        bench.ok("CreateThing", input).await;
    }
    bench.call_as(OTHER, "CreateThing", json!({"thingName": "t03"})).await.unwrap();
    let names =
        |items: Vec<Value>| items.iter().map(|t| t["thingName"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let all: Vec<String> = (0..25).map(|number| format!("t{number:02}")).collect();
    let select = |keep: &dyn Fn(usize) -> bool| {
        all.iter().enumerate().filter(|(number, _)| keep(*number)).map(|(_, name)| name.clone()).collect::<Vec<_>>()
    };
    let cases: [(Value, Vec<String>); 5] = [
        (json!({}), all.clone()),
        (json!({"thingTypeName": "pump"}), select(&|n| n % 5 == 0)),
        (json!({"attributeName": "hall", "attributeValue": "h1"}), select(&|n| n % 3 == 1)),
        (json!({"attributeName": "hall", "attributeValue": "h1", "thingTypeName": "pump"}), select(&|n| n % 15 == 10)),
        (json!({"attributeName": "hall", "attributeValue": "h", "usePrefixAttributeValue": true}), all.clone()),
    ];
    for (filter, wanted) in cases {
        for page in [1, 4, 250] {
            let mut found = names(bench.pages("ListThings", filter.clone(), "things", page).await);
            if filter["usePrefixAttributeValue"] == true {
                found.sort();
            }
            assert_eq!(found, wanted, "{filter} by {page}");
        }
    }
    assert_eq!(
        names(bench.pages("ListThings", json!({"attributeName": "n", "attributeValue": "1"}), "things", 9).await),
        ["t01"]
    );
    bench.refused("ListThings", json!({"attributeValue": "x"}), "InvalidRequestException").await;
}

/// CP 1.6: a token belongs to its list, filter and account, and ends after a day.
#[tokio::test]
async fn tokens_are_bound_and_expire() {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.ok("CreateThing", json!({"thingName": name})).await;
        bench.ok("CreateThingType", json!({"thingTypeName": name})).await;
        bench.call_as(OTHER, "CreateThing", json!({"thingName": name})).await.unwrap();
    }
    let page = bench.ok("ListThings", json!({"maxResults": 1})).await;
    let token = page["nextToken"].as_str().unwrap();
    let next = json!({"maxResults": 1, "nextToken": token});
    assert_eq!(bench.ok("ListThings", next.clone()).await["things"][0]["thingName"], "b");
    bench.refused("ListThingTypes", next.clone(), "InvalidRequestException").await;
    let filtered = json!({"nextToken": token, "thingTypeName": "a"});
    bench.refused("ListThings", filtered, "InvalidRequestException").await;
    assert_eq!(bench.call_as(OTHER, "ListThings", next.clone()).await.unwrap_err().code, "InvalidRequestException");
    let mut forged = token.to_owned();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'B' } else { 'A' });
    for bad in [forged.as_str(), "AAAA", "no base64!"] {
        bench.refused("ListThings", json!({"nextToken": bad}), "InvalidRequestException").await;
    }
    bench.advance(86_401);
    bench.refused("ListThings", next, "InvalidRequestException").await;
    bench.refused("ListThings", json!({"maxResults": 251}), "InvalidRequestException").await;
}

/// CP 4.5: attachments are listed both ways, and an exclusive principal has one thing.
#[tokio::test]
async fn principals_are_attached_listed_and_exclusive() {
    let bench = Bench::new();
    for name in ["t1", "t2"] {
        bench.ok("CreateThing", json!({"thingName": name})).await;
    }
    let (shared, exclusive) = (certificate(&bench).await, certificate(&bench).await);
    for _ in 0..2 {
        bench.ok("AttachThingPrincipal", json!({"thingName": "t1", "principal": shared})).await;
    }
    bench.ok("AttachThingPrincipal", json!({"thingName": "t2", "principal": shared})).await;
    let attach =
        |thing: &str, type_: &str| json!({"thingName": thing, "principal": exclusive, "thingPrincipalType": type_});
    bench.ok("AttachThingPrincipal", attach("t1", "EXCLUSIVE_THING")).await;
    bench.refused("AttachThingPrincipal", attach("t2", "NON_EXCLUSIVE_THING"), "InvalidRequestException").await;
    let again = json!({"thingName": "t1", "principal": shared, "thingPrincipalType": "EXCLUSIVE_THING"});
    bench.refused("AttachThingPrincipal", again, "InvalidRequestException").await;

    let mut both = vec![shared.clone(), exclusive.clone()];
    both.sort();
    let listed = bench.pages("ListThingPrincipals", json!({"thingName": "t1"}), "principals", 1).await;
    assert_eq!(listed, both);
    let v2 = json!({"thingName": "t1", "thingPrincipalType": "EXCLUSIVE_THING"});
    assert_eq!(
        bench.ok("ListThingPrincipalsV2", v2).await["thingPrincipalObjects"],
        json!([{"principal": exclusive, "thingPrincipalType": "EXCLUSIVE_THING"}])
    );
    assert_eq!(bench.pages("ListPrincipalThings", json!({"principal": shared}), "things", 1).await, ["t1", "t2"]);
    assert_eq!(
        bench.ok("ListPrincipalThingsV2", json!({"principal": exclusive})).await["principalThingObjects"],
        json!([{"thingName": "t1", "thingPrincipalType": "EXCLUSIVE_THING"}])
    );
    let error = bench.refused("ListThingPrincipals", json!({"thingName": "t3"}), "ResourceNotFoundException").await;
    assert_eq!(
        error.message,
        "Failed to list principals for thing t3 because the thing does not exist in your account"
    );
    let unknown = arn(&format!("cert/{}", "0".repeat(64)));
    for (operation, input, code) in [
        ("AttachThingPrincipal", json!({"thingName": "t3", "principal": shared}), "ResourceNotFoundException"),
        ("AttachThingPrincipal", json!({"thingName": "t1", "principal": unknown}), "ResourceNotFoundException"),
        ("AttachThingPrincipal", json!({"thingName": "t1", "principal": arn("thing/t1")}), "InvalidRequestException"),
        (
            "AttachThingPrincipal",
            json!({"thingName": "t1", "principal": shared.replace("000000000000", OTHER)}),
            "InvalidRequestException",
        ),
        ("DetachThingPrincipal", json!({"thingName": "t2", "principal": exclusive}), "ResourceNotFoundException"),
        ("ListPrincipalThings", json!({"principal": unknown}), "ResourceNotFoundException"),
    ] {
        bench.refused(operation, input, code).await;
    }
}

/// CP 4.2, 4.3: endpoints are host names; what is not built says so.
#[tokio::test]
async fn endpoints_and_the_rest() {
    let bench = Bench::new();
    for type_ in [None, Some("iot:Data"), Some("iot:Data-ATS"), Some("iot:CredentialProvider"), Some("iot:Jobs")] {
        let input = type_.map_or_else(|| json!({}), |type_| json!({"endpointType": type_}));
        assert_eq!(bench.ok("DescribeEndpoint", input).await["endpointAddress"], "iot.marram.example");
    }
    bench.refused("DescribeEndpoint", json!({"endpointType": "iot:Other"}), "InvalidRequestException").await;
    let error = bench.refused("CreateJob", json!({"jobId": "j"}), "InvalidRequestException").await;
    assert_eq!((error.status, error.message.as_str()), (400, "CreateJob is not supported by this endpoint"));
}
