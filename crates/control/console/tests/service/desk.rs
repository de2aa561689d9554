//! The security desk and the language service: who may ask, and what is answered.

use marram_types::AccountId;
use serde_json::{Value, json};

use crate::support::{Bench, CERTIFICATE, nothing};

const HALL: &str = "arn:aws:iot:us-east-1:000000000000:topic/hall";

/// Without the right nothing of it is answered (SEC-62), and strangers are told to sign in.
#[tokio::test]
async fn the_desk_answers_those_who_may() {
    let bench = Bench::start().await;
    bench.user("outsider", nothing()).await;
    let (mut outsider, _) = bench.person(&bench.account, "outsider").await;
    let (mut other, _) = bench.person(&bench.other.clone(), "administrator").await;
    let mut stranger = bench.browser().await;
    for (verb, body) in [
        ("who-can", json!({"action": "iot:Publish", "resource": HALL})),
        ("can", json!({"principal": CERTIFICATE})),
        ("audit", json!({})),
        ("series", json!({"names": ["api_calls"], "since": 0})),
        ("tdm/check", json!({"text": "x"})),
    ] {
        assert_eq!(outsider.post(verb, body.clone()).await.error(), (403, "AccessDeniedException"), "{verb}");
        assert_eq!(stranger.post(verb, body).await.error(), (401, "UnauthenticatedException"), "{verb}");
    }
    let answer = other.post("series", json!({"names": ["api_calls"]})).await;
    assert_eq!(answer.error(), (403, "AccessDeniedException"), "the installation is not the other account's");
}

/// Security 3.7: both ends of a policy: whom it reaches, and what it says; denials and groups included; of the own account alone.
#[tokio::test]
async fn policies_are_read_from_both_ends() {
    let bench = Bench::start().await;
    bench
        .user(
            "reader",
            json!({"Version": "2012-10-17", "Statement": [
                {"Sid": "read", "Effect": "Allow", "Action": ["iot:Get*", "iot:Publish"], "Resource": "*"},
                {"Sid": "quiet", "Effect": "Deny", "Action": "iot:Publish", "Resource": "*"},
            ]}),
        )
        .await;
    bench.iam("CreateGroup", json!({"GroupName": "Readers"})).await;
    bench.iam("AddUserToGroup", json!({"GroupName": "Readers", "UserName": "reader"})).await;
    let allow =
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish", "Resource": HALL}});
    let input = json!({"GroupName": "Readers", "PolicyName": "talk", "PolicyDocument": allow.to_string()});
    bench.iam("PutGroupPolicy", input).await;
    let (mut administrator, _) = bench.person(&bench.account, "administrator").await;

    let answer = administrator.post("who-can", json!({"action": "iot:Publish", "resource": HALL})).await;
    let found = |arn: &str| -> Value {
        let principals = answer.document["principals"].as_array().unwrap();
        principals.iter().find(|one| one["arn"] == arn).cloned().unwrap_or(Value::Null)
    };
    let user = |name: &str| format!("arn:aws:iam::000000000000:user/{name}");
    assert_eq!(found(&user("administrator"))["decision"], "allow");
    assert_eq!(found(&user("reader"))["decision"], "deny");
    assert_eq!(found(&user("reader"))["because"], json!([{"policy": "inline:only", "statement": "quiet"}]));
    assert_eq!(found("arn:aws:iam::000000000000:group/Readers")["kind"], "group");
    assert_eq!(
        found(CERTIFICATE),
        json!({"arn": CERTIFICATE, "kind": "certificate", "decision": "allow", "because": [{"policy": "Hall", "statement": "0"}]})
    );
    assert_eq!(answer.document["more"], false);
    let text = answer.document.to_string();
    assert!(!text.contains(bench.other.as_str()), "nobody of another account: {text}");

    let can = administrator.post("can", json!({"principal": user("reader")})).await;
    let actions = |member: &str| -> Vec<String> {
        let rows = can.document[member].as_array().unwrap();
        rows.iter()
            .map(|row| format!("{} {}", row["policy"].as_str().unwrap(), row["action"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(actions("allows"), ["only iot:Get*", "only iot:Publish", "group Readers: talk iot:Publish"]);
    assert_eq!(actions("denies"), ["only iot:Publish"]);
    let certificate = administrator.post("can", json!({"principal": CERTIFICATE})).await;
    assert_eq!(certificate.document["allows"][0]["policy"], "Hall");
    let foreign = format!("arn:aws:iam::{}:user/administrator", bench.other);
    for principal in [foreign.as_str(), &user("ghost"), "x", ""] {
        let answer = administrator.post("can", json!({"principal": principal})).await;
        assert_eq!(answer.error(), (404, "ResourceNotFoundException"), "{principal}");
    }
}

/// SEC-144: the log is shown newest first in pages, filtered, with a proof; a row changed behind its back breaks the proof.
#[tokio::test]
async fn the_log_is_shown_with_its_proof() {
    let bench = Bench::start().await;
    let (mut administrator, _) = bench.person(&bench.account, "administrator").await;
    for name in ["a", "b", "c"] {
        administrator.call("iam", "CreateUser", json!({"UserName": name})).await;
    }
    bench.checkpoint();
    let first = administrator.post("audit", json!({"limit": 2, "filter": {"eventName": "CreateUser"}})).await;
    let names = |answer: &Value| -> Vec<String> {
        let records = answer["records"].as_array().unwrap();
        records.iter().map(|one| one["requestParameters"]["UserName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first.document), ["c", "b"]);
    let next = json!({"limit": 2, "filter": {"eventName": "CreateUser"}, "before": first.document["next"]});
    assert_eq!(names(&administrator.post("audit", next).await.document), ["a"]);
    let proof = &first.document["proof"];
    assert_eq!(proof["state"], "verified", "{proof}");
    assert!(proof["records"].as_u64().unwrap() >= proof["checkpoint"].as_u64().unwrap());
    assert!(proof["checkpoint"].as_u64().unwrap() > 3, "{proof}");
    assert_eq!(proof["head"].as_str().unwrap().len(), 64);
    for body in [json!({"limit": 0}), json!({"limit": 201}), json!({"filter": 7}), json!({"filter": {"x": "y"}})] {
        assert_eq!(administrator.post("audit", body).await.error(), (400, "ValidationException"));
    }
    bench.tamper().await;
    bench.clock.advance(std::time::Duration::from_secs(61));
    let broken = administrator.post("audit", json!({})).await;
    assert_eq!(broken.document["proof"]["state"], "broken");
    let (mut other, _) = bench.person(&bench.other.clone(), "administrator").await;
    let own = other.post("audit", json!({})).await.document;
    assert_eq!(own["proof"]["state"], "verified", "another account's log is another one");
    let accounts: Vec<&Value> =
        own["records"].as_array().unwrap().iter().map(|one| &one["recipientAccountId"]).collect();
    assert!(accounts.iter().all(|account| **account == json!(bench.other.as_str())));
    assert_ne!(bench.other, AccountId::first());
}

/// SEC 12.2, SEC-66: texts of a megabyte pass, larger bodies do not, and the namespace is the caller's.
#[tokio::test]
async fn texts_are_read_in_the_own_namespace() {
    let bench = Bench::start().await;
    let (mut other, _) = bench.person(&bench.other.clone(), "administrator").await;
    let large = other.post("tdm/check", json!({"text": "\"".repeat(1_000_000)})).await;
    assert_eq!(large.document, json!({"verb": "check", "account": bench.other.as_str(), "bytes": 1_000_000}));
    let body = json!({"text": "x".repeat(2_500_000)});
    assert_eq!(other.post("tdm/check", body).await.error(), (413, "RequestEntityTooLargeException"));
}
