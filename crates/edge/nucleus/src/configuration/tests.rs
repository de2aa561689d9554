//! Durability, watchers, redaction.

use std::time::Duration;

use marram_configuration::{Origin, Write};
use serde_json::json;

use super::*;

const NOWHERE: &[&str] = &[];

async fn merge(store: &ConfigurationStore, path: &[&str], value: Value, time: i64) {
    store
        .write::<_, ConfigurationError>(|tree| Ok(((), tree.merge(path, &value, &Write::new(time, Origin::Runtime)))))
        .await
        .unwrap();
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// CR 3.1, 3.7: what was acknowledged is there after a restart, with times, origins and spelling; private keys are not.
#[test]
fn a_tree_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let before = block(async {
        let store = ConfigurationStore::open(dir.path()).unwrap();
        assert!(store.is_empty());
        let value = json!({
            "services": {"com.A": {"version": "1.0.0", "configuration": {"a/b": {"~": [1, {"x": null}]}, "n": null}}},
            "system": {"thingName": "T"},
        });
        merge(&store, NOWHERE, value, 100).await;
        merge(&store, &["services", "COM.a", "Configuration", "n"], json!({"deep": {"er": 1.5}}), 200).await;
        merge(&store, &["services", "_AUTHENTICATION_TOKENS", "t"], json!("com.A"), 300).await;
        store
            .write::<_, ConfigurationError>(|tree| {
                let gone = tree.remove(&["system", "thingName"], &Write::new(300, Origin::Runtime));
                Ok(((), gone))
            })
            .await
            .unwrap();
        store.close();
        store.tree().to_timed_value()
    });
    let store = ConfigurationStore::open(dir.path()).unwrap();
    let after = store.tree().to_timed_value();
    assert_eq!(after["c"]["services"]["c"]["com.A"], before["c"]["services"]["c"]["com.A"]);
    assert_eq!(store.read(&["services", "com.a", "configuration", "n", "deep", "er"]), Some(json!(1.5)));
    assert_eq!(store.read(&["system"]), Some(json!({})));
    assert_eq!(store.read(&["services", "_AUTHENTICATION_TOKENS"]), None);
}

/// CR 3.5, 6.9: one event per change below the watched place, none for times; rights as a whole when they change.
#[test]
fn watchers_learn_what_concerns_them() {
    let dir = tempfile::tempdir().unwrap();
    block(async {
        let store = ConfigurationStore::open(dir.path()).unwrap();
        let configuration = json!({"a": {"b": 1}, "c": 2});
        merge(&store, &["services", "X", "configuration"], configuration.clone(), 100).await;
        let mut all = store.watch("X", &[]);
        let mut below = store.watch("X", &["a".into()]);
        let mut rights = store.access_control();
        merge(&store, &["services", "X", "configuration"], configuration, 200).await;
        merge(&store, &["services", "X", "configuration"], json!({"c": 3}), 300).await;
        merge(&store, &["services", "Y", "configuration"], json!({"c": 3}), 300).await;
        merge(&store, &["services", "X", "configuration"], json!({"a": {"b": 2}}), 400).await;
        assert!(!rights.has_changed().unwrap());
        let paths = |receiver: &mut tokio::sync::mpsc::Receiver<marram_edge_ports::ChangedPath>| {
            std::iter::from_fn(|| receiver.try_recv().ok()).map(|news| news.path.join("/")).collect::<Vec<_>>()
        };
        assert_eq!(paths(&mut all), ["c", "a/b"]);
        assert_eq!(paths(&mut below), ["a/b"]);
        merge(&store, &["services", "X", "configuration", "accessControl"], json!("{\"s\": {}}"), 500).await;
        assert!(rights.has_changed().unwrap());
        assert_eq!(rights.borrow_and_update()["X"], json!({"s": {}}));
    });
}

/// CR 3.7, 9.5: the dump is private and holds no secret.
#[test]
fn the_dump_is_private_and_redacted() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    block(async {
        let store = ConfigurationStore::open(dir.path()).unwrap();
        let value = json!({"networkProxy": {"proxy": {"url": "http://u:pw1@h:1/x", "password": "pw2"}},
            "apiToken": "pw3", "secrets": [{"arn": "arn:x", "clientSecret": "pw4"}], "privateKeyPath": "/k", "n": {}});
        merge(&store, &["services", "X", "configuration"], value, 100).await;
        store.dump();
    });
    let file = dir.path().join("effectiveConfig.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!text.contains("pw"), "{text}");
    let read: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read["services"]["X"]["configuration"]["privateKeyPath"], "/k");
    assert_eq!(read["services"]["X"]["configuration"]["n"], json!({}));
}

/// CR 3.7: three good copies are kept; a damaged database gives way to the newest whole one, and is kept to look at.
#[test]
fn a_damaged_file_is_replaced_by_the_newest_good_copy() {
    let dir = tempfile::tempdir().unwrap();
    block(async {
        let store = ConfigurationStore::open(dir.path()).unwrap();
        for number in 1..=5 {
            merge(&store, &["services", "X", "configuration"], json!({"n": number}), number).await;
            store.copy()();
        }
        store.close();
    });
    let generations = dir.path().join("generations");
    assert_eq!(std::fs::read_dir(&generations).unwrap().count(), 3);
    std::fs::write(generations.join("5"), "torn").unwrap();
    std::fs::write(dir.path().join("marram.db"), vec![0x5a; 8192]).unwrap();
    for _ in 0..2 {
        let store = ConfigurationStore::open(dir.path()).unwrap();
        assert_eq!(store.read(&["services", "X", "configuration", "n"]), Some(json!(4)));
        assert!(dir.path().join("marram.db.damaged").exists());
        store.close();
    }
}

/// CR 3.7: a root of the original is taken over, its log as it is.
#[test]
fn the_log_of_the_original_is_read() {
    let dir = tempfile::tempdir().unwrap();
    assert!(first_tree(dir.path()).is_none());
    let line = |key: &str, value: &str| {
        format!("{{\"TS\":1700000000000,\"TP\":[\"system\",\"{key}\"],\"W\":\"changed\",\"V\":{value}}}\n")
    };
    std::fs::write(dir.path().join("bootstrap.tlog"), line("thingName", "\"old\"")).unwrap();
    std::fs::write(dir.path().join("config.tlog"), line("thingName", "\"T\"") + "{\"TS\":17000\0\0\0").unwrap();
    let tree = first_tree(dir.path()).unwrap();
    assert_eq!(tree.read(&["system", "thingName"]), Some(json!("T")));
}

/// Child of the next test: writes numbered updates and says which are acknowledged, until it is killed.
#[test]
fn writer_that_is_killed() {
    let Ok(dir) = std::env::var("MARRAM_TEST_CONFIGURATION_DIR") else { return };
    block(async {
        let store = ConfigurationStore::open(Path::new(&dir)).unwrap();
        let last = store.read(&["services", "X", "configuration", "n"]).and_then(|n| n.as_i64()).unwrap_or(0);
        for number in last + 1.. {
            let value = json!({"n": number, "map": {(number % 7).to_string(): {"v": number}}, "list": [number]});
            merge(&store, &["services", "X", "configuration"], value, number).await;
            println!("acknowledged {number}");
        }
    });
}

/// CR 10.3 (2): killed at any moment, the store opens again and holds every acknowledged update, whole.
#[test]
fn no_acknowledged_update_is_lost_to_a_kill() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "configuration::tests::writer_that_is_killed", "--nocapture"])
            .env("MARRAM_TEST_CONFIGURATION_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let read = |line: Option<std::io::Result<String>>| {
            line.and_then(|line| line.ok()?.rsplit_once("acknowledged ")?.1.parse::<i64>().ok())
        };
        for _ in 0..20 {
            if let Some(number) = read(lines.next()) {
                acknowledged = number;
            }
        }
        std::thread::sleep(Duration::from_micros(round * 379));
        child.kill().unwrap();
        for line in lines {
            acknowledged = read(Some(line)).unwrap_or(acknowledged);
        }
        child.wait().unwrap();
        let store = ConfigurationStore::open(dir.path()).unwrap();
        let number = store.read(&["services", "X", "configuration", "n"]).unwrap().as_i64().unwrap();
        assert!(number >= acknowledged, "{number} < {acknowledged} in round {round}");
        let list = store.read(&["services", "X", "configuration", "list"]).unwrap();
        let map = store.read(&["services", "X", "configuration", "map"]).unwrap();
        assert_eq!(list, json!([number]), "an update is all there or not at all");
        assert_eq!(map[(number % 7).to_string()]["v"], number);
    }
    assert!(acknowledged > 100, "{acknowledged}");
}
