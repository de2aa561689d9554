//! Segments: what is folded comes back, what is changed is found, what is looked up is the same as in rows of its own.

use marram_store::{Store, StoreOptions};
use marram_types::Region;
use serde_json::json;

use super::*;
use crate::chain::{append, head};
use crate::{AuditRecord, Covered, Filter, LookupQuery, Problem, Report, Resource, UserIdentity, lookup, verify};

/// SEC 7.2: what is stored folded comes back byte for byte, whatever the texts hold.
#[test]
fn texts_come_back_as_they_were() {
    let texts: Vec<String> = [
        r#"{"a":"1","b":2}"#,
        r#"{"a":"2","b":2}"#,
        r#"{"a":"2","b":2}"#,
        r#"{"a":"\"x\\","b":3,"é":"ü"}"#,
        r#"{"a":"3","b":77}"#,
        "",
        "\"",
        "no quotes",
        "\"\"",
        r#"a""#,
        r#"a"b"#,
        r#"b"b"#,
        r#"b""#,
        r#"é"ü"#,
        r#"è"ü"#,
    ]
    .map(str::to_owned)
    .to_vec();
    let folded = fold(&texts);
    assert_eq!(unfold(&folded).unwrap(), texts);
    let alike: Vec<String> = (0..200).map(|n| format!(r#"{{"id":"{n}","text":"{}"}}"#, "x".repeat(900))).collect();
    assert_eq!(unfold(&fold(&alike)).unwrap(), alike);
    assert!(fold(&alike).len() < 4_000);
}

/// Bytes of somebody else's making are refused, never more than refused.
#[test]
fn crooked_bytes_are_refused() {
    let texts: Vec<String> = (0..20).map(|n| format!(r#"{{"id":"{n}","b":"c"}}"#)).collect();
    let folded = fold(&texts);
    for cut in 1..folded.len() {
        if let Some(fewer) = unfold(&folded[..cut]) {
            assert_eq!(fewer, texts[..fewer.len()], "{cut}");
        }
    }
    for bytes in [&[1_u8, 0][..], &[0, 5, b'a'], &[0, 1, 0xff], &[0x80, 0x80, 0x80, 0x80, 0x80], &[0, 1, b'a', 9]] {
        assert_eq!(unfold(bytes), None, "{bytes:?}");
    }
    for position in 0..folded.len() {
        let mut changed = folded.clone();
        changed[position] ^= 0x55;
        let _ = unfold(&changed);
    }
}

const RECORDS: i64 = 20;

fn account(number: u8) -> AccountId {
    format!("{number:012}").parse().unwrap()
}

fn at(number: i64) -> Timestamp {
    Timestamp::from_millis(1_772_439_242_123 + number * 1_000)
}

/// The n-th record of an account; no two of one account are of the same moment.
fn record(account: AccountId, number: i64) -> AuditRecord {
    let identity = UserIdentity {
        kind: "IAMUser".into(),
        principal_id: Some("AIDAEXAMPLE".into()),
        user_name: Some(if number == 4 { "bob".into() } else { "anna".into() }),
        access_key_id: Some("AKIAEXAMPLE".into()),
        ..UserIdentity::default()
    };
    let name = if number % 2 == 0 { "DescribeThing" } else { "ListThings" };
    let region = Region::default_region();
    let mut record = AuditRecord::new(account, region, at(number), "iot.amazonaws.com", name.to_owned(), identity);
    record.read_only = number != 3;
    record.management = number != 6;
    record.request_parameters = json!({"thingName": format!("sensor-{number}"), "text": "a \"quoted\" word"});
    let arn = format!("arn:aws:iot:us-east-1:000000000001:thing/sensor-{number}");
    record.resources = vec![Resource { arn, kind: (number > 9).then(|| "AWS::IoT::Thing".into()) }];
    record
}

fn house() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    store.migrate(crate::MIGRATIONS).unwrap();
    (dir, store)
}

/// Rows of their own in front, a segment, rows behind.
fn fill(store: &Store) {
    store.write_blocking(|tx| append(tx, record(account(1), 0))).unwrap();
    store.write_blocking(|tx| (1..RECORDS - 1).try_for_each(|number| append(tx, record(account(1), number)))).unwrap();
    store.write_blocking(|tx| append(tx, record(account(1), RECORDS - 1))).unwrap();
}

fn problems(store: &Store) -> Vec<Problem> {
    let report = store.read(|snapshot| verify(snapshot, &[], &Covered::default())).unwrap();
    report.findings.into_iter().map(|finding| finding.problem).collect()
}

/// SEC 7.2: the chain runs through rows and segments alike, and goes on behind either.
#[test]
fn the_chain_runs_through_segments() {
    let (_dir, store) = house();
    fill(&store);
    let many = 0..2 * SEGMENT_RECORDS as i64 + 3;
    store.write_blocking(|tx| many.into_iter().try_for_each(|number| append(tx, record(account(2), number)))).unwrap();
    let report = store.read(|snapshot| verify(snapshot, &[], &Covered::default())).unwrap();
    let records = RECORDS as u64 + 2 * SEGMENT_RECORDS as u64 + 3;
    assert_eq!(report, Report { records, accounts: 2, checkpoints: 0, findings: vec![] });
    let count = |sql| store.read(|s| s.query_one(sql, &[], |row| row.get::<i64>(0))).unwrap();
    assert_eq!(count("SELECT COUNT(*) FROM audit_segment"), 4);
    assert_eq!(count("SELECT COUNT(*) FROM audit_record"), 2);
    assert_eq!(store.read(|snapshot| head(snapshot, &account(1))).unwrap().0, RECORDS);
}

/// SEC 7.2 `t_log_tamper`, for segments: every manipulation is found and named.
#[test]
fn every_manipulation_of_a_segment_is_found() {
    let cases = [
        ("UPDATE audit_segment SET texts = x'00'", Problem::Unreadable),
        ("UPDATE audit_segment SET last_seq = last_seq + 1", Problem::Unreadable),
        ("UPDATE audit_segment SET leaves = zeroblob(32 * 18)", Problem::Changed),
        ("UPDATE audit_segment SET leaves = zeroblob(32)", Problem::Unreadable),
        ("UPDATE audit_segment SET leaf = zeroblob(32)", Problem::Column("leaf")),
        ("UPDATE audit_segment SET time = 0", Problem::Column("time")),
        ("UPDATE audit_segment SET first_seq = first_seq + 1, last_seq = last_seq + 1", Problem::Misplaced { says: 2 }),
        ("DELETE FROM audit_segment", Problem::Gap { missing: 18 }),
        ("DELETE FROM audit_record WHERE seq = 1", Problem::Gap { missing: 1 }),
        ("UPDATE audit_record SET seq = 7 WHERE seq = 20", Problem::Misplaced { says: 20 }),
    ];
    for (attack, expected) in cases {
        let (_dir, store) = house();
        fill(&store);
        assert_eq!(problems(&store), []);
        store.write_blocking(move |tx| tx.execute_script(attack)).unwrap();
        assert!(problems(&store).contains(&expected), "{attack}: {:?}", problems(&store));
    }
    let (_dir, store) = house();
    fill(&store);
    store
        .write_blocking(|tx| {
            let folded = tx.query_one("SELECT texts FROM audit_segment", &[], |row| row.get::<Vec<u8>>(0))?;
            let mut texts = unfold(&folded).unwrap();
            texts[3] = texts[3].replace("sensor-4", "sensor-9");
            tx.execute("UPDATE audit_segment SET texts = $1", params![fold(&texts)])
        })
        .unwrap();
    assert_eq!(problems(&store), [Problem::Changed]);
}

/// CP 10.2: LookupEvents answers the same whether records are rows of their own or share one.
#[test]
fn lookups_see_no_difference() {
    let (_dir, store) = house();
    for number in 0..RECORDS {
        store.write_blocking(move |tx| append(tx, record(account(1), number))).unwrap();
    }
    store.write_blocking(|tx| (0..RECORDS).try_for_each(|number| append(tx, record(account(2), number)))).unwrap();
    let find = |number: u8, query: &LookupQuery| {
        let page = store.read(|snapshot| lookup(snapshot, &account(number), &Region::default_region(), query)).unwrap();
        let records = page.records.into_iter().map(|record| {
            (record.seq, record.time, record.event_name, record.read_only, record.username, record.resources)
        });
        (records.collect::<Vec<_>>(), page.next)
    };
    let all = LookupQuery { limit: 50, ..LookupQuery::default() };
    assert_eq!(find(2, &all).0.len(), RECORDS as usize - 1, "data events are left out");
    let some = [
        Filter::EventName("ListThings".to_owned()),
        Filter::EventSource("iot.amazonaws.com".to_owned()),
        Filter::ReadOnly(false),
        Filter::Username("bob".to_owned()),
        Filter::AccessKeyId("AKIAEXAMPLE".to_owned()),
        Filter::AccessKeyId("AKIAOTHER".to_owned()),
        Filter::ResourceType("AWS::IoT::Thing".to_owned()),
        Filter::ResourceType("Thing".to_owned()),
        Filter::ResourceName("sensor-12".to_owned()),
        Filter::ResourceName("arn:aws:iot:us-east-1:000000000001:thing/sensor-12".to_owned()),
        Filter::ResourceName("ensor-12".to_owned()),
    ];
    let mut queries: Vec<LookupQuery> =
        some.into_iter().map(|filter| LookupQuery { filters: vec![filter], ..all.clone() }).collect();
    queries.push(all.clone());
    queries.push(LookupQuery { start: Some(at(5)), end: Some(at(11)), ..all.clone() });
    for before in 1..=RECORDS + 1 {
        queries.push(LookupQuery { before_seq: Some(before), limit: 4, ..all.clone() });
    }
    for query in &queries {
        assert_eq!(find(1, query), find(2, query), "{query:?}");
    }
    let by_id = store.read(|snapshot| lookup(snapshot, &account(2), &Region::default_region(), &all)).unwrap();
    let wanted = &by_id.records[7];
    let query = LookupQuery { filters: vec![Filter::EventId(wanted.event_id.clone())], ..all };
    let found = store.read(|snapshot| lookup(snapshot, &account(2), &Region::default_region(), &query)).unwrap();
    assert_eq!(found.records, std::slice::from_ref(wanted));
}
