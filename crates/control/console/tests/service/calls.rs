//! Calls in somebody's name: the API's own checks, policies, records.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Bench, PASSWORD, nothing};

fn allow(actions: Value, conditions: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": conditions}
    ]})
}

/// SEC-64, CP 1.2: a call passes the constraints of the wire, runs as the user, carries modelled errors and leaves one record.
#[tokio::test]
async fn calls_are_the_api() {
    let bench = Bench::start().await;
    let (mut browser, _) = bench.person(&bench.account, "administrator").await;
    let described = browser.call("iot", "DescribeThing", json!({"thingName": "lamp"})).await;
    assert_eq!(described.document["output"], json!({"thingName": "lamp", "thingId": "000000000000"}));
    for (service, operation, input, status, code, field) in [
        ("iot", "DescribeThing", json!({"thingName": "a b"}), 400, "InvalidRequestException", "thingName"),
        ("iot", "DescribeThing", json!({"thingName": 7}), 400, "InvalidRequestException", "thingName"),
        ("iot", "DescribeThing", json!({}), 400, "InvalidRequestException", "thingName"),
        ("iot", "DescribeThing", json!([]), 400, "InvalidRequestException", ""),
        ("iot", "DescribeThing", json!({"thingName": "ghost"}), 404, "ResourceNotFoundException", ""),
        ("iot", "ListThings", json!({}), 400, "InvalidRequestException", ""),
        ("iot", "Nope", json!({}), 404, "UnknownOperationException", ""),
        ("nope", "DescribeThing", json!({}), 400, "ValidationException", "service"),
        ("iam", "GetUser", json!({"UserName": "ghost"}), 404, "NoSuchEntity", ""),
        ("s3", "ListBuckets", json!({}), 501, "NotImplemented", ""),
    ] {
        let answer = browser.call(service, operation, input.clone()).await;
        assert_eq!(answer.error(), (status, code), "{service} {operation} {input}: {}", answer.document);
        assert_eq!(answer.document["error"]["field"].as_str().unwrap_or(""), field, "{operation} {input}");
        assert!(!answer.document["error"]["message"].as_str().unwrap().is_empty());
    }
    let records = bench.records(&bench.account, "DescribeThing");
    let found = records.iter().find(|record| record["requestParameters"]["thingName"] == "lamp").unwrap();
    assert_eq!(found["userIdentity"]["userName"], "administrator");
    assert_eq!(found["userIdentity"]["sessionContext"]["attributes"]["mfaAuthenticated"], "true");
    assert_eq!(records.len(), 6, "each call that named an operation left one record");
}

/// security 7.2: of a page open for ten minutes the first read is recorded at once, the others by a count a minute; refusals
/// and changes one by one.
#[tokio::test]
async fn repeated_reads_are_counted() {
    let bench = Bench::start().await;
    let (mut browser, _) = bench.person(&bench.account, "administrator").await;
    let lamp = json!({"thingName": "lamp"});
    for n in 0..120 {
        assert_eq!(browser.call("iot", "DescribeThing", lamp.clone()).await.status, 200);
        if n == 0 {
            assert_eq!(bench.records(&bench.account, "DescribeThing").len(), 1, "at once");
        }
        bench.clock.advance(Duration::from_secs(5));
        bench.flush();
    }
    let records = bench.records(&bench.account, "DescribeThing");
    let counts: Vec<u64> =
        records.iter().filter_map(|record| record["additionalEventData"]["repetitions"].as_u64()).collect();
    assert_eq!((records.len(), counts.iter().sum::<u64>()), (11, 119), "120 reads: {counts:?}");
    assert_eq!(records[0]["requestParameters"], lamp);

    for _ in 0..2 {
        browser.call("iot", "DescribeThing", json!({"thingName": "ghost"})).await;
        browser.call("iot", "DeleteThing", lamp.clone()).await;
    }
    bench.user("anna", nothing()).await;
    let (mut anna, _) = bench.person(&bench.account, "anna").await;
    for _ in 0..3 {
        assert_eq!(anna.call("iot", "DescribeThing", lamp.clone()).await.status, 403);
    }
    let records = bench.records(&bench.account, "DescribeThing");
    assert_eq!(records.len(), 11 + 2 + 3, "failures and refusals each");
    assert_eq!(bench.records(&bench.account, "DeleteThing").len(), 2);
}

/// SEC-66: a person sees the own account and nothing of another one, by call, by question, by name.
#[tokio::test]
async fn another_account_sees_its_own() {
    let bench = Bench::start().await;
    let (mut first, _) = bench.person(&bench.account, "administrator").await;
    let (mut other, secret) = bench.person(&bench.other.clone(), "administrator").await;
    for (browser, account) in [(&mut first, &bench.account), (&mut other, &bench.other)] {
        assert_eq!(browser.session().await["account"], account.as_str());
        let described = browser.call("iot", "DescribeThing", json!({"thingName": "lamp"})).await;
        assert_eq!(described.document["output"]["thingId"], account.as_str());
        let identity = browser.call("sts", "GetCallerIdentity", json!({})).await;
        assert_eq!(identity.document["output"]["Account"], account.as_str());
    }
    first.call("iam", "CreateUser", json!({"UserName": "anna"})).await;
    assert_eq!(other.call("iam", "GetUser", json!({"UserName": "anna"})).await.error(), (404, "NoSuchEntity"));
    let foreign = format!("arn:aws:iot:us-east-1:{}:thing/lamp", bench.account);
    let own = foreign.replace(bench.account.as_str(), bench.other.as_str());
    let checks = json!([{"action": "iot:DescribeThing", "resource": own}]);
    assert_eq!(other.post("may", json!({"checks": checks})).await.document["allowed"], json!([true]));

    let mut browser = bench.browser().await;
    let code = bench.next_code(&secret);
    let credentials = json!({"user": "administrator", "password": PASSWORD, "code": code});
    let refused = browser.post("sign-in/password", credentials.clone()).await;
    assert_eq!(refused.status, 403, "the second factor of one account's administrator is not the other's");
    let mut named = credentials;
    named["account"] = bench.other.as_str().into();
    assert_eq!(browser.post("sign-in/password", named).await.document["account"], bench.other.as_str());
}

/// SEC-60, SEC-64: what a person may is what the policies say, the second factor included; a question is no call and leaves no record.
#[tokio::test]
async fn policies_decide() {
    let bench = Bench::start().await;
    bench.user("reader", allow(json!(["iot:DescribeThing"]), json!({}))).await;
    let with_factor = json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}});
    bench.user("careful", allow(json!(["iot:*"]), with_factor)).await;
    bench.user("outsider", nothing()).await;
    for (user, describe, delete) in [("reader", true, false), ("careful", true, true), ("outsider", false, false)] {
        let (mut browser, _) = bench.person(&bench.account, user).await;
        let before = bench.records(&bench.account, "DescribeThing").len();
        let thing = "arn:aws:iot:us-east-1:000000000000:thing/lamp";
        let checks = json!([
            {"action": "iot:DescribeThing", "resource": thing},
            {"action": "iot:DeleteThing", "resource": thing},
            {"action": "iam:CreateUser"},
        ]);
        let may = browser.post("may", json!({"checks": checks})).await;
        assert_eq!(may.document["allowed"], json!([describe, delete, false]), "{user}");
        assert_eq!(bench.records(&bench.account, "DescribeThing").len(), before, "{user}");
        for (operation, allowed) in [("DescribeThing", describe), ("DeleteThing", delete)] {
            let answer = browser.call("iot", operation, json!({"thingName": "lamp"})).await;
            if allowed {
                assert_eq!(answer.status, 200, "{user} {operation}: {}", answer.document);
            } else {
                assert_eq!(answer.error(), (403, "AccessDeniedException"), "{user} {operation}");
                let message = answer.document["error"]["message"].as_str().unwrap();
                assert!(message.contains(&format!("user/{user} is not authorized to perform: iot:{operation}")));
            }
        }
    }
    let (mut browser, _) = bench.person(&bench.account, "reader").await;
    let many: Vec<Value> = (0..201).map(|_| json!({"action": "iot:X"})).collect();
    for checks in [json!(many), json!(7), json!([7]), json!([{"action": 7}])] {
        let answer = browser.post("may", json!({"checks": checks})).await;
        assert_eq!(answer.error(), (400, "ValidationException"));
    }
}

/// Security 2 (stolen cookie): a quarter of an hour after the code, what destroys or gives away keys asks for a new one.
#[tokio::test]
async fn destroying_needs_a_fresh_proof() {
    let bench = Bench::start().await;
    let (mut browser, secret) = bench.person(&bench.account, "administrator").await;
    let lamp = || json!({"thingName": "lamp"});
    assert_eq!(browser.call("iot", "DeleteThing", lamp()).await.status, 200);
    bench.clock.advance(Duration::from_secs(15 * 60));
    let stale = (403, "ReauthenticationRequiredException");
    for (service, operation, input) in [
        ("iot", "DeleteThing", lamp()),
        ("iam", "CreateAccessKey", json!({})),
        ("sts", "GetSessionToken", json!({})),
        ("iot", "CreateKeysAndCertificate", json!({"setAsActive": true})),
        ("iot", "UpdateCertificate", json!({"certificateId": "0".repeat(64), "newStatus": "REVOKED"})),
        ("iot", "CreateRoleAlias", json!({"roleAlias": "a", "roleArn": "arn:aws:iam::000000000000:role/r"})),
        ("greengrassv2", "CreateDeployment", json!({"targetArn": "arn:aws:iot:us-east-1:000000000000:thing/lamp"})),
    ] {
        assert_eq!(browser.call(service, operation, input).await.error(), stale, "{operation}");
    }
    assert_eq!(browser.call("iot", "DescribeThing", lamp()).await.status, 200);
    let wrong = browser.post("reauthenticate", json!({"password": PASSWORD, "code": "000000"})).await;
    assert_eq!(wrong.error(), (403, "AccessDeniedException"));
    let proof = json!({"password": PASSWORD, "code": bench.next_code(&secret)});
    assert_eq!(browser.post("reauthenticate", proof).await.document["state"], "signed-in");
    assert_eq!(browser.call("iot", "DeleteThing", lamp()).await.status, 200);
}
