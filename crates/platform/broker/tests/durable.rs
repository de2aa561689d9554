//! What was acknowledged survives: restarts, and a process killed in the middle of its work (CP 5.2).

mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::{Peer, Setup, eventually, message, start_with};
use marram_broker::{FileStore, SessionStore};
use marram_mqtt::{Connect, Packet, Publish, QoS, ReasonCode, Version};

fn sleeper(clean_start: bool) -> Connect {
    let mut connect = Connect { clean_start, ..Connect::new(Version::V5, "sleeper") };
    connect.properties.session_expiry_secs = Some(3600);
    connect
}

fn stored(folder: &Path) -> Setup {
    let store: Arc<dyn SessionStore> = Arc::new(FileStore::open(folder).unwrap());
    Setup { store: Some(store), ..Setup::default() }
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
