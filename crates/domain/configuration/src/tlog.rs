//! Reading `config.tlog` of the original runtime, for a migration in place (CR 3.7).
//!
//! One JSON object per line: `{"TS":ms,"TP":[keys],"W":"changed","V":value}`. A power cut may leave the tail torn or
//! full of zeros; such a tail is cut off and told. Damage with readable lines after it is no torn tail: it is refused,
//! so that the caller can turn to an older generation of the file.

use serde_json::Value;

use crate::node::{Interior, Leaf, Node, Origin, Tree};
use crate::{MAX_DEPTH, Write};

/// A tree out of a log.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The tree at the end of the log.
    pub tree: Tree,
    /// Lines read.
    pub entries: usize,
    /// Bytes of a torn tail that were left out; 0 for a whole log.
    pub cut_bytes: usize,
}

/// Why a log is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogError {
    /// A line in the middle is damaged.
    #[error("line {line} of the configuration log is damaged although later lines are not: {cause}")]
    Damaged {
        /// From 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
}

struct Record {
    time: i64,
    path: Vec<String>,
    what: String,
    value: Value,
}

/// Reads a whole log.
///
/// # Errors
/// A damaged line that is followed by good ones.
pub fn read_tlog(bytes: &[u8]) -> Result<Imported, TlogError> {
    let mut tree = Tree::new();
    let mut entries = 0;
    let mut start = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let text = line.trim_ascii();
        if !text.is_empty() {
            match record(text) {
                Ok(record) => replay(&mut tree, &record),
                Err(cause) => {
                    let rest = bytes.get(start + line.len()..).unwrap_or_default();
                    if rest.split(|byte| *byte == b'\n').any(|line| record_is_good(line.trim_ascii())) {
                        return Err(TlogError::Damaged { line: index + 1, cause });
                    }
                    return Ok(Imported { tree, entries, cut_bytes: bytes.len() - start });
                }
            }
            entries += 1;
        }
        start += line.len();
    }
    Ok(Imported { tree, entries, cut_bytes: 0 })
}

fn record_is_good(line: &[u8]) -> bool {
    !line.is_empty() && record(line).is_ok()
}

fn record(line: &[u8]) -> Result<Record, String> {
    let mut value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let time = value.get("TS").and_then(Value::as_i64).ok_or("TS is missing")?;
    let path = value.get("TP").and_then(Value::as_array).ok_or("TP is missing")?;
    let path: Option<Vec<String>> = path.iter().map(|key| key.as_str().map(str::to_owned)).collect();
    let path = path.ok_or("TP holds something else than text")?;
    if path.len() > MAX_DEPTH / 2 {
        return Err("TP is too deep".to_owned());
    }
    let what = value.get("W").and_then(Value::as_str).ok_or("W is missing")?.to_owned();
    let value = value.get_mut("V").map(Value::take).unwrap_or_default();
    Ok(Record { time, path, what, value })
}

fn replay(tree: &mut Tree, Record { time, path, what, value }: &Record) {
    let write = Write::new(*time, Origin::Unknown);
    match what.as_str() {
        "changed" if !path.is_empty() => drop(tree.merge(path, value, &write)),
        "removed" => drop(tree.remove(path, &Write { force: true, ..write })),
        "interiorAdded" if !path.is_empty() => match tree.get(path) {
            Some(Node::Interior(_)) => {}
            _ => tree.load(path, Node::Interior(Interior { modified: *time, ..Interior::default() })),
        },
        "timestampUpdated" => {
            if let Some(Node::Leaf(leaf)) = tree.get(path)
                && leaf.modified < *time
            {
                let leaf = Leaf { modified: *time, ..leaf.clone() };
                tree.load(path, Node::Leaf(leaf));
            }
        }
        _ => {}
    }
}
