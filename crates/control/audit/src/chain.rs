//! Appending: the next place in the account's chain, inside the caller's transaction.
//!
//! Everything that does not depend on the place is rendered ahead ([`AuditRecord::prepare`]), because all writers share
//! the thread that appends.

use marram_store::{Snapshot, StoreError, Tx, params};
use marram_types::{AccountId, Region, Timestamp};
use serde_json::Value;
use smol_str::SmolStr;

use crate::canonical::{write_string, write_value};
use crate::record::AuditRecord;
use crate::redact::redact;
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

/// A record rendered but for its place in the chain and, if the caller has it later, its `responseElements`.
#[derive(Debug, Clone)]
pub struct Prepared {
    account: AccountId,
    region: Region,
    time: Timestamp,
    event_id: String,
    event_source: SmolStr,
    event_name: SmolStr,
    read_only: bool,
    management: bool,
    username: Option<String>,
    access_key_id: Option<SmolStr>,
    resources: String,
    /// `"class":..,"decision":..,"matchedStatements":[..]`, the members of `marram` that sort before its place.
    marram: String,
    /// Canonical text up to `marram`, between it and `responseElements`, and from there on; commas included.
    texts: [String; 3],
    response: String,
}

impl Prepared {
    /// Whose log it goes to, and the region of the call.
    pub(crate) fn realm(&self) -> (AccountId, Region) {
        (self.account.clone(), self.region.clone())
    }
}

/// Appends one record to the log of its account. Durable with the transaction, gone with it.
///
/// # Errors
/// The store's; then the caller's transaction must fail too.
pub fn append(tx: &mut Tx<'_>, record: AuditRecord) -> Result<Appended, StoreError> {
    append_prepared(tx, record.prepare(), None)
}

/// [`append`] for a record rendered ahead; `response` becomes its `responseElements` unless the call is a read.
///
/// # Errors
/// As [`append`].
pub fn append_prepared(tx: &mut Tx<'_>, prepared: Prepared, response: Option<Value>) -> Result<Appended, StoreError> {
    let (last_seq, prev) = head(tx, &prepared.account)?;
    let seq = last_seq + 1;
    let response = match response {
        Some(response) if !prepared.read_only => canonical(&redact(response)),
        _ => prepared.response,
    };
    let [before, between, after] = &prepared.texts;
    let text = format!(
        "{{{before}\"marram\":{{{},\"prev\":\"{}\",\"seq\":{seq}}}{between},\"responseElements\":{response}{after}}}",
        prepared.marram,
        hex::encode(prev),
    );
    let leaf = leaf_hash(text.as_bytes());
    tx.execute(
        "INSERT INTO audit_record (account, seq, time, region, event_id, event_source, event_name, read_only,
             management, username, access_key_id, resources, leaf, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        params![
            prepared.account,
            seq,
            prepared.time,
            prepared.region,
            prepared.event_id,
            prepared.event_source,
            prepared.event_name,
            prepared.read_only,
            prepared.management,
            prepared.username,
            prepared.access_key_id,
            prepared.resources,
            leaf,
            text
        ],
    )?;
    Ok(Appended { seq, event_id: prepared.event_id, leaf })
}

impl AuditRecord {
    /// Renders the record ahead of its transaction: redaction and canonical JSON, all but its place.
    pub fn prepare(self) -> Prepared {
        let event_id = event_id(&self);
        let mut marram = String::from("\"class\":");
        write_string(&mut marram, if self.management { "management" } else { "data" });
        marram.push_str(",\"decision\":");
        write_string(&mut marram, self.decision.as_str());
        marram.push_str(",\"matchedStatements\":");
        write_value(&mut marram, &Value::from(self.matched_statements.clone()));
        let resources =
            resource_lines(self.resources.iter().map(|resource| (resource.arn.as_str(), resource.kind.as_deref())));
        let (account, region, time) = (self.account.clone(), self.region.clone(), self.time);
        let (event_source, event_name) = (self.event_source.clone(), self.event_name.clone());
        let (read_only, management) = (self.read_only, self.management);
        let username = self.username().map(str::to_owned);
        let access_key_id = self.user_identity.access_key_id.clone();
        let mut members = self.into_members(&event_id);
        let response = canonical(&members.remove("responseElements").unwrap_or(Value::Null));
        let mut texts = [const { String::new() }; 3];
        // The members' names are ASCII, so their order is that of their bytes.
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| name.as_str());
        for (name, value) in sorted {
            let part = usize::from(name.as_str() > "marram") + usize::from(name.as_str() > "responseElements");
            let text = &mut texts[part];
            if part > 0 {
                text.push(',');
            }
            write_string(text, name);
            text.push(':');
            write_value(text, value);
            if part == 0 {
                text.push(',');
            }
        }
        Prepared {
            account,
            region,
            time,
            event_id,
            event_source,
            event_name,
            read_only,
            management,
            username,
            access_key_id,
            resources,
            marram,
            texts,
            response,
        }
    }
}

fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
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
