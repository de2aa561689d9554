//! Recomputing the whole log: every hash, every link, every number, every checkpoint (security.md 7.2, `t_log_tamper`).

use std::collections::BTreeMap;

use marram_store::{Row, Snapshot, StoreError, params};
use marram_types::{AccountId, Timestamp};

use crate::audit::accounts;
use crate::chain::GENESIS;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::segment::unfold;
use crate::text::Text;
use crate::tree::{Frontier, Hash, leaf_hash};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Records looked at.
    pub records: u64,
    /// Accounts with records.
    pub accounts: u64,
    /// Checkpoints whose signature was checked and that the log agrees with.
    pub checkpoints: u64,
    /// Everything that is wrong, in the order found; empty when the log is sound.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose log; `None` for a checkpoint that cannot be read.
    pub account: Option<AccountId>,
    /// Which record (or size of the checkpoint), when it can be said.
    pub seq: Option<u64>,
    /// What.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text does not have the hash stored beside it.
    #[error("the record was changed: its hash does not match")]
    Changed,
    /// `prev` is not the hash of the record before.
    #[error("the chain is broken: `prev` is not the hash of the record before")]
    Unlinked,
    /// Numbers are missing in front of this record.
    #[error("{missing} records are missing in front of this one")]
    Gap {
        /// How many.
        missing: u64,
    },
    /// `marram.seq` is not the row's number.
    #[error("the record is out of place: it says it is number {says}")]
    Misplaced {
        /// What the text says.
        says: u64,
    },
    /// A column that lookups use differs from the text.
    #[error("column `{0}` differs from the record")]
    Column(&'static str),
    /// The text is not a record.
    #[error("the record cannot be read")]
    Unreadable,
    /// A checkpoint covers more records than there are.
    #[error("the log was cut off or replaced by an older one: a checkpoint covers {size} records, {found} are there")]
    Truncated {
        /// What the checkpoint covers.
        size: u64,
        /// How many there are.
        found: u64,
    },
    /// The log knows of a checkpoint that is not among those it is verified with.
    #[error("the checkpoint over {size} records is gone: the newest one there covers {newest}")]
    Uncovered {
        /// What it covered.
        size: u64,
        /// What the newest checkpoint covers; 0 without one.
        newest: u64,
    },
    /// A checkpoint's root differs from that of the log at its size.
    #[error("the log was rewritten: a checkpoint has another root")]
    Rewritten,
    /// The checkpoint itself.
    #[error(transparent)]
    Checkpoint(CheckpointError),
}

/// How many records of each account the newest checkpoint covered, as the log itself remembers.
///
/// Read it before the checkpoints: a checkpoint is in its file before the log remembers it, so one that is remembered here and
/// not found there was taken away.
#[derive(Debug, Clone, Default)]
pub struct Covered(BTreeMap<AccountId, u64>);

impl Covered {
    /// # Errors
    /// The store's.
    pub fn read(snapshot: &Snapshot<'_>) -> Result<Covered, StoreError> {
        let rows = snapshot.query_all("SELECT account, size FROM audit_tree", params![], |row| {
            Ok::<_, StoreError>((row.parse(0)?, row.get(1)?))
        })?;
        Ok(Covered(rows.into_iter().collect()))
    }

    fn of(&self, account: &AccountId) -> u64 {
        self.0.get(account).copied().unwrap_or(0)
    }
}

/// Verifies the logs of all accounts against themselves and against checkpoints.
///
/// Without a checkpoint from outside, what cannot be detected is the removal of records younger than the newest checkpoint,
/// by whoever may write the database the removal of records with their checkpoints and all memory of them, and a rewrite of
/// everything by whoever holds the checkpoint key.
///
/// # Errors
/// The store's, when rows cannot be read at all.
pub fn verify(
    snapshot: &Snapshot<'_>,
    checkpoints: &[Result<Checkpoint, CheckpointError>],
    covered: &Covered,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut by_account: BTreeMap<AccountId, Vec<&Checkpoint>> = BTreeMap::new();
    for checkpoint in checkpoints {
        match checkpoint {
            Ok(checkpoint) => by_account.entry(checkpoint.account.clone()).or_default().push(checkpoint),
            Err(error) => {
                let problem = Problem::Checkpoint(error.clone());
                report.findings.push(Finding { account: None, seq: None, problem });
            }
        }
    }
    let present = accounts(snapshot)?;
    report.accounts = present.len() as u64;
    for account in present.iter().chain(covered.0.keys()) {
        by_account.entry(account.clone()).or_default();
    }
    for (account, mut checkpoints) in by_account {
        checkpoints.sort_by_key(|checkpoint| checkpoint.size);
        AccountWalk::new(&account, checkpoints, &mut report).run(snapshot, covered.of(&account))?;
    }
    Ok(report)
}

/// What a verification of one account's log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountReport {
    /// What is wrong, and what was looked at.
    pub report: Report,
    /// Hash of the newest record; all zeros without one.
    pub head: Hash,
    /// Size of the largest checkpoint that the log agrees with; 0 without one.
    pub checkpoint: u64,
}

/// As [`verify`], for the log of one account.
///
/// # Errors
/// As [`verify`].
pub fn verify_account(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    checkpoints: &[Result<Checkpoint, CheckpointError>],
    covered: &Covered,
) -> Result<AccountReport, StoreError> {
    let mut report = Report { accounts: 1, ..Report::default() };
    let mut own: Vec<&Checkpoint> = checkpoints.iter().flatten().filter(|one| one.account == *account).collect();
    own.sort_by_key(|checkpoint| checkpoint.size);
    let sizes: Vec<u64> = own.iter().map(|checkpoint| checkpoint.size).collect();
    AccountWalk::new(account, own, &mut report).run(snapshot, covered.of(account))?;
    let (_, head) = crate::chain::head(snapshot, account)?;
    let agreed = usize::try_from(report.checkpoints).unwrap_or(usize::MAX).min(sizes.len());
    let checkpoint = agreed.checked_sub(1).map_or(0, |last| sizes[last]);
    Ok(AccountReport { report, head, checkpoint })
}

struct AccountWalk<'w> {
    account: &'w AccountId,
    checkpoints: std::vec::IntoIter<&'w Checkpoint>,
    next_checkpoint: Option<&'w Checkpoint>,
    frontier: Frontier,
    last_seq: u64,
    last_leaf: Hash,
    report: &'w mut Report,
}

impl<'w> AccountWalk<'w> {
    fn new(account: &'w AccountId, checkpoints: Vec<&'w Checkpoint>, report: &'w mut Report) -> Self {
        let mut checkpoints = checkpoints.into_iter();
        let next_checkpoint = checkpoints.next();
        Self {
            account,
            checkpoints,
            next_checkpoint,
            frontier: Frontier::default(),
            last_seq: 0,
            last_leaf: GENESIS,
            report,
        }
    }

    /// `covered`: records that a checkpoint is known to have covered.
    fn run(mut self, snapshot: &Snapshot<'_>, covered: u64) -> Result<(), StoreError> {
        let account = self.account;
        let newest = self.checkpoints.as_slice().last().or(self.next_checkpoint.as_ref()).map_or(0, |one| one.size);
        if newest < covered {
            self.find(Some(covered), Problem::Uncovered { size: covered, newest });
        }
        snapshot.query_each(
            "SELECT seq, leaf, record, time, region, event_id, event_source, event_name, read_only, management,
                 username, access_key_id, resources, seq, leaf, NULL
             FROM audit_record WHERE account = $1
             UNION ALL
             SELECT first_seq, leaf, NULL, time, NULL, NULL, NULL, NULL, NULL, NULL,
                 NULL, NULL, NULL, last_seq, leaves, texts
             FROM audit_segment WHERE account = $1
             ORDER BY 1",
            params![account],
            |row| {
                let seq: u64 = row.get(0)?;
                match row.get::<Option<String>>(2)? {
                    Some(text) => self.record(seq, row.get(1)?, &text, Some(&row_columns(row)?)),
                    None => self.segment(seq, row)?,
                }
                Ok::<_, StoreError>(true)
            },
        )?;
        let found = self.frontier.size();
        if found < covered && newest < covered {
            self.find(Some(covered), Problem::Truncated { size: covered, found });
        }
        while let Some(checkpoint) = self.next_checkpoint.take() {
            self.find(Some(checkpoint.size), Problem::Truncated { size: checkpoint.size, found });
            self.next_checkpoint = self.checkpoints.next();
        }
        Ok(())
    }

    /// Many records in one row. What cannot be taken apart is as good as not there.
    fn segment(&mut self, first: u64, row: &Row<'_>) -> Result<(), StoreError> {
        let (leaf, last): (Hash, u64) = (row.get(1)?, row.get(13)?);
        let (leaves, remainder) = row.blob(14)?.as_chunks::<32>();
        let texts = unfold(row.blob(15)?)
            .filter(|texts| !texts.is_empty() && texts.len() == leaves.len() && remainder.is_empty())
            .filter(|texts| last.checked_sub(first).is_some_and(|more| more + 1 == texts.len() as u64));
        let Some(texts) = texts else {
            self.find(Some(first), Problem::Unreadable);
            return Ok(());
        };
        for ((seq, text), leaf) in (first..).zip(&texts).zip(leaves) {
            self.record(seq, *leaf, text, None);
        }
        // Appending goes on from the row's own leaf, searching in time from its own time.
        if leaves.last() != Some(&leaf) {
            self.find(Some(last), Problem::Column("leaf"));
        }
        let began = serde_json::from_str::<Text<'_>>(&texts[0]).ok().map(|text| text.event_time.into_owned());
        if began.is_some_and(|began| began != row.get::<Timestamp>(3).map(|time| time.rfc3339()).unwrap_or_default()) {
            self.find(Some(first), Problem::Column("time"));
        }
        Ok(())
    }

    fn record(&mut self, seq: u64, leaf: Hash, text: &str, columns: Option<&Columns>) {
        self.report.records += 1;
        let missing = seq.saturating_sub(self.last_seq + 1);
        if missing > 0 {
            self.find(Some(seq), Problem::Gap { missing });
        }
        let computed = leaf_hash(text.as_bytes());
        if computed != leaf {
            self.find(Some(seq), Problem::Changed);
        }
        match serde_json::from_str::<Text<'_>>(text) {
            Err(_) => self.find(Some(seq), Problem::Unreadable),
            Ok(record) => {
                if record.marram.seq != seq {
                    self.find(Some(seq), Problem::Misplaced { says: record.marram.seq });
                }
                // Behind a gap the link cannot hold, and the gap has been told.
                if missing == 0 && record.marram.prev != hex::encode(self.last_leaf) {
                    self.find(Some(seq), Problem::Unlinked);
                }
                if let Some(column) = columns.and_then(|columns| columns.differs_from(&record)) {
                    self.find(Some(seq), Problem::Column(column));
                }
            }
        }
        self.frontier.push(computed);
        self.last_seq = seq;
        self.last_leaf = leaf;
        while let Some(checkpoint) = self.next_checkpoint.filter(|c| c.size <= self.frontier.size()) {
            if checkpoint.root == self.frontier.root() {
                self.report.checkpoints += 1;
            } else {
                self.find(Some(checkpoint.size), Problem::Rewritten);
            }
            self.next_checkpoint = self.checkpoints.next();
        }
    }

    fn find(&mut self, seq: Option<u64>, problem: Problem) {
        self.report.findings.push(Finding { account: Some(self.account.clone()), seq, problem });
    }
}

/// The columns that lookups filter by.
struct Columns {
    time: Timestamp,
    texts: [String; 4],
    read_only: bool,
    management: bool,
    username: Option<String>,
    access_key_id: Option<String>,
    resources: String,
}

fn row_columns(row: &Row<'_>) -> Result<Columns, StoreError> {
    Ok(Columns {
        time: row.get(3)?,
        texts: [row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?],
        read_only: row.get(8)?,
        management: row.get(9)?,
        username: row.get(10)?,
        access_key_id: row.get(11)?,
        resources: row.get(12)?,
    })
}

impl Columns {
    fn differs_from(&self, text: &Text<'_>) -> Option<&'static str> {
        let [region, event_id, event_source, event_name] = &self.texts;
        [
            ("time", self.time.rfc3339() == text.event_time),
            ("region", region == text.aws_region),
            ("event_id", event_id == text.event_id),
            ("event_source", event_source == text.event_source),
            ("event_name", event_name == text.event_name),
            ("read_only", self.read_only == text.read_only),
            ("management", self.management == text.management_event),
            ("username", self.username.as_deref() == text.username()),
            ("access_key_id", self.access_key_id == text.user_identity.access_key_id),
            ("resources", self.resources == text.resources()),
        ]
        .into_iter()
        .find_map(|(name, same)| (!same).then_some(name))
    }
}
