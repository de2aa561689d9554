//! The door end to end: TLS, signature, route, service, answer, audit record. Clients sign with `marram-sigv4`.

mod support;

use marram_sigv4::AmzTime;
use marram_tls::Plane;
use marram_types::{AccountId, ManualClock, Timestamp};
use serde_json::{Value, json};
use support::{Bench, By, Call};

/// What a row sends, and the status, code and body part it expects.
async fn check(bench: &Bench, call: Call<'_>, status: u16, code: &str, part: &str) {
    let what = format!("{} {} {}", call.scope, call.method, call.target);
    let answer = bench.send(call).await;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{what}: {body}");
    let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).unwrap_or("");
    let told = header == code || body.contains(&format!("<Code>{code}</Code>"));
    assert!(told, "{what}: wanted {code}, got {header} {body}");
    assert!(body.contains(part), "{what}: {body}");
    assert_eq!(answer.headers["x-amzn-requestid"].len(), 36, "{what}");
    assert!(answer.headers.contains_key("date"), "{what}");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{what}");
    assert!(answer.headers["content-security-policy"].as_bytes().starts_with(b"sandbox;"), "{what}");
}

/// CP 1.2, 1.4, 1.8: the services behind the door in their dialects, and what is not there.
#[tokio::test]
async fn signed_calls_reach_their_operation() {
    let bench = Bench::start().await;
    let describe = Call::rest("iot", "GET", "/things/lamp%3A1");
    check(&bench, describe.clone(), 200, "", r#"{"thingName":"lamp:1","version":1}"#).await;
    let identity = Call::form("sts", "Action=GetCallerIdentity&Version=2011-06-15");
    check(&bench, identity.clone(), 200, "", "<Account>000000000000</Account>").await;
    check(&bench, identity.in_region("aws-global"), 200, "", "<Arn>").await;
    let rows = [
        (Call::rest("iot", "GET", "/things/ghost"), 404, "ResourceNotFoundException", "no thing"),
        (Call::rest("iot", "GET", "/things/a%20b"), 400, "InvalidRequestException", "'thingName'"),
        (Call::rest("iot", "GET", "/things/panic"), 500, "InternalFailureException", "__type"),
        (Call::rest("iot", "GET", "/things/a/b"), 404, "UnknownOperationException", ""),
        (Call::rest("iot", "GET", "/otaUpdates"), 400, "InvalidRequestException", "ListOTAUpdates is not supported"),
        (Call::rest("iotdata", "GET", "/things/t/shadow"), 400, "InvalidRequestException", "not supported"),
        (
            Call::target("IotThingsGraphFrontEndService.ListFlowExecutionMessages", r#"{"flowExecutionId":"f"}"#),
            400,
            "InvalidRequestException",
            "not supported",
        ),
        (Call::target("IotThingsGraphFrontEndService.Nope", "{}"), 400, "UnknownOperationException", ""),
        (Call::form("iam", "Action=ListUsers&Version=2010-05-08"), 400, "InvalidAction", "not supported"),
        (Call::form("iam", "Action=Nope&Version=2010-05-08"), 400, "InvalidAction", ""),
    ];
    for (call, status, code, part) in rows {
        check(&bench, call, status, code, part).await;
    }
    // The panic above ended nothing else.
    check(&bench, describe, 200, "", "lamp:1").await;
}

/// CP 2.7: each way of not being authenticated, per protocol.
#[tokio::test]
async fn unauthenticated_calls_are_refused_in_their_dialect() {
    let bench = Bench::start().await;
    let rest = || Call::rest("iot", "GET", "/things/lamp");
    let json = || Call::target("IotThingsGraphFrontEndService.GetEntities", "{}");
    let form = || Call::form("sts", "Action=GetCallerIdentity&Version=2011-06-15");
    let rows = [
        (rest().signed_by(By::Nobody), 403, "MissingAuthenticationTokenException"),
        (json().signed_by(By::Nobody), 403, "MissingAuthenticationTokenException"),
        (form().signed_by(By::Nobody), 403, "MissingAuthenticationToken"),
        (rest().signed_by(By::Stranger("AKIDNOBODY0000000000")), 403, "UnrecognizedClientException"),
        (json().signed_by(By::Stranger("AKIDNOBODY0000000000")), 400, "UnrecognizedClientException"),
        (form().signed_by(By::Stranger("AKIDNOBODY0000000000")), 403, "InvalidClientTokenId"),
        (rest().signed_by(By::Forger), 403, "InvalidSignatureException"),
        (json().signed_by(By::Forger), 400, "InvalidSignatureException"),
        (form().signed_by(By::Forger), 403, "SignatureDoesNotMatch"),
        (rest().at(-301), 403, "InvalidSignatureException"),
        (rest().at(301), 403, "InvalidSignatureException"),
        (form().at(-301), 403, "SignatureDoesNotMatch"),
        (rest().in_region("eu-west-1"), 403, "InvalidSignatureException"),
        (rest().in_region("aws-global"), 403, "InvalidSignatureException"),
        (form().in_region("eu-west-1"), 403, "SignatureDoesNotMatch"),
        (Call { scope: "ec2", ..rest() }, 403, "InvalidSignatureException"),
        (Call { tamper: Some("/things/other"), ..rest() }, 403, "InvalidSignatureException"),
    ];
    for (call, status, code) in rows {
        check(&bench, call, status, code, "").await;
    }
}

/// CP 1.8: a request signed for one service runs on no other, whatever its path or target says.
#[tokio::test]
async fn a_signature_opens_one_service_only() {
    let bench = Bench::start().await;
    let rows = [
        (Call { scope: "sts", ..Call::rest("iot", "GET", "/things/lamp") }, 400, "InvalidAction"),
        (Call { scope: "iotdata", ..Call::rest("iot", "GET", "/things/lamp") }, 404, "UnknownOperationException"),
        (
            Call { scope: "iot", ..Call::target("IotThingsGraphFrontEndService.GetEntities", "{}") },
            404,
            "UnknownOperationException",
        ),
    ];
    for (call, status, code) in rows {
        check(&bench, call, status, code, "").await;
    }
}

/// SEC-97: what a browser would run as part of a page is refused whoever signed it, a navigation is answered with a file.
#[tokio::test]
async fn no_answer_is_part_of_a_page() {
    let bench = Bench::start().await;
    for (header, value, status) in [
        ("sec-fetch-dest", "script", 403),
        ("sec-fetch-dest", "serviceworker", 403),
        ("sec-fetch-dest", "iframe", 403),
        ("sec-fetch-dest", "Document", 403),
        ("service-worker", "script", 403),
        ("sec-fetch-dest", "document", 200),
        ("sec-fetch-dest", "empty", 200),
        ("sec-fetch-dest", "image", 200),
    ] {
        let mut call = Call::rest("iot", "GET", "/things/lamp");
        call.headers.extend([(header, value), ("sec-fetch-mode", "navigate")]);
        let answer = bench.send(call).await;
        assert_eq!(answer.status, status, "{header}: {value}");
        assert_eq!(answer.headers.contains_key("content-disposition"), status == 200, "{header}: {value}");
    }
}

/// CP 1.8 step 2: pages without a signature, and nothing else.
#[tokio::test]
async fn pages_need_no_signature() {
    let bench = Bench::start().await;
    for (method, path, status, body) in [
        ("GET", "/healthz", 200, r#"{"status":"ok"}"#),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/", 404, r#"{"message":"nothing is here"}"#),
        ("GET", "/console/index.html", 404, r#"{"message":"nothing is here"}"#),
    ] {
        let answer = bench.send(Call::rest("iot", method, path).signed_by(By::Nobody)).await;
        assert_eq!((answer.status.as_u16(), String::from_utf8_lossy(&answer.body).as_ref()), (status, body), "{path}");
    }
}

/// CP 3.4: the account of a call is its signer's, whatever the request holds.
#[tokio::test]
async fn calls_see_the_account_of_their_signer() {
    let bench = Bench::start().await;
    let own = Call::rest("iot", "GET", "/things/account");
    let first = bench.send(own.clone()).await;
    let other = bench.send(own.signed_by(By::Other)).await;
    let account = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["thingId"].clone();
    assert_eq!(account(&first.body), json!("000000000000"));
    assert_ne!(account(&other.body), account(&first.body));
}

/// CP 10.2: reads, refusals and failed authentications of known keys are recorded, each once, with the request id answered.
#[tokio::test]
async fn calls_leave_one_record_each() {
    let bench = Bench::start().await;
    let read = bench.send(Call::rest("iot", "GET", "/things/lamp")).await;
    let missing = bench.send(Call::rest("iot", "GET", "/things/ghost")).await;
    let forged = bench.send(Call::rest("iot", "GET", "/things/lamp").signed_by(By::Forger)).await;
    bench.send(Call::rest("iot", "GET", "/things/lamp").signed_by(By::Stranger("AKIDNOBODY0000000000"))).await;
    let mut records = bench.records(&AccountId::first());
    records.retain(|record| record["eventName"] == "DescribeThing");
    let id = |answer: &marram_http::ClientResponse| answer.headers["x-amzn-requestid"].to_str().unwrap().to_owned();
    let expected = [
        (id(&read), None, Some("lamp")),
        (id(&missing), Some("ResourceNotFoundException"), Some("ghost")),
        (id(&forged), Some("InvalidSignatureException"), None),
    ];
    assert_eq!(records.len(), expected.len(), "{records:#?}");
    for (request_id, error, thing) in expected {
        let record = records.iter().find(|record| record["requestID"] == json!(request_id)).expect("a record");
        assert_eq!(record["eventSource"], "iot.amazonaws.com");
        assert_eq!(record.get("errorCode").and_then(Value::as_str), error);
        let told = record["requestParameters"].get("thingName").and_then(Value::as_str);
        assert_eq!(told, thing);
    }
}

/// The clock of the tests is the clock of the door.
#[tokio::test]
async fn signing_time_is_judged_by_the_doors_clock() {
    let clock = std::sync::Arc::new(ManualClock::new(Timestamp::from_secs(1_772_439_242)));
    let bench = Bench::with_clock(clock.clone()).await;
    let signed_at = AmzTime::from_epoch(1_772_439_242).unwrap();
    let call = Call { time: Some(signed_at), ..Call::rest("iot", "GET", "/things/lamp") };
    check(&bench, call.clone(), 200, "", "lamp").await;
    clock.set(Timestamp::from_secs(1_772_439_242 + 301));
    check(&bench, call, 403, "InvalidSignatureException", "Signature expired").await;
}

/// CP 1.8 step 1, 5.1: a device that comes to the API port by ALPN is handed over with its certificate proven.
#[tokio::test]
async fn devices_are_handed_over_by_alpn() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.connect_device(b"x-amzn-mqtt-ca").await, Some(Plane::DeviceMqtt));
    assert_eq!(bench.connect_device(b"x-amzn-http-ca").await, Some(Plane::DeviceHttps));
}

/// A listener that is asked to stop ends its idle connections and takes no more.
#[tokio::test]
async fn stopping_ends_idle_connections() {
    let mut bench = Bench::start().await;
    check(&bench, Call::rest("iot", "GET", "/things/lamp"), 200, "", "lamp").await;
    assert!(!bench.stop().await, "a connection was accepted after the end");
}
