//! Messages from publisher to subscriber: matching, QoS, retained, shared, wills, takeover (CP 5.2).

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{BOTH, DEADLINE, Setup, eventually, message, start, start_with};
use marram_broker::BrokerOptions;
use marram_mqtt::{
    Connect, Disconnect, Packet, Publish, QoS, ReasonCode, RetainHandling, SubscribeOptions, Topic, Version, Will,
};

fn will(topic: &str, payload: &'static str) -> Will {
    Will {
        topic: Topic::new(topic).unwrap(),
        payload: payload.into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_secs: 0,
        properties: Default::default(),
    }
}

/// CP 5.2: 3.1.1 and 5 talk to each other; QoS is the smaller of both sides; order holds per publisher and topic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cross_versions_in_order() {
    let broker = start().await;
    for (from, to) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
        let mut publisher = broker.client(BOTH[from], "pub").await;
        let mut subscriber = broker.client(BOTH[to], "sub").await;
        assert_eq!(subscriber.subscribe("plant/+/temp", 1).await, ReasonCode::GRANTED_QOS_1);
        for number in 0..50 {
            publisher.publish("plant/7/temp", &format!("zero {number}")).await;
            publisher.publish1("plant/7/temp", &format!("one {number}")).await;
        }
        let mut got = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let message = subscriber.message().await;
            let text = String::from_utf8(message.payload.to_vec()).unwrap();
            assert!(!message.retain && !message.dup);
            if message.qos == QoS::AtMostOnce { got.0.push(text) } else { got.1.push(text) }
        }
        assert_eq!(got.0, (0..50).map(|n| format!("zero {n}")).collect::<Vec<_>>());
        assert_eq!(got.1, (0..50).map(|n| format!("one {n}")).collect::<Vec<_>>());
    }
}

/// CP 5.2: QoS 2 is granted as 1 on SUBSCRIBE; a QoS 2 PUBLISH closes, v5 with 0x9B; so does PUBREL.
#[tokio::test]
async fn qos_2_is_not_spoken() {
    let broker = start().await;
    for version in BOTH {
        let mut client = broker.client(version, "c").await;
        assert_eq!(client.subscribe("t", 2).await, ReasonCode::GRANTED_QOS_1);
        let packet_id = Some(client.next_id());
        client.send(Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id, ..message("t", "x") })).await;
        client.expect_closed(ReasonCode::QOS_NOT_SUPPORTED).await;
        let mut client = broker.client(version, "c").await;
        let id = client.next_id();
        client.send(Packet::PubRel(marram_mqtt::Ack::new(id, ReasonCode::SUCCESS))).await;
        client.expect_closed(ReasonCode::QOS_NOT_SUPPORTED).await;
    }
}

/// CP 5.2: retained messages reach exact filters only, with RETAIN 1; `#` and `+` do not get them; live forwards carry
/// RETAIN 0; zero length deletes and is itself delivered.
#[tokio::test]
async fn retained_messages_go_to_exact_filters() {
    let broker = start().await;
    for version in BOTH {
        let mut publisher = broker.client(version, "pub").await;
        publisher.send(Packet::Publish(Publish { retain: true, ..message("r/1", "kept") })).await;
        publisher.expect_only(&[]).await;
        let mut live = broker.client(version, "live").await;
        live.subscribe("r/+", 1).await;
        live.subscribe("r/#", 1).await;
        live.expect_only(&[]).await;
        let mut late = broker.client(version, "late").await;
        late.subscribe("r/1", 1).await;
        let kept = late.message().await;
        assert_eq!((kept.retain, &kept.payload[..]), (true, &b"kept"[..]));
        publisher.send(Packet::Publish(Publish { retain: true, ..message("r/1", "") })).await;
        assert!(!live.message().await.retain);
        assert!(!late.message().await.retain);
        assert!(broker.broker.retained(&broker.tenant(), "r/1").is_none());
        let mut later = broker.client(version, "later").await;
        later.subscribe("r/1", 1).await;
        later.expect_only(&[]).await;
    }
}

/// MQTT 5 3.8.3.1: retain handling, retain as published, no local.
#[tokio::test]
async fn subscription_options_of_5() {
    let broker = start().await;
    let mut client = broker.client(Version::V5, "c").await;
    client.send(Packet::Publish(Publish { retain: true, ..message("t", "kept") })).await;
    let options = |handling, no_local, as_published| SubscribeOptions {
        qos: QoS::AtMostOnce,
        no_local,
        retain_as_published: as_published,
        retain_handling: handling,
    };
    client.subscribe_all(vec![("t", options(RetainHandling::Never, false, false))]).await;
    client.expect_only(&[]).await;
    client.subscribe_all(vec![("t", options(RetainHandling::SendIfNew, false, false))]).await;
    client.expect_only(&[]).await;
    client.subscribe_all(vec![("t", options(RetainHandling::Send, false, true))]).await;
    client.expect_only(&["kept"]).await;
    client.send(Packet::Publish(Publish { retain: true, ..message("t", "new") })).await;
    assert!(client.message().await.retain);
    client.subscribe_all(vec![("t", options(RetainHandling::Never, true, false))]).await;
    client.publish("t", "mine").await;
    client.expect_only(&[]).await;
}

/// CP 5.2: `#` does not match the parent level; `$` topics do not match leading wildcards; overlapping filters deliver
/// once, at the higher QoS.
#[tokio::test]
async fn matching_differs_from_the_naive_reading() {
    let broker = start().await;
    let mut client = broker.client(Version::V4, "c").await;
    client.subscribe("a/#", 0).await;
    client.subscribe("a/+", 1).await;
    client.subscribe("#", 0).await;
    client.unsubscribe("#").await;
    for topic in ["a", "a/b", "a/b/c", "$x/a"] {
        client.publish(topic, topic).await;
    }
    client.expect_only(&["a/b", "a/b/c"]).await;
    client.publish1("a/b", "one").await;
    assert_eq!(client.message().await.qos, QoS::AtLeastOnce);
}

/// CP 5.2: shared subscriptions give each message to one member, spread over them, and retain nothing.
#[tokio::test]
async fn shared_subscriptions_divide_the_work() {
    let broker = start().await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    publisher.send(Packet::Publish(Publish { retain: true, ..message("job", "kept") })).await;
    publisher.expect_only(&[]).await;
    let mut members = vec![broker.client(Version::V4, "m0").await, broker.client(Version::V5, "m1").await];
    let mut plain = broker.client(Version::V4, "plain").await;
    for member in &mut members {
        assert_eq!(member.subscribe("$share/g/job", 1).await, ReasonCode::GRANTED_QOS_1);
        member.expect_only(&[]).await;
    }
    plain.subscribe("+", 0).await;
    for number in 0..10 {
        publisher.publish1("job", &number.to_string()).await;
    }
    let mut got = Vec::new();
    for member in &mut members {
        for _ in 0..5 {
            got.push(member.message().await.payload);
        }
        member.expect_only(&[]).await;
    }
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 10);
    for _ in 0..10 {
        plain.message().await;
    }
}

/// CP 5.2, 5.4: the newest connection wins; the old one gets 0x8E (5) or just the end (3.1.1).
#[tokio::test]
async fn a_newer_connection_takes_over() {
    let broker = start().await;
    for version in BOTH {
        let mut old = broker.client(version, "same").await;
        let mut new = broker.client(version, "same").await;
        old.expect_closed(ReasonCode::SESSION_TAKEN_OVER).await;
        new.expect_only(&[]).await;
        assert_eq!(broker.broker.connected(), 1);
        drop(new);
        eventually("the session ends", || broker.broker.sessions(&broker.tenant()).is_empty()).await;
    }
}

/// CP 5.2: a will is published unless the client said DISCONNECT; v5 0x04 publishes it anyway.
#[tokio::test]
async fn wills_are_published_when_the_client_did_not_say_goodbye() {
    let broker = start().await;
    let mut watcher = broker.client(Version::V5, "watcher").await;
    watcher.subscribe("gone/+", 1).await;
    for (version, goodbye, wanted) in [
        (Version::V4, None, true),
        (Version::V5, None, true),
        (Version::V4, Some(ReasonCode::SUCCESS), false),
        (Version::V5, Some(ReasonCode::SUCCESS), false),
        (Version::V5, Some(ReasonCode::DISCONNECT_WITH_WILL), true),
    ] {
        let connect = Connect { will: Some(will("gone/c", "bye")), ..Connect::new(version, "c") };
        let (mut client, _) = broker.client_with(connect).await;
        if let Some(reason) = goodbye {
            client.send(Packet::Disconnect(Disconnect::new(reason))).await;
            assert_eq!(client.recv().await, None);
        }
        drop(client);
        eventually("the session ends", || broker.broker.sessions(&broker.tenant()).len() == 1).await;
        watcher.expect_only(if wanted { &["bye"] } else { &[] }).await;
    }
}

/// MQTT 5 3.1.3.2.2: a will waits for its delay and is not sent if the session is resumed before.
#[tokio::test]
async fn a_delayed_will_waits() {
    let broker = start().await;
    let mut watcher = broker.client(Version::V5, "watcher").await;
    watcher.subscribe("gone/+", 1).await;
    let connect = |delay: u32, expiry: u32, clean: bool| {
        let mut connect = Connect::new(Version::V5, "c");
        connect.will = Some(Will { delay_secs: delay, ..will("gone/c", "bye") });
        connect.clean_start = clean;
        connect.properties.session_expiry_secs = Some(expiry);
        connect
    };
    drop(broker.client_with(connect(600, 1200, true)).await);
    eventually("offline", || broker.broker.connected() == 1).await;
    let (client, connack) = broker.client_with(connect(1, 1200, false)).await;
    assert!(connack.session_present);
    watcher.expect_only(&[]).await;
    drop(client);
    assert_eq!(&watcher.message().await.payload[..], b"bye");
}

/// CP 5.2: a persistent session keeps QoS 1 messages and its subscriptions; QoS 0 is not kept; what was not
/// acknowledged is sent again with DUP; clean start forgets.
#[tokio::test]
async fn persistent_sessions_keep_qos_1() {
    let broker = start().await;
    for version in BOTH {
        let connect = |clean| {
            let mut connect = Connect { clean_start: clean, ..Connect::new(version, "sleeper") };
            connect.properties.session_expiry_secs = (version == Version::V5).then_some(600);
            connect
        };
        let (mut sleeper, connack) = broker.client_with(connect(false)).await;
        assert!(!connack.session_present);
        sleeper.subscribe("s", 1).await;
        let mut publisher = broker.client(Version::V4, "pub").await;
        publisher.publish1("s", "unacknowledged").await;
        assert!(matches!(sleeper.recv().await, Some(Packet::Publish(_))));
        drop(sleeper);
        eventually("offline", || broker.broker.connected() == 1).await;
        publisher.publish("s", "zero").await;
        publisher.publish1("s", "one").await;
        publisher.publish1("s", "two").await;
        let (mut sleeper, connack) = broker.client_with(connect(false)).await;
        assert!(connack.session_present);
        let again = sleeper.message().await;
        assert_eq!((again.dup, &again.payload[..]), (true, &b"unacknowledged"[..]));
        sleeper.expect_only(&["one", "two"]).await;
        drop(sleeper);
        eventually("offline", || broker.broker.connected() == 1).await;
        let (mut sleeper, connack) = broker.client_with(connect(true)).await;
        assert!(!connack.session_present);
        publisher.publish1("s", "nobody").await;
        sleeper.expect_only(&[]).await;
        sleeper.send(Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS))).await;
        assert_eq!(sleeper.recv().await, None);
    }
}

/// MQTT 5 3.1.2.11.2: a session ends with its expiry.
#[tokio::test]
async fn sessions_expire() {
    let broker = start().await;
    let mut connect = Connect { clean_start: false, ..Connect::new(Version::V5, "c") };
    connect.properties.session_expiry_secs = Some(1);
    drop(broker.client_with(connect).await);
    eventually("the session expires", || broker.broker.sessions(&broker.tenant()).is_empty()).await;
}

/// CP 5.2: message expiry is lowered by the time waited, and an expired message is not delivered.
#[tokio::test]
async fn expired_messages_are_not_delivered() {
    let broker = start().await;
    let connect = || {
        let mut connect = Connect { clean_start: false, ..Connect::new(Version::V5, "sleeper") };
        connect.properties.session_expiry_secs = Some(600);
        connect
    };
    let (mut sleeper, _) = broker.client_with(connect()).await;
    sleeper.subscribe("s", 1).await;
    drop(sleeper);
    eventually("offline", || broker.broker.connected() == 0).await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    for (expiry, payload) in [(1, "short"), (1_000_000, "long")] {
        let mut publish = Publish { qos: QoS::AtLeastOnce, ..message("s", payload) };
        publish.packet_id = Some(publisher.next_id());
        publish.properties.message_expiry_secs = Some(expiry);
        publisher.send(Packet::Publish(publish)).await;
        assert!(matches!(publisher.recv().await, Some(Packet::PubAck(_))));
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (mut sleeper, _) = broker.client_with(connect()).await;
    let long = sleeper.message().await;
    assert_eq!(&long.payload[..], b"long");
    let left = long.properties.message_expiry_secs.unwrap();
    assert!((604_790..604_800).contains(&left), "{left}");
    sleeper.expect_only(&[]).await;
}

/// CP 5.2: topic aliases up to 8 in both directions; an alias of 9 or one never defined ends the connection.
#[tokio::test]
async fn topic_aliases_work_both_ways() {
    let broker = start().await;
    let mut connect = Connect::new(Version::V5, "sub");
    connect.properties.topic_alias_maximum = 2;
    let (mut subscriber, connack) = broker.client_with(connect).await;
    assert_eq!(connack.properties.topic_alias_maximum, Some(8));
    subscriber.subscribe("al/#", 0).await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    let aliased = |topic: Option<&str>, alias: u16| {
        let mut publish = message("x", "m");
        publish.topic = topic.map(|topic| Topic::new(topic).unwrap());
        publish.properties.topic_alias = std::num::NonZeroU16::new(alias);
        Packet::Publish(publish)
    };
    publisher.send(aliased(Some("al/one"), 8)).await;
    publisher.send(aliased(None, 8)).await;
    let first = subscriber.message().await;
    assert_eq!(first.topic.as_deref(), Some("al/one"));
    let second = subscriber.message().await;
    assert_eq!((second.topic, second.properties.topic_alias), (None, first.properties.topic_alias));
    publisher.send(aliased(None, 3)).await;
    publisher.expect_closed(ReasonCode::PROTOCOL_ERROR).await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    publisher.send(aliased(Some("al/one"), 9)).await;
    publisher.expect_closed(ReasonCode::TOPIC_ALIAS_INVALID).await;
}

/// MQTT-3.1.2-24: a message larger than the client accepts is dropped, later ones come.
#[tokio::test]
async fn the_clients_maximum_packet_size_holds() {
    let broker = start().await;
    let mut connect = Connect::new(Version::V5, "small");
    connect.properties.maximum_packet_size = std::num::NonZeroU32::new(64);
    let (mut small, _) = broker.client_with(connect).await;
    small.subscribe("t", 1).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    publisher.publish1("t", &"x".repeat(100)).await;
    publisher.publish1("t", "fits").await;
    small.expect_only(&["fits"]).await;
}

/// CP 5.2: no more than the smaller of 100 and the client's Receive Maximum unacknowledged; QoS 0 passes by.
#[tokio::test]
async fn the_window_holds() {
    let broker = start().await;
    let mut connect = Connect::new(Version::V5, "slow");
    connect.properties.receive_maximum = std::num::NonZeroU16::new(3);
    let (mut slow, connack) = broker.client_with(connect).await;
    assert_eq!(connack.properties.receive_maximum.map(std::num::NonZeroU16::get), Some(100));
    slow.subscribe("t", 1).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    for number in 0..6 {
        publisher.publish1("t", &number.to_string()).await;
    }
    publisher.publish("t", "zero").await;
    let mut ids = Vec::new();
    for wanted in ["0", "1", "2", "zero"] {
        let Some(Packet::Publish(publish)) = slow.recv().await else { panic!("a message") };
        assert_eq!(&publish.payload[..], wanted.as_bytes());
        ids.extend(publish.packet_id);
    }
    slow.expect_only(&[]).await;
    slow.send(Packet::PubAck(marram_mqtt::Ack::new(ids[1], ReasonCode::SUCCESS))).await;
    assert_eq!(&slow.message().await.payload[..], b"3");
}

/// Design 5: a receiver whose window and waiting room are full costs nothing until it acknowledges. On one thread, a
/// connection that span would stop everybody.
#[tokio::test]
async fn a_full_window_is_waited_for_quietly() {
    let broker = start().await;
    let mut slow = broker.client(Version::V4, "slow").await;
    slow.subscribe("t", 1).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    for number in 0..1000 {
        publisher.publish1("t", &number.to_string()).await;
    }
    for number in 0..1000 {
        assert_eq!(slow.message().await.payload, number.to_string());
    }
}

/// Design 5: a subscriber that does not read loses messages; the publisher and everybody else go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_stalls_nobody() {
    let options = BrokerOptions { online_queue_bytes: 128 * 1024, ..BrokerOptions::default() };
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let mut stuck = broker.client(Version::V4, "stuck").await;
    stuck.subscribe("flood", 0).await;
    let mut reader = broker.client(Version::V4, "reader").await;
    reader.subscribe("flood", 0).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    let payload = "x".repeat(10_000);
    for _ in 0..3000 {
        publisher.publish("flood", &payload).await;
        reader.message().await;
    }
    let dropped = broker.broker.metrics().publish_out_throttle.get();
    assert!(dropped > 0, "30 MB do not fit into the buffers of a socket");
}

/// Design 5: many publishers to one subscriber that reads as fast as it can: they wait for it, and nothing is lost, though
/// its queue holds a fraction of what they send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_wait_for_a_receiver_that_moves() {
    let options = BrokerOptions {
        online_queue_bytes: 64 * 1024,
        offline_queue_bytes: 512 * 1024,
        patience: DEADLINE,
        ..BrokerOptions::default()
    };
    let broker = start_with(Setup { options, ..Setup::default() }).await;
    let mut reader = broker.client(Version::V4, "reader").await;
    reader.subscribe("all/+", 1).await;
    let payload = Arc::new("x".repeat(8 * 1024));
    let mut publishers = tokio::task::JoinSet::new();
    for number in 0..20 {
        let mut publisher = broker.client(Version::V4, &format!("pub-{number}")).await;
        let payload = Arc::clone(&payload);
        publishers.spawn(async move {
            for _ in 0..100 {
                publisher.publish1(&format!("all/{number}"), &payload).await;
            }
        });
    }
    for _ in 0..20 * 100 {
        reader.message().await;
    }
    publishers.join_all().await;
    assert_eq!(broker.broker.metrics().publish_out_throttle.get(), 0);
}

/// House rule, one account never sees another: same topics, same client ids, no contact.
#[tokio::test]
async fn tenants_do_not_meet() {
    let broker = start().await;
    let connect = |tenant: &str| Connect { user_name: Some(tenant.into()), ..Connect::new(Version::V4, "same") };
    let (mut one, _) = broker.client_with(connect("one")).await;
    let (mut two, _) = broker.client_with(connect("two")).await;
    one.subscribe("#", 0).await;
    two.subscribe("t", 0).await;
    two.send(Packet::Publish(Publish { retain: true, ..message("t", "two") })).await;
    two.expect_only(&["two"]).await;
    one.subscribe("t", 0).await;
    one.expect_only(&[]).await;
}
