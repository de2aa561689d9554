//! How much memory clients that do not read can make the broker hold, and that nobody else pays for it.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Peer, Setup, TestBroker, eventually, message, start_with};
use marram_broker::BrokerOptions;
use marram_mqtt::{Ack, Connect, Packet, Publish, PublishProperties, QoS, ReasonCode, Version};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What each session may hold when nothing is left: 4 KiB queued, a write of 4 KiB begun, and what buffers grow by.
const EACH: usize = 16 * KIB;

/// A subscriber that takes nothing more after its SUBACK, over a connection that holds little.
async fn stuck(broker: &TestBroker, id: &str, filter: &str, qos: u8) -> Peer {
    let mut peer = Peer::dial_narrow(broker.address, Version::V5).await;
    assert_eq!(peer.connect(Connect::new(Version::V5, id)).await.reason, ReasonCode::SUCCESS);
    peer.subscribe(filter, qos).await;
    peer
}

/// Everything comes back once the clients are gone; what threads have not told each other is left.
async fn all_is_given_back(broker: &TestBroker) {
    eventually("the memory of messages is free again", || broker.broker.queued_bytes() < 100 * KIB).await;
}

/// Design 5, SEC 12.2: three hundred subscribers of ten topics that do not read hold what the broker allows for all of
/// them together; a client that reads gets every message at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_that_do_not_read_hold_a_bounded_amount() {
    const STUCK: usize = 300;
    let options = BrokerOptions {
        queued_bytes: 16 * MIB,
        queued_qos0_bytes: 4 * MIB,
        patience: Duration::from_millis(2),
        ..BrokerOptions::default()
    };
    let broker = start_with(Setup { options, narrow: true, ..Setup::default() }).await;
    let mut peers = Vec::new();
    for number in 0..STUCK {
        peers.push(stuck(&broker, &format!("stuck-{number}"), &format!("flood/{}", number % 10), 0).await);
    }
    let mut reader = broker.client(Version::V4, "reader").await;
    reader.subscribe("calm", 0).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    let payload = "x".repeat(4 * KIB);
    let mut worst = 0;
    for round in 0..600 {
        for topic in 0..10 {
            publisher.publish(&format!("flood/{topic}"), &payload).await;
        }
        publisher.publish("calm", &round.to_string()).await;
        assert_eq!(reader.message().await.payload, round.to_string());
        worst = worst.max(broker.broker.queued_bytes());
    }
    assert!((3 * MIB..4 * MIB + STUCK * EACH).contains(&worst), "{worst} bytes");
    assert!(broker.broker.metrics().publish_out_throttle.get() > 0);
    drop(peers);
    all_is_given_back(&broker).await;
}

/// Design 5: a subscriber that is merely slow gets every QoS 1 message in order, while others stand still and the room for
/// QoS 0 is used up; the publisher is answered all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_no_qos_1() {
    let options =
        BrokerOptions { queued_qos0_bytes: 256 * KIB, patience: Duration::from_millis(2), ..BrokerOptions::default() };
    let broker = start_with(Setup { options, narrow: true, ..Setup::default() }).await;
    let mut peers = Vec::new();
    for number in 0..20 {
        peers.push(stuck(&broker, &format!("stuck-{number}"), "work", number % 2).await);
    }
    let mut slow = broker.client(Version::V4, "slow").await;
    slow.subscribe("work", 1).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    let padding = "x".repeat(KIB);
    let mut read = 0;
    for number in 0..4000 {
        publisher.publish1("work", &format!("{number} {padding}")).await;
        if number > 2000 && number % 4 == 0 {
            assert!(slow.message().await.payload.starts_with(format!("{read} ").as_bytes()));
            read += 1;
        }
    }
    for number in read..4000 {
        assert!(slow.message().await.payload.starts_with(format!("{number} ").as_bytes()), "{number}");
    }
}

/// SEC 12.2: in the full queue of one session QoS 0 goes first, and QoS 1 that fits without it is all there.
#[tokio::test]
async fn qos_1_displaces_qos_0() {
    let options = BrokerOptions {
        online_queue_bytes: 256 * KIB,
        offline_queue_bytes: 512 * KIB,
        patience: Duration::from_millis(1),
        ..BrokerOptions::default()
    };
    let broker = start_with(Setup { options, narrow: true, ..Setup::default() }).await;
    let mut slow = stuck(&broker, "slow", "+", 1).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    let padding = "x".repeat(KIB);
    let dropped = || broker.broker.metrics().publish_out_throttle.get();
    while dropped() == 0 {
        publisher.publish("zero", &padding).await;
        tokio::task::yield_now().await;
    }
    let before = dropped();
    for number in 0..380 {
        publisher.publish1("one", &format!("{number} {padding}")).await;
    }
    assert!(dropped() > before, "the two do not fit into 512 KiB together");
    let mut next = 0;
    while next < 380 {
        let message = slow.message().await;
        if message.qos > QoS::AtMostOnce {
            assert!(message.payload.starts_with(format!("{next} ").as_bytes()), "{next}");
            next += 1;
        }
    }
}

/// Design 5: properties weigh as much as payloads. A message of nothing but correlation data fills a queue like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_count() {
    let broker = start_with(Setup { narrow: true, ..Setup::default() }).await;
    let _slow = stuck(&broker, "slow", "t", 0).await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    let correlation_data = Some(Bytes::from(vec![7; 60 * KIB]));
    let properties = PublishProperties { correlation_data, ..PublishProperties::default() };
    let mut worst = 0;
    for _ in 0..200 {
        publisher.send(Packet::Publish(Publish { properties: properties.clone(), ..message("t", "") })).await;
        publisher.send(Packet::PingReq).await;
        assert_eq!(publisher.recv().await, Some(Packet::PingResp));
        worst = worst.max(broker.broker.queued_bytes());
    }
    assert!(broker.broker.metrics().publish_out_throttle.get() > 0);
    // A quarter of a megabyte is the largest buffer for a socket of a client that does not read.
    assert!((256 * KIB..2 * MIB + 256 * KIB).contains(&worst), "{worst} bytes");
}

/// Design 5: clients that read everything and acknowledge nothing do not keep a hundred large messages each once there is
/// no room; one at a time is in flight, and whoever acknowledges is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_acknowledges_is_bounded() {
    const SILENT: usize = 20;
    const LARGE: usize = 100 * KIB;
    let options = BrokerOptions { queued_bytes: 4 * MIB, ..BrokerOptions::default() };
    let broker = start_with(Setup { options, narrow: true, ..Setup::default() }).await;
    let mut peers = Vec::new();
    for number in 0..SILENT {
        let mut peer = broker.client(Version::V4, &format!("silent-{number}")).await;
        peer.subscribe(&format!("own/{number}"), 1).await;
        peers.push(tokio::spawn(async move {
            let mut count = 0;
            while let Some(Packet::Publish(_)) = peer.recv_for(Duration::from_secs(60)).await {
                count += 1;
            }
            count
        }));
    }
    let mut publisher = broker.client(Version::V4, "pub").await;
    let payload = "x".repeat(LARGE);
    let mut worst = 0;
    for _ in 0..20 {
        for number in 0..SILENT {
            publisher.publish1(&format!("own/{number}"), &payload).await;
            worst = worst.max(broker.broker.queued_bytes());
        }
    }
    assert!((3 * MIB..4 * MIB + SILENT * (2 * LARGE + EACH)).contains(&worst), "{worst} bytes");
    let mut reader = broker.client(Version::V4, "reader").await;
    reader.subscribe("calm", 1).await;
    for number in 0..50 {
        publisher.publish1("calm", &number.to_string()).await;
        let Some(Packet::Publish(got)) = reader.recv().await else { panic!("a message") };
        assert_eq!(got.payload, number.to_string());
        reader.send(Packet::PubAck(Ack::new(got.packet_id.unwrap(), ReasonCode::SUCCESS))).await;
    }
    peers.iter().for_each(tokio::task::JoinHandle::abort);
    for peer in peers {
        drop(peer.await);
    }
    all_is_given_back(&broker).await;
}

/// SEC 12.2: strangers who send most of a large CONNECT and not its end hold a bounded amount together; whoever comes with
/// an ordinary one is let in beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_connects_hold_a_bounded_amount() {
    const STRANGERS: usize = 200;
    const LARGE: usize = 140 * KIB;
    let broker = start_with(Setup::default()).await;
    let mut peers = Vec::new();
    let mut begun = vec![0x10, 0x80, 0x80, 0x09, 0, 4];
    begun.extend(b"MQTT\x04\x06\0\x3c\0\x01x\0\x01w");
    begun.resize(LARGE, b'w');
    for _ in 0..STRANGERS {
        let mut peer = Peer::dial(broker.address, Version::V4).await;
        peer.send_bytes(&begun).await;
        peers.push(peer);
    }
    let turned_away = || broker.broker.metrics().connect_client_error.get() as usize;
    let wanted = STRANGERS - 16 * MIB / (LARGE - 4 * KIB) - 1;
    eventually("those beyond 16 MiB are turned away", || turned_away() >= wanted).await;
    broker.client(Version::V4, "ordinary").await;
    assert!(turned_away() < STRANGERS - 90, "{}", turned_away());
}

/// CP 5.2: a member of a shared subscription that does not read gets no more than its queue takes without anybody waiting;
/// the work goes to those that do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_work_goes_to_members_that_read() {
    let broker = start_with(Setup { narrow: true, ..Setup::default() }).await;
    let mut stuck = stuck(&broker, "stuck", "$share/workers/work", 1).await;
    let mut reader = broker.client(Version::V4, "reader").await;
    reader.subscribe("$share/workers/work", 1).await;
    let mut publisher = broker.client(Version::V4, "pub").await;
    let padding = "x".repeat(KIB);
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while let Some(Packet::Publish(got)) = reader.recv().await {
            if got.payload == "end" {
                return count;
            }
            count += 1;
            reader.send(Packet::PubAck(Ack::new(got.packet_id.unwrap(), ReasonCode::SUCCESS))).await;
        }
        panic!("closed")
    });
    for _ in 0..3000 {
        publisher.publish1("work", &padding).await;
    }
    stuck.unsubscribe_unheard("$share/workers/work").await;
    eventually("one member is left", || broker.broker.subscriptions(&broker.tenant()) == 1).await;
    publisher.publish1("work", "end").await;
    let count = reading.await.unwrap();
    assert!(count > 2000, "{count} of 3000");
    assert_eq!(broker.broker.metrics().publish_out_throttle.get(), 0);
}
