//! Appending: the next place in the account's chain, inside the caller's transaction.
//!
//! Records of transactions that are committed together get their places together, right before the commit.
//!
//! Everything that does not depend on the place is rendered ahead ([`AuditRecord::prepare`]), because all writers share
//! the thread that appends.

use marram_store::{Closing, Snapshot, StoreError, Tx, params};
use marram_types::{AccountId, Region, Timestamp};
use serde_json::Value;
use smol_str::SmolStr;

use crate::record::{AuditRecord, Rendered};
use crate::redact::write_redacted;
use crate::segment::{SEGMENT_MIN, Segment};
use crate::tree::{Hash, leaf_hash};

/// `prev` of an account's first record.
pub(crate) const GENESIS: Hash = [0; 32];

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
    text: Rendered,
}

/// Where the logs end that this group of transactions has appended to, so that only the first append of an account asks
/// the database.
#[derive(Default)]
struct Heads(Vec<(AccountId, i64, Hash)>);

impl Prepared {
    /// Whose log it goes to, and the region of the call.
    pub(crate) fn realm(&self) -> (AccountId, Region) {
        (self.account.clone(), self.region.clone())
    }

    /// The whole text at its place, and its leaf.
    fn place(&self, seq: i64, prev: &Hash, response: Option<&Value>) -> (String, Hash) {
        let [before, marram, between, rendered, after] = self.text.pieces();
        let mut later = String::new();
        let response = match response {
            Some(response) if !self.read_only => {
                write_redacted(&mut later, response);
                &later
            }
            _ => rendered,
        };
        let mut prev_hex = [0; 64];
        hex::encode_to_slice(prev, &mut prev_hex).expect("two digits per byte");
        let prev_hex = std::str::from_utf8(&prev_hex).expect("hex digits are ASCII");
        let number = seq.to_string();
        let pieces = [
            "{",
            before,
            marram,
            ",\"prev\":\"",
            prev_hex,
            "\",\"seq\":",
            &number,
            "}",
            between,
            ",\"responseElements\":",
            response,
            after,
            "}",
        ];
        let text = pieces.concat();
        let leaf = leaf_hash(text.as_bytes());
        (text, leaf)
    }
}

/// A record on its way into the chain: linked with those of all transactions that share its commit.
struct Pending {
    prepared: Prepared,
    response: Option<Value>,
}

impl Closing for Pending {
    fn close(tx: &mut Tx<'_>, all: Vec<Self>) -> Result<(), StoreError> {
        let all: Vec<_> = all.iter().map(|one| (&one.prepared, one.response.as_ref())).collect();
        link_all(tx, &all)
    }
}

/// Appends one record to the log of its account. Durable with the transaction, gone with it; it gets its place in the
/// chain right before the commit.
///
/// # Errors
/// The store's; then the caller's transaction must fail too.
pub fn append(tx: &mut Tx<'_>, record: AuditRecord) -> Result<(), StoreError> {
    append_prepared(tx, record.prepare(), None)
}

/// [`append`] for a record rendered ahead; `response` becomes its `responseElements` unless the call is a read.
///
/// # Errors
/// As [`append`].
pub fn append_prepared(tx: &mut Tx<'_>, prepared: Prepared, response: Option<Value>) -> Result<(), StoreError> {
    tx.close_with(Pending { prepared, response });
    Ok(())
}

/// Gives a record its place and stores it.
pub(crate) fn link(tx: &mut Tx<'_>, prepared: &Prepared, response: Option<&Value>) -> Result<(), StoreError> {
    let (last_seq, prev) = end_of(tx, &prepared.account)?;
    let seq = last_seq + 1;
    let (text, leaf) = prepared.place(seq, &prev, response);
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
    note_end(tx, &prepared.account, seq, leaf);
    Ok(())
}

/// A record and the answer that came later, if one did.
type Late<'r> = (&'r Prepared, Option<&'r Value>);

/// [`link`] for many records of any accounts, in their order: those of one account that are many enough share rows.
pub(crate) fn link_all(tx: &mut Tx<'_>, batch: &[Late<'_>]) -> Result<(), StoreError> {
    let mut accounts: Vec<(&AccountId, Vec<Late<'_>>)> = Vec::new();
    for (prepared, response) in batch {
        match accounts.iter_mut().find(|(account, _)| **account == prepared.account) {
            Some((_, own)) => own.push((prepared, *response)),
            None => accounts.push((&prepared.account, vec![(prepared, *response)])),
        }
    }
    for (account, own) in accounts {
        if own.len() < SEGMENT_MIN {
            own.into_iter().try_for_each(|(prepared, response)| link(tx, prepared, response))?;
        } else {
            link_segments(tx, account, &own)?;
        }
    }
    Ok(())
}

fn link_segments(tx: &mut Tx<'_>, account: &AccountId, batch: &[Late<'_>]) -> Result<(), StoreError> {
    let (mut seq, mut prev) = end_of(tx, account)?;
    let mut waiting = batch.iter().peekable();
    while let Some((first, _)) = waiting.peek() {
        let (first_seq, time) = (seq + 1, first.time);
        let mut segment = Segment::default();
        while !segment.is_full()
            && let Some((prepared, response)) = waiting.next()
        {
            seq += 1;
            let (text, leaf) = prepared.place(seq, &prev, *response);
            segment.push(text, leaf);
            prev = leaf;
        }
        segment.store(tx, account, first_seq, time, &prev)?;
    }
    note_end(tx, account, seq, prev);
    Ok(())
}

/// Where the account's log ends in this transaction.
fn end_of(tx: &mut Tx<'_>, account: &AccountId) -> Result<(i64, Hash), StoreError> {
    match tx.memo::<Heads>().0.iter().find(|(known, ..)| known == account) {
        Some((_, seq, leaf)) => Ok((*seq, *leaf)),
        None => head(tx, account),
    }
}

fn note_end(tx: &mut Tx<'_>, account: &AccountId, seq: i64, leaf: Hash) {
    let heads = &mut tx.memo::<Heads>().0;
    match heads.iter_mut().find(|(known, ..)| known == account) {
        Some(head) => (head.1, head.2) = (seq, leaf),
        None => heads.push((account.clone(), seq, leaf)),
    }
}

impl AuditRecord {
    /// Renders the record ahead of its transaction: redaction and canonical JSON, all but its place.
    pub fn prepare(self) -> Prepared {
        let event_id = event_id(&self);
        let text = self.render(&event_id);
        let resources =
            resource_lines(self.resources.iter().map(|resource| (resource.arn.as_str(), resource.kind.as_deref())));
        let username = self.username().map(str::to_owned);
        Prepared {
            account: self.account,
            region: self.region,
            time: self.time,
            event_id,
            event_source: self.event_source,
            event_name: self.event_name,
            read_only: self.read_only,
            management: self.management,
            username,
            access_key_id: self.user_identity.access_key_id,
            resources,
            text,
        }
    }
}

/// Number and leaf of the account's last record; 0 and [`GENESIS`] when there is none.
pub(crate) fn head(snapshot: &Snapshot<'_>, account: &AccountId) -> Result<(i64, Hash), StoreError> {
    let last = |sql| {
        let found = snapshot.query_opt(sql, params![account], |row| Ok::<_, StoreError>((row.get(0)?, row.get(1)?)))?;
        Ok::<(i64, Hash), StoreError>(found.unwrap_or((0, GENESIS)))
    };
    let alone = last("SELECT seq, leaf FROM audit_record WHERE account = $1 ORDER BY seq DESC LIMIT 1")?;
    let together = last("SELECT last_seq, leaf FROM audit_segment WHERE account = $1 ORDER BY first_seq DESC LIMIT 1")?;
    Ok(if together.0 > alone.0 { together } else { alone })
}

/// What LookupEvents searches resources in: one `type|arn` per line, a newline on both ends of each.
pub(crate) fn resource_lines<'r>(resources: impl Iterator<Item = (&'r str, Option<&'r str>)>) -> String {
    let mut lines = String::with_capacity(128);
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
    let random: [u8; 10] = marram_types::random_id_bytes();
    let millis = u64::try_from(record.time.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
}
