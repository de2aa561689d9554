//! `t_log_tamper` (security.md 7.2): each attack on the stored log is found. The attacker writes to the database file
//! with SQL of his own, through the same engine.

use std::sync::Arc;

use marram_audit::{
    Audit, AuditRecord, Covered, Decision, Filter, LookupQuery, Problem, PublicKey, Report, Resource, SessionContext,
    SessionIssuer, Tls, UserIdentity, append, lookup, read_checkpoints, verify,
};
use marram_store::{Store, StoreError, StoreOptions, Tx, params};
use marram_types::{AccountId, ManualClock, Region, RequestId, Timestamp};
use serde_json::{Value, json};

struct House {
    dir: tempfile::TempDir,
    store: Store,
    audit: Audit,
    clock: Arc<ManualClock>,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-03-02T08:14:02Z").unwrap()));
    let audit = Audit::open(store.clone(), dir.path(), clock.clone()).unwrap();
    House { dir, store, audit, clock }
}

fn account(n: u8) -> AccountId {
    format!("{n:012}").parse().unwrap()
}

fn record(account: AccountId, name: &str, time: Timestamp) -> AuditRecord {
    let identity = UserIdentity {
        kind: "IAMUser".into(),
        principal_id: Some("AIDAEXAMPLE".into()),
        user_name: Some("anna".into()),
        access_key_id: Some("AKIAEXAMPLE".into()),
        ..UserIdentity::default()
    };
    let mut record =
        AuditRecord::new(account, Region::default_region(), time, "iot.amazonaws.com", name.to_owned(), identity);
    record.request_id = Some(RequestId::fresh());
    record.request_parameters = json!({"thingName": "sensor-1", "n": 1.5});
    record.response_elements = json!({"thingArn": "arn:aws:iot:us-east-1:000000000001:thing/sensor-1"});
    record.resources = vec![Resource {
        arn: "arn:aws:iot:us-east-1:000000000001:thing/sensor-1".to_owned(),
        kind: Some("AWS::IoT::Thing".into()),
    }];
    record.matched_statements = vec!["arn:aws:iam::000000000001:policy/P#S".to_owned()];
    record
}

impl House {
    fn append(&self, account: AccountId, count: usize) {
        for _ in 0..count {
            self.clock.advance(std::time::Duration::from_secs(1));
            let record = record(account.clone(), "CreateThing", marram_types::Clock::now(&*self.clock));
            self.store.write_blocking(move |tx| append(tx, record)).unwrap();
        }
    }

    fn sql(&self, sql: &'static str) {
        self.store.write_blocking(move |tx: &mut Tx<'_>| tx.execute_script(sql)).unwrap();
    }

    fn checkpoints(&self) -> String {
        std::fs::read_to_string(Audit::checkpoint_file_of(self.dir.path())).unwrap()
    }

    fn verify(&self) -> Report {
        self.verify_with(&self.checkpoints())
    }

    fn verify_with(&self, checkpoints: &str) -> Report {
        let key = PublicKey::load(&Audit::dir_of(self.dir.path())).unwrap();
        let checkpoints = read_checkpoints(checkpoints, &key);
        let covered = self.store.read(Covered::read).unwrap();
        self.store.read(|s| verify(s, &checkpoints, &covered)).unwrap()
    }

    fn problems(&self) -> Vec<Problem> {
        self.verify().findings.into_iter().map(|finding| finding.problem).collect()
    }
}

/// An untouched log of several accounts, checkpointed twice, is sound; each account has its own gapless numbers.
#[test]
fn an_untouched_log_is_sound() {
    let house = house();
    house.append(account(1), 20);
    house.audit.checkpoint();
    house.append(account(2), 3);
    house.append(account(1), 7);
    house.audit.checkpoint();
    let report = house.verify();
    assert_eq!(report, Report { records: 30, accounts: 2, checkpoints: 3, findings: vec![] });
}

/// SEC 7.2 `t_log_tamper`: every manipulation of the rows is found and named.
#[test]
fn every_manipulation_is_found() {
    let cases: [(&str, Problem); 9] = [
        ("UPDATE audit_record SET record = REPLACE(record, 'sensor-1', 'sensor-2') WHERE seq = 5", Problem::Changed),
        (
            "UPDATE audit_record SET leaf = x'0000000000000000000000000000000000000000000000000000000000000000' WHERE seq = 5",
            Problem::Changed,
        ),
        ("DELETE FROM audit_record WHERE seq = 5", Problem::Gap { missing: 1 }),
        ("DELETE FROM audit_record WHERE seq = 1", Problem::Gap { missing: 1 }),
        ("DELETE FROM audit_record WHERE seq > 8", Problem::Truncated { size: 12, found: 8 }),
        ("DELETE FROM audit_record", Problem::Truncated { size: 12, found: 0 }),
        (
            "UPDATE audit_record SET seq = 100 WHERE seq = 5; UPDATE audit_record SET seq = 5 WHERE seq = 6;
             UPDATE audit_record SET seq = 6 WHERE seq = 100;",
            Problem::Misplaced { says: 6 },
        ),
        ("UPDATE audit_record SET username = 'bob' WHERE seq = 5", Problem::Column("username")),
        ("UPDATE audit_record SET record = '{}' WHERE seq = 5", Problem::Unreadable),
    ];
    for (attack, expected) in cases {
        let house = house();
        house.append(account(1), 12);
        house.audit.checkpoint();
        assert_eq!(house.problems(), []);
        house.sql(attack);
        assert!(house.problems().contains(&expected), "{attack}: {:?}", house.problems());
    }
}

/// SEC 7.2: records that are cut off together with the checkpoints that covered them are missed, in whichever of the two.
#[test]
fn checkpoints_do_not_vanish() {
    let house = house();
    house.append(account(1), 12);
    house.audit.checkpoint();
    let early = house.checkpoints();
    house.append(account(1), 8);
    house.audit.checkpoint();
    let problems = |checkpoints: &str| -> Vec<_> {
        house.verify_with(checkpoints).findings.into_iter().map(|finding| finding.problem).collect()
    };
    assert_eq!(problems(&early), [Problem::Uncovered { size: 20, newest: 12 }]);
    house.sql("DELETE FROM audit_record WHERE seq > 12");
    let cut = Problem::Truncated { size: 20, found: 12 };
    assert_eq!(problems(&early), [Problem::Uncovered { size: 20, newest: 12 }, cut.clone()]);
    assert_eq!(problems(""), [Problem::Uncovered { size: 20, newest: 0 }, cut]);
    house.sql("DELETE FROM audit_record");
    assert_eq!(
        problems("").last(),
        Some(&Problem::Truncated { size: 20, found: 0 }),
        "an account without a record is asked too"
    );
}

/// SEC 7.2: whoever rebuilds the whole chain without the key cannot make the checkpoints agree.
#[test]
fn a_rebuilt_log_disagrees_with_its_checkpoints() {
    let (ours, forged) = (house(), house());
    ours.append(account(1), 6);
    ours.audit.checkpoint();
    forged.append(account(1), 6);
    forged.audit.checkpoint();
    assert_eq!(forged.problems(), [], "a log is sound by itself");
    // The forger's rows under our checkpoints; his checkpoints under our key.
    let key = PublicKey::load(&Audit::dir_of(ours.dir.path())).unwrap();
    let checkpoints = read_checkpoints(&ours.checkpoints(), &key);
    let report = forged.store.read(|s| verify(s, &checkpoints, &Covered::default())).unwrap();
    assert!(report.findings.iter().any(|finding| finding.problem == Problem::Rewritten), "{report:?}");
    let foreign = read_checkpoints(&forged.checkpoints(), &key);
    assert!(foreign.iter().all(Result::is_err) && !foreign.is_empty());
    // A changed number in a signed note breaks its signature.
    let edited = ours.checkpoints().replace("\n6\n", "\n5\n");
    assert!(matches!(ours.verify_with(&edited).findings[0].problem, Problem::Checkpoint(_)));
}

/// SEC 7.2: an older backup put in place is found with a newer checkpoint kept elsewhere.
#[test]
fn an_older_backup_is_found_with_a_newer_checkpoint() {
    let house = house();
    house.append(account(1), 10);
    house.audit.checkpoint();
    let older = house.checkpoints();
    house.append(account(1), 10);
    house.audit.checkpoint();
    let newer = house.checkpoints();
    house.sql("DELETE FROM audit_record WHERE seq > 10; DELETE FROM audit_tree;");
    assert_eq!(house.verify_with(&older).findings, [], "nothing known of what came later");
    let report = house.verify_with(&newer);
    assert_eq!(report.findings[0].problem, Problem::Truncated { size: 20, found: 10 });
}

/// A checkpoint cut off by a crash is dropped, and the file goes on.
#[test]
fn a_torn_checkpoint_is_dropped() {
    let House { dir, store, audit, clock } = house();
    let first = record(account(1), "CreateThing", Timestamp::EPOCH);
    store.write_blocking(move |tx| append(tx, first)).unwrap();
    audit.close();
    let path = Audit::checkpoint_file_of(dir.path());
    let mut text = std::fs::read_to_string(&path).unwrap();
    let whole = text.clone();
    text.push_str("marram-audit/000000000001\n2\nAAAA");
    std::fs::write(&path, &text).unwrap();
    let house = House { audit: Audit::open(store.clone(), dir.path(), clock.clone()).unwrap(), dir, store, clock };
    assert_eq!(house.checkpoints().trim(), whole.trim());
    house.append(account(1), 1);
    house.audit.checkpoint();
    assert_eq!(house.verify().checkpoints, 2);
    assert_eq!(house.problems(), []);
}

/// A refused transaction takes its record with it, and the next one gets its number.
#[test]
fn a_record_lives_and_dies_with_its_transaction() {
    let house = house();
    let lost = record(account(1), "CreateThing", Timestamp::EPOCH);
    let answer: Result<(), StoreError> = house.store.write_blocking(move |tx| {
        append(tx, lost)?;
        Err(StoreError::NoRow)
    });
    assert_eq!(answer, Err(StoreError::NoRow));
    house.append(account(1), 2);
    assert_eq!(house.problems(), []);
    assert_eq!(house.verify().records, 2);
}

/// Records without a transaction of their own are written by the time the log is closed, and never block.
#[test]
fn enqueued_records_are_drained_at_close() {
    let house = house();
    for _ in 0..2_000 {
        let mut record = record(account(1), "DescribeThing", Timestamp::EPOCH);
        record.decision = Decision::ImplicitDeny;
        house.audit.enqueue(record);
    }
    house.audit.close();
    let report = house.verify();
    assert_eq!((report.records, report.findings.len()), (2_000, 0));
    assert!(report.checkpoints >= 1);
    house.audit.enqueue(record(account(1), "DescribeThing", Timestamp::EPOCH));
    assert_eq!(house.audit.stats().dropped, 1);
}

/// CP 10.2, TG 11.8: the fields of a record, its version per service, and its place in the chain.
#[test]
fn a_record_has_the_fields_of_a_cloudtrail_event() {
    let house = house();
    let mut first = record(account(1), "CreateThing", Timestamp::parse_rfc3339("2026-03-02T08:14:02.9Z").unwrap());
    first.request_parameters = json!({"secretAccessKey": "s3cr3t"});
    let mut second = record(account(1), "GetFlowTemplate", Timestamp::EPOCH);
    second.event_source = "iotthingsgraph.amazonaws.com".into();
    second.read_only = true;
    second.error = Some(("AccessDeniedException".to_owned(), "no".to_owned()));
    second.tls =
        Some(Tls { version: "TLSv1.3".into(), cipher_suite: "TLS_AES_128_GCM_SHA256".into(), host: "a\"b".into() });
    second.additional.insert("note".to_owned(), json!({"password": "s3cr3t", "é": [1, "\u{1}"], "z": null}));
    second.resources.push(second.resources[0].clone());
    second.user_identity.session = Some(SessionContext {
        issuer: Some(SessionIssuer {
            principal_id: "AROAEXAMPLE".into(),
            arn: "arn:aws:iam::000000000001:role/Fleet".into(),
            account_id: "000000000001".into(),
            user_name: "Fleet".into(),
        }),
        created: Timestamp::EPOCH,
        mfa: true,
        source_identity: Some("pump".into()),
    });
    house.store.write_blocking(move |tx| append(tx, first).and_then(|()| append(tx, second))).unwrap();
    let texts = house
        .store
        .read(|s| {
            s.query_all("SELECT record, leaf FROM audit_record ORDER BY seq", &[], |row| {
                Ok::<_, StoreError>((row.get::<String>(0)?, row.get::<[u8; 32]>(1)?))
            })
        })
        .unwrap();
    let first: Value = serde_json::from_str(&texts[0].0).unwrap();
    assert_eq!(first["eventVersion"], "1.08");
    assert_eq!(first["eventTime"], "2026-03-02T08:14:02Z");
    assert_eq!(first["requestParameters"]["secretAccessKey"], marram_audit::HIDDEN);
    assert_eq!(first["responseElements"]["thingArn"], "arn:aws:iot:us-east-1:000000000001:thing/sensor-1");
    assert_eq!(first["resources"][0]["type"], "AWS::IoT::Thing");
    assert_eq!(first["marram"]["seq"], 1);
    assert_eq!(first["marram"]["prev"], "0".repeat(64));
    assert_eq!(first["marram"]["decision"], "allowed");
    let second: Value = serde_json::from_str(&texts[1].0).unwrap();
    assert_eq!(second["eventVersion"], "1.05");
    assert_eq!(second["responseElements"], Value::Null);
    assert_eq!(second["errorCode"], "AccessDeniedException");
    assert_eq!(second["marram"]["prev"].as_str().unwrap(), texts[0].1.map(|b| format!("{b:02x}")).concat());
    assert_eq!(texts[0].0, marram_audit::to_canonical_json(&first));
    assert_eq!(second["tlsDetails"]["clientProvidedHostHeader"], "a\"b");
    assert_eq!(second["additionalEventData"]["note"]["password"], marram_audit::HIDDEN);
    assert_eq!(second["userIdentity"]["sessionContext"]["sessionIssuer"]["userName"], "Fleet");
    assert_eq!(second["userIdentity"]["sessionContext"]["attributes"]["mfaAuthenticated"], "true");
    assert_eq!(second["resources"].as_array().map(Vec::len), Some(2));
    // Written member by member, and canonical all the same.
    assert_eq!(texts[1].0, marram_audit::to_canonical_json(&second));
}

/// CP 10.2: each attribute LookupEvents filters by, newest first, in pages, within one account and region.
#[test]
fn lookups_filter_and_page() {
    let house = house();
    let at = |n: i64| Timestamp::from_secs(1_772_439_242 + n * 3600);
    for n in 0..10 {
        let mut record = record(account(1), if n % 2 == 0 { "CreateThing" } else { "DeleteThing" }, at(n));
        record.read_only = n == 3;
        if n == 4 {
            record.user_identity.user_name = Some("bob".into());
            record.resources[0].arn = "arn:aws:iot:us-east-1:000000000001:thing/other".to_owned();
        }
        house.store.write_blocking(move |tx| append(tx, record)).unwrap();
    }
    house.append(account(2), 5);
    let find = |query: LookupQuery| {
        let page = house.store.read(|s| lookup(s, &account(1), &Region::default_region(), &query)).unwrap();
        (page.records.iter().map(|record| record.seq).collect::<Vec<_>>(), page.next)
    };
    let query = |filters: Vec<Filter>| LookupQuery { filters, limit: 50, ..LookupQuery::default() };
    let id: String = house
        .store
        .read(|s| {
            s.query_one(
                "SELECT event_id FROM audit_record WHERE account = $1 AND seq = 7",
                params![account(1)],
                |row| row.get(0),
            )
        })
        .unwrap_or_else(|error: StoreError| panic!("{error}"));
    let all: Vec<i64> = (1..=10).rev().collect();
    for (filter, expected) in [
        (vec![], all.clone()),
        (vec![Filter::EventName("CreateThing".to_owned())], vec![9, 7, 5, 3, 1]),
        (vec![Filter::ReadOnly(true)], vec![4]),
        (vec![Filter::Username("bob".to_owned())], vec![5]),
        (vec![Filter::ResourceName("other".to_owned())], vec![5]),
        (vec![Filter::ResourceName("arn:aws:iot:us-east-1:000000000001:thing/other".to_owned())], vec![5]),
        (vec![Filter::ResourceName("the".to_owned())], vec![]),
        (vec![Filter::ResourceType("AWS::IoT::Thing".to_owned())], all.clone()),
        (vec![Filter::ResourceType("Thing".to_owned())], vec![]),
        (vec![Filter::EventSource("iot.amazonaws.com".to_owned())], all.clone()),
        (vec![Filter::AccessKeyId("AKIAOTHER".to_owned())], vec![]),
        (vec![Filter::EventId(id)], vec![7]),
        (vec![Filter::EventId("nonsense".to_owned())], vec![]),
    ] {
        assert_eq!(find(query(filter.clone())), (expected, None), "{filter:?}");
    }
    let window = LookupQuery { start: Some(at(2)), end: Some(at(5)), ..query(vec![]) };
    assert_eq!(find(window), (vec![6, 5, 4, 3], None));
    let mut paged = LookupQuery { limit: 4, ..query(vec![]) };
    let mut seen = Vec::new();
    loop {
        let (records, next) = find(paged.clone());
        seen.extend(records);
        match next {
            Some(next) => paged.before_seq = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, all);
}
