//! Decisions and signature checks per second on one thread (SEC-110).
//!
//! `bench-authz [--seconds 1]` prints one JSON line per result, nanoseconds each.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use marram_authz::{
    ConditionValues, DeviceAction, DevicePolicies, Layers, Outcome, Policy, PolicyKind, Request as Question, Requester,
};
use marram_sigv4::{
    AmzTime, Credentials, Expectation, Payload, PayloadHash, Presented, Request, Signer, SigningKey, ToSign,
};
use marram_types::SecretString;
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// How long each is measured.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
}

/// Runs `work` over and over and prints what one run takes.
fn measure(name: &str, seconds: u64, mut work: impl FnMut()) {
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let mut runs: u64 = 0;
    while Instant::now() < end {
        for _ in 0..256 {
            work();
        }
        runs += 256;
    }
    let each = started.elapsed().as_nanos() as f64 / runs as f64;
    println!("{}", json!({"bench": name, "ns": each.round(), "per_second": (1e9 / each).round()}));
}

fn main() -> anyhow::Result<()> {
    let seconds = Arguments::parse().seconds;
    let anna = "arn:aws:iam::000000000000:user/anna";

    // Twenty statements with wildcards, variables and conditions; the last one allows.
    let statements: Vec<_> = (0..20)
        .map(|n| {
            json!({
                "Sid": format!("S{n}"),
                "Effect": if n % 5 == 4 && n != 19 { "Deny" } else { "Allow" },
                "Action": ["iot:Describe*", "iot:CreateThing", "iotthingsgraph:*"],
                "Resource": format!("arn:aws:iot:*:000000000000:thing/line-{n}/${{aws:username}}/*"),
                "Condition": {
                    "StringLike": {"aws:RequestTag/team": ["line*", "press*"]},
                    "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
                },
            })
        })
        .collect();
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let policies = [Arc::new(Policy::parse(PolicyKind::Identity, "p", &document)?)];
    let mut facts = ConditionValues::new();
    facts.set("aws:username", "anna").set("aws:RequestTag/team", "line-4").set("aws:SourceIp", "10.1.2.3");
    let question = Question {
        requester: Requester::user("000000000000", anna),
        action: "iot:CreateThing",
        resource: "arn:aws:iot:us-east-1:000000000000:thing/line-19/anna/pump",
        facts: &facts,
        strict_variables: false,
    };
    let layers = Layers { identity: &policies, ..Layers::default() };
    anyhow::ensure!(question.decide(&layers).is_allowed(), "the policy must allow");
    measure("authz.decide_20_statements", seconds, || {
        black_box(question.decide(black_box(&layers)));
    });
    measure("authz.compile_20_statements", seconds, || {
        let _ = black_box(Policy::parse(PolicyKind::Identity, "p", black_box(&document)));
    });

    let device = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:us-east-1:000000000000:client/${iot:ClientId}"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"],
         "Resource": "arn:aws:iot:us-east-1:000000000000:topic/plant/${iot:ClientId}/*"},
        {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:000000000000:topic/plant/*/secret"},
    ]});
    let device = [Arc::new(Policy::parse(PolicyKind::Device, "d", &device.to_string())?)];
    let mut session = ConditionValues::new();
    session.set("iot:ClientId", "pump-7");
    let bound = DevicePolicies::bind(&device, "arn:aws:iot:us-east-1:000000000000:", &session, false);
    let allowed = bound.decide(DeviceAction::Publish, "plant/pump-7/temperature", &session);
    anyhow::ensure!(allowed == Outcome::Allowed, "the device policy must allow");
    measure("authz.device_publish", seconds, || {
        black_box(bound.decide(DeviceAction::Publish, black_box("plant/pump-7/temperature"), &session));
    });

    let credentials = Credentials {
        access_key_id: "AKIAEXAMPLEEXAMPLE22".to_owned(),
        secret: SecretString::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: None,
    };
    let body = br#"{"attributePayload":{"attributes":{"floor":"3"}}}"#;
    let sent: [(&str, &[u8]); 2] = [("host", b"marram.example:8443"), ("content-type", b"application/json")];
    let time = AmzTime::from_epoch(1_769_860_800).ok_or_else(|| anyhow::anyhow!("a time of this century"))?;
    let signer = Signer { credentials: &credentials, region: "us-east-1", service: "iot" };
    let to_sign = ToSign { method: "POST", target: "/things/pump-7", headers: &sent, payload: PayloadHash::Of(body) };
    let added = signer.sign(&to_sign, &time);
    let mut headers = sent.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let request = Request { method: "POST", target: "/things/pump-7", headers: &headers };
    let expect = Expectation { regions: &["us-east-1"], services: &["iot"], unsigned_payload: false };
    let presented = Presented::parse(&request)?;
    let key = SigningKey::derive(&credentials.secret, presented.scope());
    measure("sigv4.verify_kept_key", seconds, || {
        let presented = Presented::parse(black_box(&request));
        let _ = black_box(presented.and_then(|presented| {
            presented.verify_with(&request, Payload::Bytes(body), Some(&key), time.seconds(), &expect)
        }));
    });
    measure("sigv4.verify_derived_key", seconds, || {
        let _ = black_box(presented.verify(
            &request,
            Payload::Bytes(body),
            Some(&credentials.secret),
            time.seconds(),
            &expect,
        ));
    });
    measure("sigv4.sign", seconds, || {
        black_box(signer.sign(black_box(&to_sign), &time));
    });
    Ok(())
}
