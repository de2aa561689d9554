//! What happens when policy, limits or an administrator say no (CP 5.2, 5.3, 5.4, 5.8; SEC-39).

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use common::{BOTH, DEADLINE, Peer, Setup, TestBroker, eventually, message, start, start_with};
use marram_broker::{
    BrokerOptions, FullAuthority, Interception, Interceptor, LocalError, Message, Origin, Quotas, Rate, Selector,
    Tenant,
};
use marram_mqtt::{
    Ack, Auth, Connect, Filter, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, SubscribeOptions, Topic,
    TopicFilter, Version, Will,
};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// CP 5.3, 5.2: CONNECT refused, with the code each version has for it, then the connection closes.
#[tokio::test]
async fn connect_is_refused_with_the_right_code() {
    let broker = start().await;
    broker.policy.deny("connect client/banned");
    broker.policy.deny("publish no/will");
    let with_will = |topic: &str| {
        Some(Will {
            topic: Topic::new(topic).unwrap(),
            payload: "x".into(),
            qos: QoS::AtMostOnce,
            retain: false,
            delay_secs: 0,
            properties: Default::default(),
        })
    };
    let user = |name: &str| Some(name.into());
    for version in BOTH {
        let plain = |id: &str| Connect::new(version, id);
        for (connect, code) in [
            (plain("banned"), ReasonCode::NOT_AUTHORIZED),
            (Connect { user_name: user("nobody"), ..plain("c") }, ReasonCode::NOT_AUTHORIZED),
            (Connect { user_name: user("wrong"), ..plain("c") }, ReasonCode::BAD_USER_OR_PASSWORD),
            (Connect { will: with_will("no/will"), ..plain("c") }, ReasonCode::NOT_AUTHORIZED),
            (Connect { will: with_will("$aws/things/x"), ..plain("c") }, ReasonCode::NOT_AUTHORIZED),
            (plain("$reserved"), ReasonCode::CLIENT_ID_NOT_VALID),
            (plain(&"x".repeat(129)), ReasonCode::CLIENT_ID_NOT_VALID),
            (Connect { clean_start: false, ..plain("") }, ReasonCode::CLIENT_ID_NOT_VALID),
        ] {
            let mut peer = Peer::dial(broker.address, version).await;
            assert_eq!(peer.connect(connect.clone()).await.reason, code, "{connect:?}");
            assert_eq!(peer.recv().await, None);
        }
    }
    assert!(broker.broker.sessions(&broker.tenant()).is_empty());
}

/// CP 5.2: 3.1 and unknown levels are refused as the standards say, what is not MQTT is closed.
#[tokio::test]
async fn other_protocols_are_turned_away() {
    let broker = start().await;
    for (bytes, answer) in [
        (&b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"[..], &b"\x20\x02\x00\x01"[..]),
        (b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00", b"\x20\x03\x00\x84\x00"),
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"\x30\x03\x00\x01a", b""),
        (b"\xc0\x00", b""),
    ] {
        let mut peer = Peer::dial(broker.address, Version::V4).await;
        peer.send_bytes(bytes).await;
        let mut got = Vec::new();
        timeout(DEADLINE, peer.stream.read_to_end(&mut got)).await.unwrap().ok();
        assert_eq!(got, answer, "{bytes:?}");
    }
}

/// CP 5.3: PUBLISH denied ends the connection, v5 with PUBACK 0x87 (QoS 1) and DISCONNECT 0x87. RETAIN needs its own
/// permission. Nothing is delivered.
#[tokio::test]
async fn a_denied_publish_ends_the_connection() {
    let broker = start().await;
    broker.policy.deny("publish secret");
    broker.policy.deny("retain open");
    let mut watcher = broker.client(Version::V4, "watcher").await;
    watcher.subscribe("#", 0).await;
    for version in BOTH {
        for (topic, qos, retain) in [("secret", 0, false), ("secret", 1, false), ("open", 0, true), ("open", 1, true)] {
            let mut client = broker.client(version, "c").await;
            let qos = QoS::from_bits(qos).unwrap();
            let packet_id = (qos > QoS::AtMostOnce).then_some(PacketId::MIN);
            client.send(Packet::Publish(Publish { qos, retain, packet_id, ..message(topic, "x") })).await;
            if version == Version::V5 && qos > QoS::AtMostOnce {
                let puback = Packet::PubAck(Ack::new(PacketId::MIN, ReasonCode::NOT_AUTHORIZED));
                assert_eq!(client.recv().await, Some(puback));
            }
            client.expect_closed(ReasonCode::NOT_AUTHORIZED).await;
        }
    }
    watcher.expect_only(&[]).await;
}

/// CP 5.3: SUBSCRIBE denied is said per filter and the connection stays; Receive denied drops silently; a changed
/// policy counts from the next message on.
#[tokio::test]
async fn denied_subscriptions_and_deliveries() {
    let broker = start().await;
    broker.policy.deny("subscribe no/#");
    for version in BOTH {
        let mut client = broker.client(version, "c").await;
        let options = SubscribeOptions::default();
        let refused = if version == Version::V5 { ReasonCode::NOT_AUTHORIZED } else { ReasonCode::UNSPECIFIED_ERROR };
        let reasons = client.subscribe_all(vec![("no/#", options), ("yes/#", options)]).await;
        assert_eq!(reasons, [refused, ReasonCode::SUCCESS]);
        let topic = format!("yes/{version:?}");
        client.publish(&topic, "before").await;
        client.publish("no/x", "never").await;
        client.expect_only(&["before"]).await;
        broker.policy.deny(&format!("receive {topic}"));
        client.publish(&topic, "after").await;
        client.publish("yes/other", "other").await;
        client.expect_only(&["other"]).await;
    }
    assert_eq!(broker.broker.metrics().publish_out_auth_error.get(), 2);
}

/// CP 5.2: limits of topics, payloads, filters and subscriptions, and how each is answered.
#[tokio::test]
async fn limits_are_answered_with_their_codes() {
    let broker = start().await;
    for version in BOTH {
        let deep = "1/2/3/4/5/6/7/8/9";
        let long = "x".repeat(257);
        let large = "x".repeat(131_073);
        for (topic, payload, reason) in [
            (deep, "x", ReasonCode::TOPIC_NAME_INVALID),
            (&long, "x", ReasonCode::TOPIC_NAME_INVALID),
            ("t", &large, ReasonCode::PACKET_TOO_LARGE),
            ("$aws/unknown", "x", ReasonCode::NOT_AUTHORIZED),
        ] {
            let mut client = broker.client(version, "c").await;
            client.publish(topic, payload).await;
            client.expect_closed(reason).await;
        }
        let mut client = broker.client(version, "c").await;
        client.subscribe("t", 0).await;
        client.publish("t", &large[1..]).await;
        assert_eq!(client.message().await.payload.len(), 131_072);
        let code = |reason| if version == Version::V5 { reason } else { ReasonCode::UNSPECIFIED_ERROR };
        for filter in [deep, &long, "$aws/rules/r/t"] {
            assert_eq!(client.subscribe(filter, 0).await, code(ReasonCode::TOPIC_FILTER_INVALID), "{filter}");
        }
        assert_eq!(client.subscribe(&format!("$share/{}/t", "g".repeat(128)), 0).await, ReasonCode::SUCCESS);
        for number in 2..50 {
            assert_eq!(client.subscribe(&format!("n/{number}"), 0).await, ReasonCode::SUCCESS, "{number}");
        }
        assert_eq!(client.subscribe("one/too/many", 0).await, code(ReasonCode::QUOTA_EXCEEDED));
        assert_eq!(client.subscribe("n/2", 1).await, ReasonCode::GRANTED_QOS_1);
        let options = SubscribeOptions::default();
        let filters = (0..9).map(|n| Filter { filter: TopicFilter::new(&n.to_string()).unwrap(), options });
        let subscribe = Subscribe {
            packet_id: PacketId::MIN,
            filters: filters.collect(),
            subscription_id: None,
            user_properties: vec![],
        };
        client.send(Packet::Subscribe(subscribe)).await;
        client.expect_closed(ReasonCode::QUOTA_EXCEEDED).await;
    }
}

/// CP 5.2: subscription identifiers, AUTH, a second CONNECT and packets of servers end a v5 connection.
#[tokio::test]
async fn what_5_does_not_offer_is_refused() {
    let broker = start().await;
    let filter = Filter { filter: TopicFilter::new("t").unwrap(), options: SubscribeOptions::default() };
    let subscribe = Subscribe {
        packet_id: PacketId::MIN,
        filters: vec![filter],
        subscription_id: Some(1),
        user_properties: vec![],
    };
    let auth = Auth {
        reason: ReasonCode::REAUTHENTICATE,
        method: Some("m".into()),
        data: None,
        reason_string: None,
        user_properties: vec![],
    };
    let mut marked = message("t", "x");
    marked.properties.subscription_ids = vec![1];
    for (packet, reason) in [
        (Packet::Subscribe(subscribe), ReasonCode::SUBSCRIPTION_IDS_NOT_SUPPORTED),
        (Packet::Auth(auth), ReasonCode::PROTOCOL_ERROR),
        (Packet::Connect(Box::new(Connect::new(Version::V5, "c"))), ReasonCode::PROTOCOL_ERROR),
        (Packet::PingResp, ReasonCode::PROTOCOL_ERROR),
        (Packet::Publish(marked), ReasonCode::PROTOCOL_ERROR),
    ] {
        let (mut client, connack) = broker.client_with(Connect::new(Version::V5, "")).await;
        let offer = &connack.properties;
        assert!(offer.assigned_client_id.as_ref().is_some_and(|id| id.starts_with("auto-")));
        assert_eq!((offer.maximum_qos, offer.subscription_ids_available), (Some(QoS::AtLeastOnce), Some(false)));
        client.send(packet).await;
        client.expect_closed(reason).await;
    }
}

/// SEC-39: a revoked principal is cut off, others stay; an administrator can end a connection.
#[tokio::test]
async fn live_sessions_end_when_their_principal_may_not_connect() {
    for version in BOTH {
        let broker = start().await;
        let mut bad = broker.client(version, "bad").await;
        let mut good = broker.client(version, "good").await;
        assert_eq!(broker.broker.reauthorize(&Selector::Principal("p-bad")), 1);
        bad.expect_only(&[]).await;
        broker.policy.deny("connect client/bad");
        assert_eq!(broker.broker.reauthorize(&Selector::Principal("p-bad")), 1);
        bad.expect_closed(ReasonCode::NOT_AUTHORIZED).await;
        good.expect_only(&[]).await;
        assert_eq!(broker.broker.disconnect(&Selector::ClientId(&broker.tenant(), "good")), 1);
        good.expect_closed(ReasonCode::ADMINISTRATIVE_ACTION).await;
        eventually("gone", || broker.broker.connected() == 0).await;
        let broker = start().await;
        let mut client = broker.client(version, "c").await;
        let server = broker.broker.clone();
        let stopping = tokio::spawn(async move { server.shut_down(DEADLINE).await });
        client.expect_closed(ReasonCode::SERVER_SHUTTING_DOWN).await;
        stopping.await.unwrap();
    }
}

/// CP 5.2: the connection ends after one and a half keep alive periods of silence, and not before.
#[tokio::test]
async fn silence_ends_a_connection() {
    let mut options = BrokerOptions::default();
    options.session.keep_alive_min_secs = 1;
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let connect = Connect { keep_alive_secs: 1, ..Connect::new(Version::V5, "quiet") };
    let start = std::time::Instant::now();
    let (mut quiet, _) = broker.client_with(connect.clone()).await;
    let (mut lively, _) = broker.client_with(Connect { client_id: "lively".into(), ..connect }).await;
    let listen = tokio::spawn(async move {
        quiet.expect_closed(ReasonCode::KEEP_ALIVE_TIMEOUT).await;
        start.elapsed()
    });
    while !listen.is_finished() {
        lively.expect_only(&[]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let silence = listen.await.unwrap();
    assert!(silence >= Duration::from_millis(1500), "{silence:?}");
    lively.expect_only(&[]).await;
}

async fn lifecycle(broker: &TestBroker, kind: &str) -> marram_broker::LocalClient {
    let authority = FullAuthority::new(broker.tenant(), "test");
    let client = broker.broker.local_client("events", authority);
    client.subscribe(&TopicFilter::new(&format!("$aws/events/{kind}/#")).unwrap(), QoS::AtMostOnce).unwrap();
    client
}

/// CP 5.4: lifecycle events with their members, reasons and growing version numbers.
#[tokio::test]
async fn lifecycle_events_tell_who_came_and_went() {
    let broker = start().await;
    let mut presence = lifecycle(&broker, "presence").await;
    let mut subscriptions = lifecycle(&broker, "subscriptions").await;
    let mut client = broker.client(Version::V4, "thing1").await;
    client.subscribe("t", 0).await;
    client.unsubscribe("t").await;
    client.send(Packet::Disconnect(marram_mqtt::Disconnect::new(ReasonCode::SUCCESS))).await;
    assert_eq!(client.recv().await, None);
    let event = async |client: &mut marram_broker::LocalClient, topic: &str| {
        let received = timeout(DEADLINE, client.recv()).await.expect("an event");
        assert_eq!(&*received.message.topic, topic);
        serde_json::from_slice::<serde_json::Value>(&received.message.payload).unwrap()
    };
    let connected = event(&mut presence, "$aws/events/presence/connected/thing1").await;
    assert_eq!(connected["eventType"], "connected");
    assert_eq!(connected["ipAddress"], "127.0.0.1");
    assert_eq!(connected["principalIdentifier"], "p-thing1");
    let gone = event(&mut presence, "$aws/events/presence/disconnected/thing1").await;
    assert_eq!(gone["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
    assert_eq!(gone["clientInitiatedDisconnect"], true);
    assert_eq!(gone["sessionIdentifier"], connected["sessionIdentifier"]);
    assert!(gone["versionNumber"].as_u64() > connected["versionNumber"].as_u64());
    let subscribed = event(&mut subscriptions, "$aws/events/subscriptions/subscribed/thing1").await;
    assert_eq!(subscribed["topics"], serde_json::json!(["t"]));
    event(&mut subscriptions, "$aws/events/subscriptions/unsubscribed/thing1").await;

    drop(broker.client(Version::V4, "lost").await);
    event(&mut presence, "$aws/events/presence/connected/lost").await;
    let lost = event(&mut presence, "$aws/events/presence/disconnected/lost").await;
    assert_eq!(lost["disconnectReason"], "CONNECTION_LOST");
}

/// Answers `$aws/ping` to the asker alone, keeps `$aws/slow` waiting, routes `$aws/route`, knows nothing else.
#[derive(Default)]
struct Service(Mutex<Vec<String>>);

impl Interceptor for Service {
    fn publish(&self, origin: Origin, message: &Message) -> Interception {
        self.0.lock().unwrap().push(format!("{} {}", origin.client_id, message.topic));
        match &*message.topic {
            "$aws/ping" => {
                origin.reply.deliver(Message::new(Topic::new("$aws/ping/accepted").unwrap(), "pong"));
                Interception::Consumed
            }
            "$aws/slow" => Interception::Pending(Box::pin(async {
                tokio::task::yield_now().await;
                ReasonCode::SUCCESS
            })),
            "$aws/fail" => Interception::Pending(Box::pin(async { ReasonCode::QUOTA_EXCEEDED })),
            "$aws/route" => Interception::Route,
            _ => Interception::Unknown,
        }
    }
}

/// CP 5.8: services consume reserved topics, answer the asking session without a subscription, decide when a publish
/// is acknowledged; unknown topics end the connection.
#[tokio::test]
async fn services_answer_reserved_topics() {
    let service = Arc::new(Service::default());
    let broker = start_with(Setup { interceptor: Some(service.clone()), ..Setup::default() }).await;
    let mut client = broker.client(Version::V5, "c").await;
    let mut other = broker.client(Version::V5, "other").await;
    other.subscribe("$aws/route", 0).await;
    other.subscribe("$aws/ping/#", 0).await;
    client.publish1("$aws/slow", "x").await;
    client.publish1("$aws/route", "routed").await;
    client.publish("$aws/ping", "x").await;
    assert_eq!(client.message().await.topic.as_deref(), Some("$aws/ping/accepted"));
    other.expect_only(&["routed"]).await;
    let fail = Publish { qos: QoS::AtLeastOnce, packet_id: Some(PacketId::MAX), ..message("$aws/fail", "x") };
    client.send(Packet::Publish(fail)).await;
    assert_eq!(client.recv().await, Some(Packet::PubAck(Ack::new(PacketId::MAX, ReasonCode::QUOTA_EXCEEDED))));
    client.publish("$aws/other", "x").await;
    client.expect_closed(ReasonCode::NOT_AUTHORIZED).await;
    assert_eq!(service.0.lock().unwrap().len(), 5);
}

/// Design 4, CP 10.4: the original's metering is off by default; with it a second's worth passes and the rest waits.
#[tokio::test]
async fn metering_paces_a_publisher_when_it_is_on() {
    let quotas = Quotas { publishes_per_sec: 5, bytes_per_sec: 1_000_000, ..Quotas::default() };
    let options = BrokerOptions { quotas: Some(quotas), ..BrokerOptions::default() };
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let mut client = broker.client(Version::V4, "c").await;
    let start = std::time::Instant::now();
    for number in 0..8 {
        client.publish1("t", &number.to_string()).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    assert!(broker.broker.metrics().publish_in_throttle.get() > 0);
}

/// CP 5.2, SEC 12.2: CONNECTs beyond the rate of a client id or an account are refused, 5 with 0x97 and 3.1.1 with 3; the
/// connection that is there stays, and a stranger without permission costs the client id nothing.
#[tokio::test]
async fn connects_have_a_rate_per_client_id_and_account() {
    let rate = |burst| Rate { per_sec: 1, burst };
    let quotas = Quotas { connects_per_client: rate(2), connects_per_account: rate(4), ..Quotas::default() };
    let options = BrokerOptions { quotas: Some(quotas), ..BrokerOptions::default() };
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let refused = async |version, id: &str| {
        let mut peer = Peer::dial(broker.address, version).await;
        let reason = peer.connect(Connect::new(version, id)).await.reason;
        assert_eq!(peer.recv().await, None);
        reason
    };
    broker.policy.deny("connect client/denied");
    for _ in 0..10 {
        assert_eq!(refused(Version::V5, "denied").await, ReasonCode::NOT_AUTHORIZED);
    }
    let first = broker.client(Version::V5, "c").await;
    let mut second = broker.client(Version::V5, "c").await;
    drop(first);
    assert_eq!(refused(Version::V5, "c").await, ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(refused(Version::V4, "c").await, ReasonCode::SERVER_UNAVAILABLE);
    second.publish1("t", "not taken over").await;
    assert_eq!(broker.broker.metrics().connect_client_id_throttle.get(), 2);
    broker.client(Version::V4, "d").await;
    broker.client(Version::V4, "e").await;
    assert_eq!(refused(Version::V5, "f").await, ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(broker.broker.metrics().connect_throttle.get(), 1);
    let (_other, _) =
        broker.client_with(Connect { user_name: Some("b".into()), ..Connect::new(Version::V4, "c") }).await;
}

/// SEC 12.2: an account has so many sessions, also of clients that are away; who has one comes back to it, a clean one makes room
/// as it ends, and other accounts have their own.
#[tokio::test]
async fn sessions_have_a_quota_per_account() {
    let options = BrokerOptions { sessions_per_account: 2, ..BrokerOptions::default() };
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let kept = |id: &str| Connect { clean_start: false, ..Connect::new(Version::V4, id) };
    drop(broker.client_with(kept("away")).await);
    eventually("away", || broker.broker.connected() == 0).await;
    let clean = broker.client(Version::V5, "clean").await;
    for (version, expected) in
        [(Version::V5, ReasonCode::QUOTA_EXCEEDED), (Version::V4, ReasonCode::SERVER_UNAVAILABLE)]
    {
        let mut peer = Peer::dial(broker.address, version).await;
        assert_eq!(peer.connect(Connect::new(version, "third")).await.reason, expected);
        assert_eq!(peer.recv().await, None);
    }
    assert_eq!(broker.broker.metrics().connect_throttle.get(), 2);
    broker.client_with(kept("away")).await;
    broker.client_with(Connect { user_name: Some("b".into()), ..Connect::new(Version::V4, "third") }).await;
    drop(clean);
    eventually("room", || broker.broker.sessions(&broker.tenant()).len() == 1).await;
    broker.client(Version::V4, "third").await;
}

/// SEC 12.2: an account's retained messages are bounded by number and bytes. QoS 1 is told, 5 with PUBACK 0x97 and
/// 3.1.1 by the end of the connection; nothing is delivered; replacing and clearing stay possible; other accounts have
/// their own room.
#[tokio::test]
async fn retained_messages_have_a_quota_per_account() {
    let options = BrokerOptions { retained_messages: 2, retained_bytes: 20_000, ..BrokerOptions::default() };
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let mut reader = broker.client(Version::V4, "reader").await;
    reader.subscribe("#", 0).await;
    let mut client = broker.client(Version::V5, "c").await;
    let mut keep = async |topic: &str, payload: &str| {
        let packet_id = client.next_id();
        let publish =
            Publish { retain: true, qos: QoS::AtLeastOnce, packet_id: Some(packet_id), ..message(topic, payload) };
        client.send(Packet::Publish(publish)).await;
        match client.recv().await {
            Some(Packet::PubAck(ack)) if ack.packet_id == packet_id => ack.reason,
            other => panic!("not the PUBACK: {other:?}"),
        }
    };
    let big = "x".repeat(30_000);
    let (full, good) = (ReasonCode::QUOTA_EXCEEDED, ReasonCode::SUCCESS);
    for (topic, payload, wanted) in [
        ("a", "1", good),
        ("a", &big, full),
        ("b", "2", good),
        ("c", "3", full),
        ("a", "4", good),
        ("b", "", good),
        ("c", "5", good),
    ] {
        assert_eq!(keep(topic, payload).await, wanted, "{topic}");
    }
    reader.expect_only(&["1", "2", "4", "", "5"]).await;
    assert_eq!(broker.broker.metrics().publish_retained_throttle.get(), 2);
    let mut old = broker.client(Version::V4, "old").await;
    old.send(Packet::Publish(Publish { retain: true, ..message("d", "QoS 0") })).await;
    let packet_id = Some(old.next_id());
    old.send(Packet::Publish(Publish { retain: true, qos: QoS::AtLeastOnce, packet_id, ..message("d", "QoS 1") }))
        .await;
    old.expect_closed(full).await;
    reader.expect_only(&[]).await;
    let local = broker.broker.local_client("local", FullAuthority::new(broker.tenant(), "local"));
    let refused = local.publish(Message::new(Topic::new("d").unwrap(), "local").retained()).await;
    assert!(matches!(refused, Err(LocalError::RetainedQuota(_))), "{refused:?}");
    let (mut other, _) =
        broker.client_with(Connect { user_name: Some("b".into()), ..Connect::new(Version::V4, "o") }).await;
    other.send(Packet::Publish(Publish { retain: true, ..message("d", "theirs") })).await;
    other.expect_only(&[]).await;
    assert!(broker.broker.retained(&Tenant::new("b"), "d").is_some());
}

/// Local clients publish and subscribe under their own authority, in order, without a connection.
#[tokio::test]
async fn local_clients_are_clients() {
    let broker = start().await;
    let mut local = broker.broker.local_client("flow", FullAuthority::new(broker.tenant(), "flows"));
    local.subscribe(&TopicFilter::new("up/+").unwrap(), QoS::AtLeastOnce).unwrap();
    let mut device = broker.client(Version::V4, "device").await;
    device.subscribe("down", 1).await;
    for number in 0..100 {
        device.publish1("up/x", &number.to_string()).await;
    }
    let mut received = Vec::new();
    while received.len() < 100 {
        timeout(DEADLINE, local.recv_many(&mut received)).await.unwrap();
    }
    let numbers: Vec<_> =
        received.iter().map(|one| String::from_utf8_lossy(&one.message.payload).into_owned()).collect();
    assert_eq!(numbers, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    local.publish(Message::new(Topic::new("down").unwrap(), "hello").with_qos(QoS::AtLeastOnce)).await.unwrap();
    assert_eq!(&device.message().await.payload[..], b"hello");
    let foreign = broker.broker.local_client("flow", FullAuthority::new(Tenant::new("b"), "flows"));
    foreign.publish(Message::new(Topic::new("down").unwrap(), "not yours")).await.unwrap();
    device.expect_only(&[]).await;
    let before = broker.broker.subscriptions(&broker.tenant());
    drop(local);
    assert_eq!(broker.broker.subscriptions(&broker.tenant()), before - 1);
}

/// SEC 12.2: hostile input of 64 KiB, before and after CONNECT, ends the connection or is ignored, and never hangs the
/// broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_input_hangs_nothing() {
    let options = BrokerOptions { connect_timeout: Duration::from_secs(3), ..BrokerOptions::default() };
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut attackers = Vec::new();
    for round in 0..60 {
        let mut bytes = BytesMut::new();
        if round % 3 > 0 {
            Packet::Connect(Box::new(Connect::new(Version::V5, format!("evil-{round}"))))
                .encode(Version::V5, &mut bytes)
                .unwrap();
        }
        let filler: Vec<u8> = match round % 4 {
            0 => (0..65_536).map(|_| random() as u8).collect(),
            1 => vec![0x10, 0xff, 0xff, 0x03].into_iter().chain((0..65_000).map(|_| 0)).collect(),
            2 => [0xc0, 0].repeat(32_768),
            _ => [0x30, 4, 0, 1, b'a', 0].repeat(10_922),
        };
        bytes.extend_from_slice(&filler);
        let address = broker.address;
        attackers.push(tokio::spawn(async move {
            let mut peer = Peer::dial(address, Version::V5).await;
            peer.send_bytes(&bytes).await;
            tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.ok();
            let mut rest = Vec::new();
            timeout(DEADLINE, peer.stream.read_to_end(&mut rest)).await.expect("the broker closes").ok();
        }));
    }
    let mut good = broker.client(Version::V4, "good").await;
    good.subscribe("t", 1).await;
    for _ in 0..50 {
        good.publish1("t", "x").await;
        good.message().await;
    }
    for attacker in attackers {
        attacker.await.unwrap();
    }
    eventually("only the good one is left", || broker.broker.connected() == 1).await;
}
