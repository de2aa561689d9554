//! IoT policies: versions, attachments, inheritance (CP 4.6).

use serde_json::{Value, json};

use crate::bench::Bench;

const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}"#;

async fn policy(bench: &Bench, name: &str) -> Value {
    bench.ok("CreatePolicy", json!({"policyName": name, "policyDocument": DOCUMENT})).await
}

async fn certificate(bench: &Bench) -> String {
    bench.ok("CreateKeysAndCertificate", json!({})).await["certificateArn"].as_str().unwrap().to_owned()
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["policyName"].as_str().unwrap()).collect()
}

/// CP 4.6: a policy is created with version 1, once; its document must be a policy of bounded length.
#[tokio::test]
async fn policies_are_created_and_read() {
    let bench = Bench::new();
    let created = policy(&bench, "p").await;
    assert_eq!(created["policyVersionId"], "1");
    assert_eq!(created["policyArn"], "arn:aws:iot:us-east-1:000000000000:policy/p");
    let error = bench
        .refused(
            "CreatePolicy",
            json!({"policyName": "p", "policyDocument": DOCUMENT}),
            "ResourceAlreadyExistsException",
        )
        .await;
    assert_eq!(error.message, "Policy cannot be created - name already exists (name=p)");
    let read = bench.ok("GetPolicy", json!({"policyName": "p"})).await;
    assert_eq!((&read["policyDocument"], &read["defaultVersionId"]), (&json!(DOCUMENT), &json!("1")));
    let long = DOCUMENT.replace("\"*\"", &format!("\"{}\"", "x".repeat(2048)));
    let blank = DOCUMENT.replace(",", &format!(",{}", " ".repeat(1000)));
    for bad in ["", "{", "[]", "{}", r#"{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}"#, &long] {
        bench
            .refused("CreatePolicy", json!({"policyName": "q", "policyDocument": bad}), "MalformedPolicyException")
            .await;
    }
    bench.ok("CreatePolicy", json!({"policyName": "blank", "policyDocument": blank})).await;
    let listed = bench.pages("ListPolicies", json!({}), "policies", 1).await;
    assert_eq!(names(&listed), ["blank", "p"]);
    let listed = bench.pages("ListPolicies", json!({"ascendingOrder": false}), "policies", 1).await;
    assert_eq!(names(&listed), ["p", "blank"]);
    bench.refused("GetPolicy", json!({"policyName": "none"}), "ResourceNotFoundException").await;
}

/// CP 4.6: five versions, numbers never reused, the default one protected.
#[tokio::test]
async fn versions_are_bounded_and_never_reused() {
    let bench = Bench::new();
    policy(&bench, "p").await;
    let create = |default: bool| json!({"policyName": "p", "policyDocument": DOCUMENT, "setAsDefault": default});
    for wanted in 2..=5 {
        let version = bench.ok("CreatePolicyVersion", create(wanted == 3)).await;
        assert_eq!(version["policyVersionId"], wanted.to_string());
        assert_eq!(version["isDefaultVersion"], wanted == 3);
    }
    let error = bench.refused("CreatePolicyVersion", create(false), "VersionsLimitExceededException").await;
    assert_eq!(error.message, "The policy p already has the maximum number of versions (5)");
    let version = |id: &str| json!({"policyName": "p", "policyVersionId": id});
    bench.refused("DeletePolicyVersion", version("3"), "InvalidRequestException").await;
    bench.ok("DeletePolicyVersion", version("5")).await;
    assert_eq!(bench.ok("CreatePolicyVersion", create(false)).await["policyVersionId"], "6");
    bench.ok("SetDefaultPolicyVersion", version("6")).await;
    assert_eq!(bench.ok("GetPolicy", json!({"policyName": "p"})).await["defaultVersionId"], "6");
    assert_eq!(bench.ok("GetPolicyVersion", version("6")).await["isDefaultVersion"], true);
    let versions = bench.ok("ListPolicyVersions", json!({"policyName": "p"})).await["policyVersions"].clone();
    let ids: Vec<&str> = versions.as_array().unwrap().iter().map(|v| v["versionId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["6", "4", "3", "2", "1"]);
    bench.refused("DeletePolicy", json!({"policyName": "p"}), "DeleteConflictException").await;
    for id in ["1", "2", "3", "4"] {
        bench.ok("DeletePolicyVersion", version(id)).await;
    }
    bench.ok("DeletePolicy", json!({"policyName": "p"})).await;
    for (operation, input) in [
        ("DeletePolicy", json!({"policyName": "p"})),
        ("CreatePolicyVersion", create(false)),
        ("GetPolicyVersion", version("6")),
        ("DeletePolicyVersion", version("6")),
        ("SetDefaultPolicyVersion", version("6")),
        ("ListPolicyVersions", json!({"policyName": "p"})),
    ] {
        bench.refused(operation, input, "ResourceNotFoundException").await;
    }
    policy(&bench, "q").await;
    let bad = json!({"policyName": "q", "policyDocument": "{}"});
    bench.refused("CreatePolicyVersion", bad, "MalformedPolicyException").await;
    bench
        .refused("GetPolicyVersion", json!({"policyName": "q", "policyVersionId": "9"}), "ResourceNotFoundException")
        .await;
}

/// CP 4.5, 4.6: attaching is idempotent and bounded, seen from both sides, and holds the policy.
#[tokio::test]
async fn policies_are_attached_to_certificates_and_groups() {
    let bench = Bench::new();
    for number in 0..11 {
        policy(&bench, &format!("p{number:02}")).await;
    }
    let target = certificate(&bench).await;
    let attach = |policy: &str, target: &str| json!({"policyName": policy, "target": target});
    for number in 0..10 {
        bench.ok("AttachPolicy", attach(&format!("p{number:02}"), &target)).await;
    }
    bench.ok("AttachPolicy", attach("p00", &target)).await;
    bench.refused("AttachPolicy", attach("p10", &target), "LimitExceededException").await;
    let listed = bench.pages("ListAttachedPolicies", json!({"target": target}), "policies", 4).await;
    assert_eq!(listed.len(), 10);

    let group = bench.ok("CreateThingGroup", json!({"thingGroupName": "g"})).await["thingGroupArn"].clone();
    let group = group.as_str().unwrap();
    bench.ok("AttachPolicy", attach("p00", group)).await;
    bench.ok("AttachPolicy", attach("p01", group)).await;
    bench.refused("AttachPolicy", attach("p02", group), "LimitExceededException").await;
    let mut both = vec![target.clone(), group.to_owned()];
    both.sort();
    assert_eq!(bench.pages("ListTargetsForPolicy", json!({"policyName": "p00"}), "targets", 1).await, both);
    assert_eq!(
        bench.pages("ListPolicyPrincipals", json!({"policyName": "p00"}), "principals", 1).await,
        [target.as_str()],
        "the older form knows certificates only"
    );
    bench.refused("DeletePolicy", json!({"policyName": "p00"}), "DeleteConflictException").await;
    for _ in 0..2 {
        bench.ok("DetachPolicy", attach("p00", &target)).await;
        bench.ok("DetachPolicy", attach("p00", group)).await;
    }
    bench.ok("DeletePolicy", json!({"policyName": "p00"})).await;

    let principal = |policy: &str| json!({"policyName": policy, "principal": target});
    bench.ok("AttachPrincipalPolicy", principal("p10")).await;
    let listed = bench.pages("ListPrincipalPolicies", json!({"principal": target}), "policies", 3).await;
    assert_eq!(names(&listed).last(), Some(&"p10"));
    bench.ok("DetachPrincipalPolicy", principal("p10")).await;

    let nobody = format!("arn:aws:iot:us-east-1:000000000000:cert/{}", "0".repeat(64));
    for (operation, input, code) in [
        ("AttachPolicy", attach("none", &target), "ResourceNotFoundException"),
        ("AttachPolicy", attach("p01", &nobody), "ResourceNotFoundException"),
        ("AttachPolicy", attach("p01", "arn:aws:iot:us-east-1:000000000000:thinggroup/x"), "ResourceNotFoundException"),
        ("AttachPolicy", attach("p01", "arn:aws:iot:us-east-1:000000000000:thing/x"), "InvalidRequestException"),
        ("DetachPrincipalPolicy", principal("none"), "ResourceNotFoundException"),
        ("ListAttachedPolicies", json!({"target": nobody}), "ResourceNotFoundException"),
        ("ListTargetsForPolicy", json!({"policyName": "none"}), "ResourceNotFoundException"),
    ] {
        bench.refused(operation, input, code).await;
    }
}

/// CP 4.6: a certificate inherits through its things' groups and their ancestors.
#[tokio::test]
async fn recursive_lists_follow_groups_upwards() {
    let bench = Bench::new();
    for name in ["own", "leaf", "root"] {
        policy(&bench, name).await;
    }
    bench.ok("CreateThingGroup", json!({"thingGroupName": "r"})).await;
    let leaf = bench.ok("CreateThingGroup", json!({"thingGroupName": "l", "parentGroupName": "r"})).await;
    let root = "arn:aws:iot:us-east-1:000000000000:thinggroup/r";
    let target = certificate(&bench).await;
    bench.ok("CreateThing", json!({"thingName": "t"})).await;
    bench.ok("AttachThingPrincipal", json!({"thingName": "t", "principal": target})).await;
    bench.ok("AddThingToThingGroup", json!({"thingName": "t", "thingGroupName": "l"})).await;
    for (name, target) in [("own", target.as_str()), ("leaf", leaf["thingGroupArn"].as_str().unwrap()), ("root", root)]
    {
        bench.ok("AttachPolicy", json!({"policyName": name, "target": target})).await;
    }
    let cases: [(Value, &[&str]); 4] = [
        (json!({"target": target, "recursive": true}), &["leaf", "own", "root"]),
        (json!({"target": target}), &["own"]),
        (json!({"target": leaf["thingGroupArn"], "recursive": true}), &["leaf", "root"]),
        (json!({"target": root, "recursive": true}), &["root"]),
    ];
    for (input, wanted) in cases {
        let listed = bench.pages("ListAttachedPolicies", input.clone(), "policies", 1).await;
        assert_eq!(names(&listed), wanted, "{input}");
    }
}
