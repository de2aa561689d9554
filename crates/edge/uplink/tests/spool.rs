//! The spool: durable, in order, bounded, whole after a cut (CR 7.6).

use std::fs::OpenOptions;
use std::path::Path;

use marram_edge_ports::CloudPublish;
use marram_uplink::{Spool, SpoolError, SpoolOptions};

async fn open(dir: &Path, max_bytes: u64) -> Spool {
    let spool = Spool::open(SpoolOptions { dir: dir.to_owned(), max_bytes }).unwrap();
    spool.opened().await.unwrap();
    spool
}

fn message(topic: &str, qos: u8, payload: impl Into<Vec<u8>>) -> CloudPublish {
    CloudPublish { topic: topic.into(), qos, payload: payload.into().into(), ..CloudPublish::default() }
}

fn drain(spool: &Spool, now: i64) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(spooled) = spool.take(now, |_| true).unwrap() {
        all.push(String::from_utf8(spooled.message.payload.to_vec()).unwrap());
        spool.settle(spooled.id);
    }
    all
}

/// What was acknowledged is there after a restart, in order, without what was settled; all members come back.
#[tokio::test]
async fn it_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let full = CloudPublish {
        retain: true,
        user_properties: vec![("k".into(), "v".into())],
        message_expiry_seconds: Some(10),
        correlation_data: Some(vec![0, 255].into()),
        response_topic: Some("answer".into()),
        payload_is_text: Some(true),
        content_type: Some("text/plain".into()),
        ..message("t/full", 1, "full")
    };
    {
        let spool = open(dir.path(), 1 << 20).await;
        for n in 0..50 {
            spool.append("c", message("t", 1, format!("{n}")), 0).await.unwrap();
        }
        spool.append("c", full.clone(), 0).await.unwrap();
        for _ in 0..20 {
            let spooled = spool.take(0, |_| true).unwrap().unwrap();
            spool.settle(spooled.id);
        }
        // Taken and never settled: it was perhaps sent, and is sent again.
        assert_eq!(&spool.take(0, |_| true).unwrap().unwrap().message.payload[..], b"20");
    }
    let spool = open(dir.path(), 1 << 20).await;
    assert_eq!(spool.load().0, 31);
    for n in 20..50 {
        let spooled = spool.take(0, |_| true).unwrap().unwrap();
        assert_eq!(spooled.message, message("t", 1, format!("{n}")));
        spool.settle(spooled.id);
    }
    let spooled = spool.take(9_999, |_| true).unwrap().unwrap();
    assert_eq!(spooled.message, full);
    spool.put_back(spooled.id, true);
    assert!(spool.take(10_000, |_| true).unwrap().is_none(), "it expired");
    assert_eq!(spool.load(), (0, 0));
}

/// A start does not wait for what an earlier run left; what is published meanwhile comes after it.
#[tokio::test]
async fn what_was_left_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    {
        let spool = open(dir.path(), 1 << 20).await;
        let all: Vec<_> = (0..500).map(|n| message(&format!("t/{n}"), 1, format!("{n}"))).collect();
        for message in all {
            spool.append("c", message, 0).await.unwrap();
        }
    }
    let spool = Spool::open(SpoolOptions { dir: dir.path().to_owned(), max_bytes: 1 << 20 }).unwrap();
    spool.append("c", message("t", 1, "500"), 0).await.unwrap();
    assert_eq!(drain(&spool, 0), (0..=500).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// A disk that does not give back what was left takes nothing new, and nothing on it is removed.
#[tokio::test]
async fn a_spool_that_cannot_be_read_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let unreadable = dir.path().join("000000000001.spool");
    std::fs::create_dir(&unreadable).unwrap();
    let spool = Spool::open(SpoolOptions { dir: dir.path().to_owned(), max_bytes: 1 << 20 }).unwrap();
    assert!(spool.opened().await.is_err());
    assert!(matches!(spool.append("c", message("t", 1, "lost"), 0).await, Err(SpoolError::Io(_))));
    assert!(spool.take(0, |_| true).unwrap().is_none());
    drop(spool);
    assert!(unreadable.exists());
}

/// A tail torn at any byte costs the record it is in and nothing before it.
#[tokio::test]
async fn a_torn_tail_is_cut() {
    let whole = tempfile::tempdir().unwrap();
    let mut lengths = Vec::new();
    let file = whole.path().join("000000000001.spool");
    {
        let spool = open(whole.path(), 1 << 20).await;
        for n in 0..8 {
            spool.append("c", message("t", 1, format!("{n}")), 0).await.unwrap();
            lengths.push(std::fs::metadata(&file).unwrap().len());
        }
    }
    for cut in 0..=lengths[7] {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("000000000001.spool");
        std::fs::copy(&file, &copy).unwrap();
        OpenOptions::new().write(true).open(&copy).unwrap().set_len(cut).unwrap();
        let left = lengths.iter().filter(|length| **length <= cut).count();
        let spool = open(dir.path(), 1 << 20).await;
        assert_eq!(drain(&spool, 0), (0..left).map(|n| n.to_string()).collect::<Vec<_>>(), "cut at {cut}");
    }
}

/// CR 7.6 (3): the oldest QoS 0 messages make room, QoS 1 messages never do; one component cannot fill it alone.
#[tokio::test]
async fn a_full_spool_drops_qos_0_only() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), 4000).await;
    let kilobyte = || vec![b'x'; 900];
    spool.append("a", message("t", 0, kilobyte()), 0).await.unwrap();
    spool.append("a", message("t", 1, kilobyte()), 0).await.unwrap();
    spool.append("a", message("t", 1, kilobyte()), 0).await.unwrap();
    assert!(
        matches!(spool.append("a", message("t", 1, kilobyte()), 0).await, Err(SpoolError::Share { owner }) if owner == "a")
    );
    spool.append("b", message("t", 1, kilobyte()), 0).await.unwrap();
    spool.append("b", message("t", 1, kilobyte()), 0).await.unwrap();
    assert_eq!(spool.load().0, 4, "the QoS 0 message went");
    assert!(matches!(
        spool.append("b", message("t", 1, kilobyte()), 0).await,
        Err(SpoolError::Full { max_bytes: 4000 })
    ));
    assert_eq!(drain(&spool, 0).len(), 4);
    spool.append("b", message("t", 1, kilobyte()), 0).await.unwrap();
}

/// Files go when their messages are settled, also when one message stays for ever.
#[tokio::test]
async fn the_disk_does_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), 1 << 20).await;
    spool.append("c", message("stays", 1, "stays"), 0).await.unwrap();
    for _ in 0..60 {
        for _ in 0..10 {
            spool.append("c", message("t", 1, vec![b'x'; 10_000]), 0).await.unwrap();
        }
        while let Some(spooled) = spool.take(0, |topic| topic == "t").unwrap() {
            spool.settle(spooled.id);
        }
    }
    let bytes: u64 = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 4 << 20, "{bytes} bytes for one message of 5 bytes");
    drop(spool);
    assert_eq!(drain(&open(dir.path(), 1 << 20).await, 0), ["stays"]);
}
