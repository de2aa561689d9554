//! Appending: the next place in the account's chain, inside the caller's transaction.

use marram_store::{Snapshot, StoreError, Tx, params};
use marram_types::AccountId;
use serde_json::{Value, json};

use crate::canonical::to_canonical_json;
use crate::record::AuditRecord;
use crate::tree::{Hash, leaf_hash};

/// `prev` of an account's first record.
pub(crate) const GENESIS: Hash = [0; 32];

/// Where a record came to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its number in the account's log, from 1, without gaps.
    pub seq: i64,
    /// Its `eventID`, a version 7 UUID.
    pub event_id: String,
    /// `SHA-256(0x00 || canonical record)`.
    pub leaf: Hash,
}

/// Appends one record to the log of its account. Durable with the transaction, gone with it.
///
/// # Errors
/// The store's; then the caller's transaction must fail too.
pub fn append(tx: &mut Tx<'_>, record: AuditRecord) -> Result<Appended, StoreError> {
    let (last_seq, prev) = head(tx, &record.account)?;
    let seq = last_seq + 1;
    let event_id = event_id(&record);
    let (account, region, time) = (record.account.clone(), record.region.clone(), record.time);
    let (source, name) = (record.event_source.clone(), record.event_name.clone());
    let (read_only, management) = (record.read_only, record.management);
    let username = record.username().map(str::to_owned);
    let access_key_id = record.user_identity.access_key_id.clone();
    let resources = resource_lines(record.resources.iter().map(|resource| (resource.arn.as_str(), resource.kind.as_deref())));
    let marram = json!({
        "seq": seq,
        "prev": hex::encode(prev),
        "class": if management { "management" } else { "data" },
        "decision": record.decision.as_str(),
        "matchedStatements": record.matched_statements,
    });
    let mut members = record.into_members(&event_id);
    members.insert("marram".to_owned(), marram);
    let text = to_canonical_json(&Value::Object(members));
    let leaf = leaf_hash(text.as_bytes());
    tx.execute(
        "INSERT INTO audit_record (account, seq, time, region, event_id, event_source, event_name, read_only,
             management, username, access_key_id, resources, leaf, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        params![
            account,
            seq,
            time,
            region,
            event_id,
            source,
            name,
            read_only,
            management,
            username,
            access_key_id,
            resources,
            leaf,
            text
        ],
    )?;
    Ok(Appended { seq, event_id, leaf })
}

/// Number and leaf of the account's last record; 0 and [`GENESIS`] when there is none.
pub(crate) fn head(snapshot: &Snapshot<'_>, account: &AccountId) -> Result<(i64, Hash), StoreError> {
    let last = snapshot.query_opt(
        "SELECT seq, leaf FROM audit_record WHERE account = $1 ORDER BY seq DESC LIMIT 1",
        params![account],
        |row| Ok::<_, StoreError>((row.get(0)?, row.get(1)?)),
    )?;
    Ok(last.unwrap_or((0, GENESIS)))
}

/// What LookupEvents searches resources in: one `type|arn` per line, a newline on both ends of each.
pub(crate) fn resource_lines<'r>(resources: impl Iterator<Item = (&'r str, Option<&'r str>)>) -> String {
    let mut lines = String::new();
    for (arn, kind) in resources {
        if lines.is_empty() {
            lines.push('\n');
        }
        lines.extend([kind.unwrap_or(""), "|", arn, "\n"]);
    }
    lines
}

/// Version 7: the moment leads, so that an id alone tells where in the log to look.
fn event_id(record: &AuditRecord) -> String {
    let random: [u8; 10] = marram_types::random_bytes();
    let millis = u64::try_from(record.time.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
}
