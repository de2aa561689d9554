//! Audit records appended per second by concurrent transactions, and verified per second.
//!
//! `bench-audit --dir DIR [--callers 256] [--seconds 3]` prints one JSON line per result.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use marram_audit::{AuditRecord, Covered, MIGRATIONS, Resource, UserIdentity, append_prepared, verify};
use marram_store::{Store, StoreError, StoreOptions};
use marram_types::{AccountId, Clock, Region, RequestId, SystemClock};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// An empty directory on the disk to measure.
    #[arg(long)]
    dir: PathBuf,
    /// Concurrent callers.
    #[arg(long, default_value_t = 256)]
    callers: usize,
    /// How long records are appended.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

fn record() -> AuditRecord {
    let identity = UserIdentity {
        kind: "IAMUser".into(),
        principal_id: Some("AIDAEXAMPLEEXAMPLE".into()),
        arn: Some("arn:aws:iam::000000000000:user/anna".into()),
        account_id: Some("000000000000".into()),
        access_key_id: Some("AKIAEXAMPLEEXAMPLE".into()),
        user_name: Some("anna".into()),
        ..UserIdentity::default()
    };
    let (account, region) = (AccountId::first(), Region::default_region());
    let mut record = AuditRecord::new(account, region, SystemClock.now(), "iot.amazonaws.com", "CreateThing", identity);
    record.request_id = Some(RequestId::fresh());
    record.source_ip_address = "127.0.0.1".to_owned();
    record.user_agent = "Boto3/1.44.5 md/Botocore#1.44.5".to_owned();
    record.request_parameters = json!({"thingName": "sensor-1", "attributePayload": {"attributes": {"floor": "3"}}});
    let arn = "arn:aws:iot:us-east-1:000000000000:thing/sensor-1";
    record.response_elements = json!({"thingName": "sensor-1", "thingArn": arn});
    record.resources = vec![Resource { arn: arn.to_owned(), kind: Some("AWS::IoT::Thing".into()) }];
    record
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let store = Store::open(&arguments.dir, StoreOptions::default())?;
    store.migrate(MIGRATIONS)?;
    let started = Instant::now();
    let end = started + Duration::from_secs(arguments.seconds);
    let callers: Vec<_> = (0..arguments.callers)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while Instant::now() < end {
                    let record = record().prepare();
                    store.write(move |tx| append_prepared(tx, record, None)).await?;
                    done += 1;
                }
                Ok::<_, StoreError>(done)
            })
        })
        .collect();
    let mut appended = 0;
    for caller in callers {
        appended += caller.await??;
    }
    let per_second = |count: u64, since: Instant| (count as f64 / since.elapsed().as_secs_f64()).round();
    println!(
        "{}",
        json!({"bench": "audit_append", "callers": arguments.callers, "per_second": per_second(appended, started)})
    );
    let started = Instant::now();
    let report = store.read(|snapshot| verify(snapshot, &[], &Covered::default()))?;
    anyhow::ensure!(report.findings.is_empty(), "the log is not sound");
    println!(
        "{}",
        json!({"bench": "audit_verify", "records": report.records, "per_second": per_second(report.records, started)})
    );
    Ok(())
}
