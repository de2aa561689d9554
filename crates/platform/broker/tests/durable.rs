//! What was acknowledged survives: restarts, and a process killed in the middle of its work (CP 5.2).

mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::{Peer, Setup, eventually, message, start_with};
use marram_broker::{BrokerOptions, FileStore, SessionStore};
use marram_mqtt::{Connect, Disconnect, Packet, Publish, QoS, ReasonCode, Topic, Version, Will};

fn sleeper(clean_start: bool) -> Connect {
    let mut connect = Connect { clean_start, ..Connect::new(Version::V5, "sleeper") };
    connect.properties.session_expiry_secs = Some(3600);
    connect
}

fn stored(folder: &Path) -> Setup {
    let store: Arc<dyn SessionStore> = Arc::new(FileStore::open(folder).unwrap());
    let options = BrokerOptions { restart_grace_secs: 1, ..BrokerOptions::default() };
    Setup { store: Some(store), options, ..Setup::default() }
}

/// CP 5.2: subscriptions, queued and unacknowledged QoS 1 messages and retained messages outlive the broker.
#[test]
fn a_restart_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    first.block_on(async {
        let broker = start_with(stored(folder.path())).await;
        let (mut client, _) = broker.client_with(sleeper(true)).await;
        client.subscribe("s/+", 1).await;
        client.subscribe("gone", 1).await;
        client.unsubscribe("gone").await;
        let mut publisher = broker.client(Version::V4, "pub").await;
        publisher.publish1("s/0", "acknowledged").await;
        client.expect_only(&["acknowledged"]).await;
        publisher.publish1("s/1", "sent, not acknowledged").await;
        assert!(matches!(client.recv().await, Some(Packet::Publish(_))));
        drop(client);
        eventually("offline", || broker.broker.connected() == 1).await;
        publisher.publish1("s/2", "queued").await;
        let packet_id = Some(publisher.next_id());
        let kept = Publish { retain: true, qos: QoS::AtLeastOnce, packet_id, ..message("r", "kept") };
        publisher.send(Packet::Publish(kept)).await;
        assert!(matches!(publisher.recv().await, Some(Packet::PubAck(_))));
    });
    drop(first);
    runtime().block_on(async {
        let broker = start_with(stored(folder.path())).await;
        let mut publisher = broker.client(Version::V4, "pub").await;
        publisher.publish1("s/3", "after the restart").await;
        publisher.publish1("gone", "unsubscribed").await;
        let (mut client, connack) = broker.client_with(sleeper(false)).await;
        assert!(connack.session_present);
        client.expect_only(&["sent, not acknowledged", "queued", "after the restart"]).await;
        client.subscribe("r", 1).await;
        client.expect_only(&["kept"]).await;
        let (_, connack) = broker.client_with(sleeper(true)).await;
        assert!(!connack.session_present);
    });
}

/// Not a test by itself: the broker that `a_killed_broker_loses_nothing_acknowledged` starts and kills.
#[tokio::test]
#[ignore = "child process of another test"]
async fn child() {
    let Some(folder) = std::env::var_os("MARRAM_TEST_SESSIONS") else { return };
    let broker = start_with(stored(Path::new(&folder))).await;
    println!("\nlistening {}", broker.address);
    std::future::pending::<()>().await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn spawn(folder: &Path) -> (Killed, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("MARRAM_TEST_SESSIONS", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let killed = Killed(child);
    let line = BufReader::new(stdout).lines().map(Result::unwrap).find(|line| line.starts_with("listening ")).unwrap();
    let address = line.strip_prefix("listening ").unwrap().parse().unwrap();
    (killed, address)
}

/// CP 5.2: a QoS 1 publish to a persistent session is acknowledged only after it is durable: whatever was
/// acknowledged before `kill -9` is delivered afterwards, in order.
#[tokio::test]
async fn a_killed_broker_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let (broker, address) = spawn(folder.path());
        let mut client = Peer::dial(address, Version::V5).await;
        let connack = client.connect(sleeper(false)).await;
        assert_eq!((connack.reason, connack.session_present), (ReasonCode::SUCCESS, round > 0));
        if round == 0 {
            client.subscribe("s", 1).await;
        }
        drop(client);
        let mut publisher = Peer::dial(address, Version::V4).await;
        publisher.connect(Connect::new(Version::V4, "pub")).await;
        for number in 0..40 {
            let payload = format!("{round}/{number}");
            publisher.publish1("s", &payload).await;
            acknowledged.push(payload);
        }
        // One more on its way when the process dies: it may or may not have made it.
        publisher.send(Packet::Publish(message("s", "zero"))).await;
        drop(broker);
    }
    let (_broker, address) = spawn(folder.path());
    let mut client = Peer::dial(address, Version::V5).await;
    assert!(client.connect(sleeper(false)).await.session_present);
    let mut got = Vec::new();
    while got.len() < acknowledged.len() {
        got.push(String::from_utf8(client.message().await.payload.to_vec()).unwrap());
    }
    assert_eq!(got, acknowledged);
    client.expect_only(&[]).await;
}

/// MQTT 5 3.1.2.5: the will of a connection that ended with the broker is published after the restart, once, for clean
/// and persistent sessions; not that of a client that had said goodbye, nor of one that resumes within its delay.
#[tokio::test]
async fn a_killed_broker_publishes_wills() {
    let folder = tempfile::tempdir().unwrap();
    let leaving = |version, id: &str, expiry: Option<u32>, delay_secs| {
        let mut connect = Connect::new(version, id);
        connect.properties.session_expiry_secs = expiry;
        let topic = Topic::new(&format!("gone/{id}")).unwrap();
        let payload = id.to_owned().into();
        connect.will = Some(Will {
            topic,
            payload,
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_secs,
            properties: Default::default(),
        });
        connect
    };
    let (broker, address) = spawn(folder.path());
    let connected = async |address, connect: Connect| {
        let mut peer = Peer::dial(address, connect.version).await;
        let connack = peer.connect(connect).await;
        assert_eq!(connack.reason, ReasonCode::SUCCESS);
        (peer, connack.session_present)
    };
    let (mut watcher, _) = connected(address, sleeper(true)).await;
    watcher.subscribe("gone/+", 1).await;
    let mut there = Vec::new();
    for connect in [
        leaving(Version::V4, "clean", None, 0),
        leaving(Version::V5, "persistent", Some(3600), 0),
        leaving(Version::V5, "returns", Some(3600), 600),
    ] {
        there.push(connected(address, connect).await.0);
    }
    let (mut polite, _) = connected(address, leaving(Version::V5, "polite", Some(3600), 0)).await;
    polite.send(Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS))).await;
    assert_eq!(polite.recv().await, None);
    // Acknowledged only once everything before it is durable, the goodbye included.
    there[0].publish1("gone/nobody", "before").await;
    assert_eq!(&watcher.message().await.payload[..], b"before");
    drop(broker);

    let (broker, address) = spawn(folder.path());
    let (_returned, present) = connected(
        address,
        Connect { clean_start: false, will: None, ..leaving(Version::V5, "returns", Some(3600), 0) },
    )
    .await;
    assert!(present);
    let (mut watcher, present) = connected(address, sleeper(false)).await;
    assert!(present);
    let mut wills = Vec::new();
    while wills.len() < 2 {
        let message = watcher.message().await;
        if &message.payload[..] != b"before" {
            wills.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
    }
    wills.sort();
    assert_eq!(wills, ["clean", "persistent"]);
    let (mut publisher, _) = connected(address, Connect::new(Version::V4, "pub")).await;
    publisher.publish1("gone/nobody", "after").await;
    watcher.expect_only(&["after"]).await;
    drop(broker);

    let (_broker, address) = spawn(folder.path());
    let (mut publisher, _) = connected(address, Connect::new(Version::V4, "pub")).await;
    let start = std::time::Instant::now();
    // Longer than the grace, so that a will left over would have been published.
    while start.elapsed() < std::time::Duration::from_millis(2500) {
        publisher.expect_only(&[]).await;
    }
    let (mut watcher, _) = connected(address, sleeper(false)).await;
    let mut got = Vec::new();
    publisher.publish1("gone/nobody", "end").await;
    loop {
        let payload = watcher.message().await.payload;
        if &payload[..] == b"end" {
            break;
        }
        got.push(payload);
    }
    assert!(got.iter().all(|payload| &payload[..] == b"after"), "{got:?}");
}
