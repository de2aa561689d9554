//! Checkpoints: signed notes that fix an account's log at a size (security.md 7.2).
//!
//! ```text
//! marram-audit/000000000000
//! 1284
//! <base64 of the tree's root>
//! time 2026-03-02T08:14:02Z
//! head <hex leaf of record 1284>
//!
//! — marram-audit <base64 of key hash and signature>
//! ```
//!
//! They are kept in one file beside the database, oldest first. A copy kept elsewhere proves more: whoever can write
//! the database can usually write the file too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_types::{AccountId, Timestamp};

use crate::key::{AuditKey, KEY_NAME, PublicKey};
use crate::tree::Hash;

const ORIGIN_PREFIX: &str = "marram-audit/";

/// Begins the signature line of a note.
const SIGNATURE_MARK: &str = "— ";

/// What one checkpoint says, signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub account: AccountId,
    /// How many records it covers.
    pub size: u64,
    /// RFC 6962 root over their leaves.
    pub root: Hash,
    /// When it was made.
    pub time: Timestamp,
}

/// A note that is not a checkpoint, or not signed by the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text does not have the form.
    #[error("checkpoint {index} is malformed")]
    Malformed {
        /// Which note of the file, from 1.
        index: usize,
    },
    /// The signature is missing, or another key's.
    #[error("checkpoint {index} is not signed by the audit key")]
    Signature {
        /// Which note of the file, from 1.
        index: usize,
    },
}

impl Checkpoint {
    /// The signed note, with a final newline.
    pub(crate) fn to_note(&self, head: &Hash, key: &AuditKey) -> String {
        let text = format!(
            "{ORIGIN_PREFIX}{}\n{}\n{}\ntime {}\nhead {}\n",
            self.account,
            self.size,
            STANDARD.encode(self.root),
            self.time.rfc3339(),
            hex::encode(head)
        );
        let signature = key.sign_note(&text);
        format!("{text}\n{SIGNATURE_MARK}{KEY_NAME} {signature}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let account = lines.next()?.strip_prefix(ORIGIN_PREFIX)?.parse().ok()?;
        let size = lines.next()?.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let time = lines.find_map(|line| line.strip_prefix("time "))?;
        Some(Self { account, size, root, time: Timestamp::parse_rfc3339(time).ok()? })
    }
}

/// Reads the checkpoints of a file, in its order; each is either sound or named. A note that breaks off at the end of
/// the file (a crash while it was written) is left out.
pub fn read_checkpoints(text: &str, key: &PublicKey) -> Vec<Result<Checkpoint, CheckpointError>> {
    notes(text)
        .enumerate()
        .map(|(index, note)| {
            let index = index + 1;
            let (body, signature) = note.split_once("\n\n").ok_or(CheckpointError::Malformed { index })?;
            let body = format!("{body}\n");
            let signed = signature
                .strip_prefix(SIGNATURE_MARK)
                .and_then(|line| line.strip_prefix(KEY_NAME))
                .is_some_and(|signature| key.verifies(&body, signature.trim()));
            if !signed {
                return Err(CheckpointError::Signature { index });
            }
            Checkpoint::parse(&body).ok_or(CheckpointError::Malformed { index })
        })
        .collect()
}

/// Length of the part of a checkpoint file that consists of complete notes.
pub(crate) fn complete_length(text: &str) -> usize {
    let end = notes(text).last().map_or(0, |note| note.as_ptr() as usize - text.as_ptr() as usize + note.len());
    end.min(text.len())
}

/// The complete notes: each ends with its signature line.
fn notes(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches('\n');
        let mark = if rest.starts_with(SIGNATURE_MARK) { 0 } else { rest.find("\n— ")? + 1 };
        let end = mark + rest[mark..].find('\n')? + 1;
        let (note, after) = rest.split_at(end);
        rest = after;
        Some(note)
    })
}
