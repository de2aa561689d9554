//! What devices may do, and how fast changes reach those that are connected (CP 5.3, 5.6; SEC-31, SEC-39).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marram_broker::{ConnectAttributes, Denied, SessionAuthority, Tenant};
use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_registry::{DeviceAuthority, DeviceSession, LiveSessions};
use marram_types::CertificateId;
use serde_json::{Value, json};

use crate::bench::{Bench, OTHER};

const NOW: i64 = 1_800_000_000;
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// SEC-39: the cloud has two seconds.
const DEADLINE: Duration = Duration::from_secs(30);

struct Device {
    id: CertificateId,
    arn: String,
}

async fn device(bench: &Bench) -> Device {
    let answer = bench.ok("CreateKeysAndCertificate", json!({"setAsActive": true})).await;
    Device {
        id: answer["certificateId"].as_str().unwrap().parse().unwrap(),
        arn: answer["certificateArn"].as_str().unwrap().to_owned(),
    }
}

fn statement(action: &str, resource: &str) -> Value {
    let resource =
        if resource == "*" { "*".to_owned() } else { format!("arn:aws:iot:us-east-1:000000000000:{resource}") };
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

fn document(statements: Vec<Value>) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

async fn policy(bench: &Bench, name: &str, target: &str, statements: Vec<Value>) {
    bench.ok("CreatePolicy", json!({"policyName": name, "policyDocument": document(statements)})).await;
    bench.ok("AttachPolicy", json!({"policyName": name, "target": target})).await;
}

fn may_connect(session: &DeviceSession, client_id: &str) -> bool {
    session.connect(client_id, ConnectAttributes::default()).is_allow()
}

#[derive(Default)]
struct Told(Mutex<Vec<(String, String)>>);

impl LiveSessions for Told {
    fn reauthorize(&self, tenant: &Tenant, client_id: &str) {
        self.0.lock().unwrap().push((tenant.to_string(), client_id.to_owned()));
    }
}

/// Waits for something to become true (SEC-39).
async fn becomes(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: never");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// SEC-31: only known, ACTIVE certificates within their validity open a session.
#[tokio::test]
async fn only_active_certificates_open_sessions() {
    let bench = Bench::new();
    let authority = bench.authority();
    let open = |id: &CertificateId| authority.session(id, Some("c"), SOURCE).map(|_| ());
    let known = device(&bench).await;
    assert_eq!(open(&known.id), Ok(()));
    assert_eq!(open(&CertificateId::from_bytes([7; 32])), Err(Denied::NotAuthorized));
    let set = |status: &str| json!({"certificateId": known.id.to_string(), "newStatus": status});
    bench.ok("UpdateCertificate", set("INACTIVE")).await;
    assert_eq!(open(&known.id), Err(Denied::NotAuthorized));
    bench.ok("UpdateCertificate", set("ACTIVE")).await;
    assert_eq!(open(&known.id), Ok(()));
    bench.ok("UpdateCertificate", set("REVOKED")).await;
    assert_eq!(open(&known.id), Err(Denied::NotAuthorized));
    bench.ok("DeleteCertificate", json!({"certificateId": known.id.to_string()})).await;
    assert_eq!(open(&known.id), Err(Denied::NotAuthorized));

    let maker = CertificateAuthority::create("maker", Validity::starting(NOW, 90)).unwrap();
    let pair = DeviceKeyPair::generate().unwrap();
    let register = async |not_before, not_after| {
        let certificate = maker.issue_device(pair.public_key(), Validity { not_before, not_after }).unwrap();
        let text = pem::encode_certificate(certificate.der());
        bench.ok("RegisterCertificateWithoutCA", json!({"certificatePem": text, "status": "ACTIVE"})).await;
        certificate.id()
    };
    let short = register(NOW - 10, NOW + 10).await;
    let future = register(NOW + 10, NOW + 20).await;
    assert_eq!((open(&short), open(&future)), (Ok(()), Err(Denied::NotAuthorized)));
    bench.advance(11);
    assert_eq!((open(&short), open(&future)), (Err(Denied::NotAuthorized), Ok(())));
}

/// CP 5.6: nothing is allowed without a policy; each action has its own resource; a retained publish needs both.
#[tokio::test]
async fn policies_decide_each_action() {
    let bench = Bench::new();
    let (authority, known) = (bench.authority(), device(&bench).await);
    let session = authority.session(&known.id, Some("c"), SOURCE).unwrap();
    assert!(!may_connect(&session, "c"), "no policy, no connection");
    let deny =
        json!({"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:000000000000:topic/a/x"});
    let statements = vec![
        statement("iot:Connect", "client/c"),
        statement("iot:Publish", "topic/a/*"),
        statement("iot:RetainPublish", "topic/a/r"),
        statement("iot:Subscribe", "topicfilter/a/+"),
        statement("iot:Receive", "topic/a/?"),
        deny,
    ];
    policy(&bench, "p", &known.arn, statements).await;
    let session = authority.session(&known.id, Some("c"), SOURCE).unwrap();
    assert_eq!(session.tenant().as_str(), "000000000000/us-east-1");
    assert_eq!(session.principal(), known.id.to_string());
    assert!(may_connect(&session, "c") && !may_connect(&session, "d"));
    let publish = |topic: &str, retain| session.publish(topic, retain).is_allow();
    assert!(publish("a/b", false) && publish("a/r", true) && publish("a/b/c", false));
    assert!(!publish("a/b", true), "RetainPublish is asked as well");
    assert!(!publish("a/x", false), "an explicit deny wins");
    assert!(!publish("b/b", false));
    assert!(session.subscribe("a/+").is_allow() && !session.subscribe("a/b").is_allow());
    assert!(session.receive("a/b").is_allow() && !session.receive("a/bb").is_allow());
    assert!(session.allows("iot:Publish", "topic/a/b") && !session.allows("iot:Publish", "topic/b"));
}

/// CP 5.6: thing variables have values only for the attached thing that the client id names, or an exclusive one.
#[tokio::test]
async fn thing_variables_follow_the_attachment() {
    let bench = Bench::new();
    let (authority, known) = (bench.authority(), device(&bench).await);
    bench.ok("CreateThingType", json!({"thingTypeName": "pump"})).await;
    bench
        .ok(
            "CreateThing",
            json!({"thingName": "t1", "thingTypeName": "pump",
        "attributePayload": {"attributes": {"Hall": "h4"}}}),
        )
        .await;
    bench.ok("CreateThing", json!({"thingName": "t2"})).await;
    let thing = "${iot:Connection.Thing.ThingName}";
    let statements = vec![
        json!({"Effect": "Allow", "Action": "iot:Connect", "Resource": "*",
               "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}),
        statement("iot:Publish", &format!("topic/things/{thing}")),
        statement("iot:Publish", "topic/types/${iot:Connection.Thing.ThingTypeName}"),
        statement("iot:Publish", "topic/halls/${iot:Connection.Thing.Attributes[Hall]}"),
        statement("iot:Publish", "topic/clients/${iot:ClientId}"),
    ];
    policy(&bench, "p", &known.arn, statements).await;
    let topics = ["things/t1", "types/pump", "halls/h4", "clients/t1"];
    let sees = |client_id: &str| {
        let session = authority.session(&known.id, Some(client_id), SOURCE).unwrap();
        (may_connect(&session, client_id), topics.map(|topic| session.publish(topic, false).is_allow()))
    };
    assert_eq!(sees("t1"), (false, [false, false, false, true]), "not attached yet");
    bench.ok("AttachThingPrincipal", json!({"thingName": "t1", "principal": known.arn})).await;
    assert_eq!(sees("t1"), (true, [true, true, true, true]));
    assert_eq!(sees("other"), (false, [false; 4]), "the client id names no attached thing");
    bench.ok("DetachThingPrincipal", json!({"thingName": "t1", "principal": known.arn})).await;
    let exclusive = json!({"thingName": "t1", "principal": known.arn, "thingPrincipalType": "EXCLUSIVE_THING"});
    bench.ok("AttachThingPrincipal", exclusive).await;
    assert_eq!(sees("other"), (true, [true, true, true, false]), "an exclusive thing needs no matching client id");
    let session = authority.session(&known.id, Some("other"), SOURCE).unwrap();
    assert_eq!(session.thing_name(), Some("t1"));
    let wildcard = json!({"thingName": "t1", "attributePayload": {"attributes": {"Hall": "*"}}});
    bench.refused("UpdateThing", wildcard, "InvalidRequestException").await;
}

/// CP 5.6: certificate and connection variables.
#[tokio::test]
async fn certificate_variables_come_from_the_certificate() {
    let bench = Bench::new();
    let authority = bench.authority();
    let dir = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let done = std::process::Command::new("openssl").args(line.split_whitespace()).current_dir(dir.path()).output();
        assert!(done.expect("these tests need the openssl program").status.success(), "openssl {line}");
    };
    run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 3000 \
         -subj /O=Acme/OU=one/OU=two/CN=dev-9 -addext subjectAltName=DNS:dev.example");
    let text = std::fs::read_to_string(dir.path().join("c.pem")).unwrap();
    let answer = bench.ok("RegisterCertificateWithoutCA", json!({"certificatePem": text, "status": "ACTIVE"})).await;
    let id: CertificateId = answer["certificateId"].as_str().unwrap().parse().unwrap();
    let subject = "iot:Certificate.Subject";
    let statements = vec![
        statement("iot:Publish", &format!("topic/cn/${{{subject}.CommonName}}")),
        statement("iot:Publish", &format!("topic/ou/${{{subject}.OrganizationalUnit.1}}")),
        statement("iot:Publish", &format!("topic/dns/${{{subject}.AlternativeName.DNSName}}")),
        statement("iot:Publish", &format!("topic/title/${{{subject}.Title}}")),
        json!({"Effect": "Allow", "Action": "iot:Connect", "Resource": "*",
               "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"},
                             "ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}}),
    ];
    policy(&bench, "p", answer["certificateArn"].as_str().unwrap(), statements).await;
    let session = authority.session(&id, Some("c"), SOURCE).unwrap();
    let publish = |topic: &str| session.publish(topic, false).is_allow();
    assert!(publish("cn/dev-9") && publish("ou/two") && publish("dns/dev.example"));
    assert!(!publish("ou/one") && !publish("title/") && !publish("cn/other"));
    let attributes = |persistent, last_will| ConnectAttributes { persistent, last_will };
    assert!(session.connect("c", attributes(false, true)).is_allow());
    assert!(!session.connect("c", attributes(true, true)).is_allow());
    let elsewhere = authority.session(&id, Some("c"), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))).unwrap();
    assert!(!elsewhere.connect("c", attributes(false, true)).is_allow());
}

/// SEC-39: every kind of change reaches a live session; others are not disturbed.
#[tokio::test]
async fn changes_reach_live_sessions() {
    let bench = Bench::new();
    let authority = bench.authority();
    let told = Arc::new(Told::default());
    let watcher = tokio::spawn({
        let (authority, told) = (authority.clone(), told.clone());
        async move { authority.watch(told).await }
    });
    let (known, bystander) = (device(&bench).await, device(&bench).await);
    policy(&bench, "own", &known.arn, vec![statement("iot:Connect", "*"), statement("iot:Publish", "topic/v1")]).await;
    policy(&bench, "by", &bystander.arn, vec![statement("iot:Connect", "*")]).await;
    bench.ok("CreateThing", json!({"thingName": "t"})).await;
    bench.ok("CreateThingGroup", json!({"thingGroupName": "root"})).await;
    bench.ok("CreateThingGroup", json!({"thingGroupName": "leaf", "parentGroupName": "root"})).await;
    bench.ok("AttachThingPrincipal", json!({"thingName": "t", "principal": known.arn})).await;
    let version = |default: bool, topic: &str| {
        let text = document(vec![statement("iot:Connect", "*"), statement("iot:Publish", topic)]);
        json!({"policyName": "own", "policyDocument": text, "setAsDefault": default})
    };
    // What came before is through once two more changes are: the first may be carried out together with it.
    let probe = authority.session(&known.id, Some("probe"), SOURCE).unwrap();
    for topic in ["before", "now"] {
        bench.ok("CreatePolicyVersion", version(true, &format!("topic/{topic}"))).await;
        becomes(topic, || probe.publish(topic, false).is_allow()).await;
    }
    let session = authority.session(&known.id, Some("t"), SOURCE).unwrap();
    let other = authority.session(&bystander.id, Some("b"), SOURCE).unwrap();
    let quiet = other.version();
    let group = "arn:aws:iot:us-east-1:000000000000:thinggroup/root";
    let in_group = vec![statement("iot:Publish", "topic/group/${iot:Connection.Thing.Attributes[hall]}")];
    bench.ok("CreatePolicy", json!({"policyName": "g", "policyDocument": document(in_group)})).await;
    bench.ok("AttachPolicy", json!({"policyName": "g", "target": group})).await;
    let membership = json!({"thingName": "t", "thingGroupName": "leaf"});
    let hall = |value: &str| json!({"thingName": "t", "attributePayload": {"attributes": {"hall": value}}});
    let attach = json!({"policyName": "own", "target": known.arn});
    let status = |status: &str| json!({"certificateId": known.id.to_string(), "newStatus": status});
    // Operation, input, and what the device may publish to afterwards.
    let steps: Vec<(&str, Value, &[&str])> = vec![
        ("CreatePolicyVersion", version(true, "topic/v2"), &["v2"]),
        ("SetDefaultPolicyVersion", json!({"policyName": "own", "policyVersionId": "1"}), &["v1"]),
        ("UpdateThing", hall("h1"), &["v1"]),
        ("AddThingToThingGroup", membership.clone(), &["v1", "group/h1"]),
        ("UpdateThing", hall("h2"), &["v1", "group/h2"]),
        ("DetachPolicy", json!({"policyName": "g", "target": group}), &["v1"]),
        ("AttachPolicy", json!({"policyName": "g", "target": group}), &["v1", "group/h2"]),
        ("RemoveThingFromThingGroup", membership.clone(), &["v1"]),
        ("AddThingToThingGroup", membership, &["v1", "group/h2"]),
        ("DeleteThingGroup", json!({"thingGroupName": "leaf"}), &["v1"]),
        ("DetachPolicy", attach.clone(), &[]),
        ("AttachPolicy", attach, &["v1"]),
        ("UpdateCertificate", status("INACTIVE"), &[]),
        ("UpdateCertificate", status("ACTIVE"), &["v1"]),
        ("UpdateCertificate", status("REVOKED"), &[]),
    ];
    let who = |client: &str| ("000000000000/us-east-1".to_owned(), client.to_owned());
    for (operation, input, wanted) in steps {
        told.0.lock().unwrap().clear();
        let before = session.version();
        bench.ok(operation, input.clone()).await;
        let published = || {
            ["v1", "v2", "group/h1", "group/h2"]
                .into_iter()
                .filter(|topic| session.publish(topic, false).is_allow())
                .collect::<Vec<_>>()
        };
        becomes(&format!("{operation} {input}"), || {
            published() == wanted && session.version() != before && told.0.lock().unwrap().contains(&who("t"))
        })
        .await;
        let told = told.0.lock().unwrap();
        assert!(told.iter().all(|one| [who("t"), who("probe")].contains(one)), "{told:?}");
        assert_eq!(may_connect(&session, "t"), !wanted.is_empty(), "{operation}");
    }
    assert_eq!(other.version(), quiet, "a bystander is left alone");
    assert!(may_connect(&other, "b"));
    watcher.abort();
}

/// A device that another account registered is that account's: its policies, its tenant.
#[tokio::test]
async fn certificates_belong_to_one_account() {
    let bench = Bench::new();
    let authority = bench.authority();
    let answer = bench.call_as(OTHER, "CreateKeysAndCertificate", json!({"setAsActive": true})).await.unwrap();
    let id: CertificateId = answer["certificateId"].as_str().unwrap().parse().unwrap();
    policy_of_first_account(&bench).await;
    let session = authority.session(&id, Some("c"), SOURCE).unwrap();
    assert_eq!(session.tenant().as_str(), format!("{OTHER}/us-east-1"));
    assert!(!may_connect(&session, "c"));
    let attach = json!({"policyName": "all", "target": answer["certificateArn"]});
    assert_eq!(bench.call("AttachPolicy", attach).await.unwrap_err().code, "InvalidRequestException");
}

async fn policy_of_first_account(bench: &Bench) {
    let text = document(vec![statement("*", "*")]);
    bench.ok("CreatePolicy", json!({"policyName": "all", "policyDocument": text})).await;
}

/// Many sessions of many certificates share compiled policies, and leave nothing behind.
#[tokio::test]
async fn departed_sessions_leave_nothing() {
    let bench = Bench::new();
    let authority: DeviceAuthority = bench.authority();
    let maker = CertificateAuthority::create("maker", Validity::starting(NOW, 90)).unwrap();
    let pair = DeviceKeyPair::generate().unwrap();
    bench
        .ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document(vec![statement("iot:Connect", "*")])}))
        .await;
    let mut sessions = Vec::new();
    for number in 0..50 {
        let certificate = maker.issue_device(pair.public_key(), Validity::starting(NOW, 90)).unwrap();
        let text = pem::encode_certificate(certificate.der());
        let answer =
            bench.ok("RegisterCertificateWithoutCA", json!({"certificatePem": text, "status": "ACTIVE"})).await;
        bench.ok("AttachPolicy", json!({"policyName": "p", "target": answer["certificateArn"]})).await;
        for _ in 0..2 {
            let session = authority.session(&certificate.id(), Some(&format!("c{number}")), SOURCE).unwrap();
            assert!(may_connect(&session, &format!("c{number}")));
            sessions.push(session);
        }
    }
    assert_eq!(authority.live_principals(), 50);
    drop(sessions);
    assert_eq!(authority.live_principals(), 0);
}

/// A provisioned device may connect as its thing and talk below its own name, and asking again makes no second thing.
#[tokio::test]
async fn provisioned_devices_work_at_once() {
    let bench = Bench::new();
    let authority = bench.authority();
    let first = bench.provision("press").await;
    let second = bench.provision("press").await;
    assert_eq!(first.thing_arn, second.thing_arn);
    assert_ne!(first.certificate_id, second.certificate_id);
    assert!(first.private_key_pem.expose().contains("PRIVATE KEY"));
    let id = first.certificate_id.parse().unwrap();
    let session = authority.session(&id, Some("press"), SOURCE).unwrap();
    assert!(may_connect(&session, "press"));
    assert!(session.publish("press/up", false).is_allow() && !session.publish("other/up", false).is_allow());
    assert!(session.subscribe("press/#").is_allow() && session.receive("press/down").is_allow());
    let other = authority.session(&id, Some("other"), SOURCE).unwrap();
    assert!(!may_connect(&other, "other"));
}

/// CP 5.2, 5.6: a client id that the broker assigned is the `iot:ClientId` of policies.
#[tokio::test]
async fn assigned_client_ids_reach_policies() {
    let bench = Bench::new();
    let (authority, known) = (bench.authority(), device(&bench).await);
    let own = "client/${iot:ClientId}";
    policy(
        &bench,
        "p",
        &known.arn,
        vec![statement("iot:Connect", own), statement("iot:Publish", "topic/${iot:ClientId}")],
    )
    .await;
    let session = authority.session(&known.id, Some(""), SOURCE).unwrap();
    assert!(!session.publish("assigned-1", false).is_allow(), "not assigned yet");
    assert!(may_connect(&session, "assigned-1"));
    assert!(session.publish("assigned-1", false).is_allow() && !session.publish("assigned-2", false).is_allow());
}
