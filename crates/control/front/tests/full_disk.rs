//! What callers and the audit log see of a full disk. The victim is a child process of this test binary.

#[expect(dead_code, reason = "shared with the tests of the door, which use the rest")]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use marram_types::AccountId;
use serde_json::Value;
use support::{Bench, By, Call};

/// Set for the child.
const VICTIM: &str = "MARRAM_TEST_FULL_DISK";

/// Calls made while the disk is known to be full.
const REFUSED: usize = 5;

fn limit_files_to(bytes: Option<u64>) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let limit = rustix::process::Rlimit { current: bytes.or(limit.maximum), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
}

/// The victim: reads until they are refused, sees that everything is refused, gets room, reads again, and counts what
/// stands in the log. Does nothing when run by itself.
#[tokio::test]
async fn child_meets_a_full_disk() {
    if std::env::var(VICTIM).is_err() {
        return;
    }
    let bench = Bench::start().await;
    let describe = || bench.send(Call::rest("iot", "GET", "/things/press"));
    let deadline = Instant::now() + Duration::from_secs(30);
    limit_files_to(Some(bench.log_bytes() + 200_000));
    let mut answered = 0;
    let refused = loop {
        let answer = describe().await;
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(Instant::now() < deadline, "{answered} calls were answered, none refused");
    };
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["x-amzn-errortype"], "ServiceUnavailableException");
    assert_eq!(refused.headers["retry-after"], "1");
    for _ in 1..REFUSED {
        assert_eq!(describe().await.status, 503);
    }
    // A refusal for other reasons is not made up for by the disk: the forger is told so, and it is recorded later.
    let forged = bench.send(Call::rest("iot", "GET", "/things/press").signed_by(By::Forger)).await;
    assert_eq!(forged.status, 403);

    limit_files_to(None);
    let mut refused = REFUSED;
    while describe().await.status != 200 {
        refused += 1;
        assert!(Instant::now() < deadline, "calls are refused though there is room again");
    }
    answered += 1;
    // The count of refused calls is written by the keeper's next look.
    let records = loop {
        let records = bench.records_up_to(&AccountId::first(), 10_000);
        if records.iter().any(|record| record["eventName"] == "AuditRecordsDropped") {
            break records;
        }
        assert!(Instant::now() < deadline, "the refused calls are not counted in the log");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let of = |name: &str| records.iter().filter(|record| record["eventName"] == name).collect::<Vec<&Value>>();
    let (described, forged): (Vec<&Value>, Vec<&Value>) =
        of("DescribeThing").into_iter().partition(|record| record.get("errorCode").is_none());
    assert_eq!(described.len(), answered, "every answered read is recorded");
    assert_eq!(forged.len(), 1, "the forged call is recorded");
    let counted: u64 =
        of("AuditRecordsDropped").iter().filter_map(|record| record["additionalEventData"]["count"].as_u64()).sum();
    assert_eq!(counted, refused as u64, "every refused call is counted");
    println!("\nrecovered after {answered} and {refused}");
}

/// SEC 7.2: when the log cannot be written calls are refused in the words of the protocol; what was answered before is
/// recorded all the same once there is room, and what was refused is counted there.
#[test]
fn a_full_disk_refuses_calls_and_loses_no_record() {
    // The signal is ignored so that the write call answers EFBIG, as a quota would.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact child_meets_a_full_disk --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(VICTIM, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("recovered after"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
