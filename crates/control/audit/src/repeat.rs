//! Reads that pages repeat: the first is recorded at once, the same ones after it are counted, a record a minute.
//!
//! The same is a read of the same operation by the same principal and session from the same address with the same input
//! (but for where a listing goes on), decided in the same way by the same statements. Only reads that succeeded come here;
//! refusals, failures and changes have records of their own, always.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use marram_types::Timestamp;
use serde_json::Value;

use crate::record::AuditRecord;

/// One record of this many seconds at most, for the same read.
const WINDOW: Duration = Duration::from_secs(60);
/// Reads that are watched for being repeated; beyond, each has its own record.
const MAX_WINDOWS: usize = 4_096;
/// Members of inputs that say where a listing goes on: no target of a read.
const PLACES: [&str; 5] = ["nextToken", "NextToken", "Marker", "marker", "nextMarker"];

/// What was read a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<HashMap<[u8; 32], Window>>);

#[derive(Debug)]
struct Window {
    until: Timestamp,
    count: u64,
    first: Timestamp,
    /// The last repetition: what the record will say besides the count.
    last: Option<Box<AuditRecord>>,
}

impl Repeats {
    /// Counts a read that repeats one of the last minute, or gives it back to be recorded.
    pub(crate) fn count(&self, record: AuditRecord) -> Option<AuditRecord> {
        let (key, now) = (key_of(&record), record.time);
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get_mut(&key) {
            if window.count == 0 {
                window.first = now;
            }
            window.count += 1;
            window.last = Some(Box::new(record));
            return None;
        }
        if windows.len() < MAX_WINDOWS {
            let until = now.saturating_add(WINDOW);
            windows.insert(key, Window { until, count: 0, first: now, last: None });
        }
        Some(record)
    }

    /// The records of minutes that are over; of all of them at the end.
    pub(crate) fn due(&self, now: Timestamp, is_end: bool) -> Vec<AuditRecord> {
        let mut due = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, window| {
            if window.until > now && !is_end {
                return true;
            }
            let Some(last) = window.last.take() else { return false };
            let mut record = *last;
            record.additional.insert("repetitions".to_owned(), window.count.into());
            record.additional.insert("firstRepetition".to_owned(), window.first.rfc3339().into());
            due.push(record);
            window.count = 0;
            window.until = now.saturating_add(WINDOW);
            true
        });
        due
    }
}

/// Equal for reads that a reader of the log would call the same.
fn key_of(record: &AuditRecord) -> [u8; 32] {
    let mut plain = record.clone();
    plain.time = Timestamp::EPOCH;
    plain.request_id = None;
    if let Value::Object(members) = &mut plain.request_parameters {
        members.retain(|name, _| !PLACES.contains(&name.as_str()));
    }
    let rendered = plain.render("");
    let mut context = digest::Context::new(&digest::SHA256);
    let [before, marram, between, _, after] = rendered.pieces();
    for text in [before, marram, between, after] {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use marram_types::{AccountId, Region};
    use serde_json::json;

    use super::*;
    use crate::record::UserIdentity;

    fn read(second: i64, parameters: Value) -> AuditRecord {
        let who = UserIdentity { user_name: Some("anna".into()), ..UserIdentity::default() };
        let (account, region) = (AccountId::first(), Region::default_region());
        let mut record =
            AuditRecord::new(account, region, Timestamp::from_secs(second), "iot.amazonaws.com", "ListThings", who);
        record.request_parameters = parameters;
        record.read_only = true;
        record
    }

    /// security 7.2: nothing is lost but the single moments: first read at once, then a count a minute, then nothing.
    #[test]
    fn repeated_reads_are_counted() {
        let repeats = Repeats::default();
        let mut records = Vec::new();
        for second in (0..600).step_by(5) {
            records.extend(repeats.count(read(second, json!({"maxResults": 10}))));
            records.extend(repeats.due(Timestamp::from_secs(second), false));
        }
        records.extend(repeats.due(Timestamp::from_secs(660), false));
        let counted: u64 = records.iter().filter_map(|record| record.additional.get("repetitions")?.as_u64()).sum();
        assert_eq!((records.len(), counted), (11, 119), "ten minutes, 120 reads");
        assert_eq!(records[0].additional.get("repetitions"), None);
        assert_eq!(records[1].additional["firstRepetition"], "1970-01-01T00:00:05Z");
        assert!(repeats.due(Timestamp::from_secs(720), false).is_empty());
        assert!(repeats.count(read(800, json!({"maxResults": 10}))).is_some(), "a pause makes it a first read");
        let _ = repeats.count(read(801, json!({"maxResults": 10})));
        assert_eq!(repeats.due(Timestamp::from_secs(802), true).len(), 1, "the end leaves nothing uncounted");
    }

    /// security 7.2: another target, person, address, decision or statement is another read; a further page is none.
    #[test]
    fn what_differs_is_recorded() {
        type Change = fn(&mut AuditRecord);
        let repeats = Repeats::default();
        assert!(repeats.count(read(0, json!({"thingName": "a"}))).is_some());
        let changes: [Change; 7] = [
            |record| record.request_parameters = json!({"thingName": "b"}),
            |record| record.user_identity.user_name = Some("berta".into()),
            |record| record.user_identity.access_key_id = Some("ASIA".into()),
            |record| record.source_ip_address = "192.0.2.1".to_owned(),
            |record| record.user_agent = "curl".to_owned(),
            |record| record.matched_statements = vec!["Policy#0".to_owned()],
            |record| record.event_name = "DescribeThing".into(),
        ];
        for change in changes {
            let mut record = read(1, json!({"thingName": "a"}));
            change(&mut record);
            assert!(repeats.count(record).is_some());
        }
        assert!(repeats.count(read(1, json!({"thingName": "a", "nextToken": "x"}))).is_none());
    }

    /// security 12.2: what is remembered is bounded; beyond, every read has its record.
    #[test]
    fn memory_is_bounded() {
        let repeats = Repeats::default();
        for n in 0..MAX_WINDOWS {
            assert!(repeats.count(read(0, json!({"thingName": n}))).is_some());
        }
        for _ in 0..2 {
            assert!(repeats.count(read(0, json!({"thingName": "late"}))).is_some());
        }
    }
}
