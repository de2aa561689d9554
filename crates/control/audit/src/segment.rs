//! Segments: records that need no transaction of their own, stored together in one row.
//!
//! Records of one moment are much alike, so each text is kept as its difference to the one before it of the same build:
//! a text is cut at its quotation marks, and only the pieces that differ are written down. The chain does not know of
//! segments: every record has its number, its link and its leaf, and the texts come back byte for byte.

use std::collections::HashMap;

use marram_store::{StoreError, Tx, params};
use marram_types::{AccountId, Timestamp};

use crate::tree::Hash;

/// Texts in a segment at most, so that reading one record does not mean reading very many.
pub(crate) const SEGMENT_RECORDS: usize = 512;

/// Fewer records than this are rows of their own: the difference to nothing saves nothing.
pub(crate) const SEGMENT_MIN: usize = 3;

/// Texts of a segment together, in bytes; the record that passes it is its last.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;

/// What a segment may unfold to, in bytes: [`SEGMENT_BYTES`] and the largest record there can be. More was never written.
const UNFOLDED_MAX: usize = 64 << 20;

/// Records with consecutive numbers, put together in their order.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    texts: Vec<String>,
    leaves: Vec<u8>,
    bytes: usize,
}

impl Segment {
    /// Adds the next record.
    pub(crate) fn push(&mut self, text: String, leaf: Hash) {
        self.bytes += text.len();
        self.texts.push(text);
        self.leaves.extend_from_slice(&leaf);
    }

    /// Whether the next record should begin another.
    pub(crate) fn is_full(&self) -> bool {
        self.texts.len() >= SEGMENT_RECORDS || self.bytes >= SEGMENT_BYTES
    }

    /// Stores it. `time` is that of its first record, `leaf` that of its last.
    pub(crate) fn store(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        first_seq: i64,
        time: Timestamp,
        leaf: &Hash,
    ) -> Result<(), StoreError> {
        let last_seq = first_seq + i64::try_from(self.texts.len()).unwrap_or(i64::MAX) - 1;
        tx.execute(
            "INSERT INTO audit_segment (account, first_seq, last_seq, time, leaf, leaves, texts)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params![account, first_seq, last_seq, time, leaf, self.leaves, fold(&self.texts)],
        )?;
        Ok(())
    }
}

/// Texts one behind the other, each as its difference to the nearest one before it that has as many pieces.
pub(crate) fn fold(texts: &[String]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(4096);
    let mut bases: HashMap<usize, usize> = HashMap::new();
    for (index, text) in texts.iter().enumerate() {
        match bases.insert(marks(text.as_bytes()), index) {
            None => {
                put(&mut folded, 0);
                put_text(&mut folded, text);
            }
            Some(base) => {
                put(&mut folded, index - base);
                put_difference(&mut folded, &texts[base], text);
                put(&mut folded, 0);
            }
        }
    }
    folded
}

/// The pieces of `text` that `base`, with as many pieces, has not got, each with the way from the one before it.
fn put_difference(folded: &mut Vec<u8>, base: &str, text: &str) {
    let (mut known, mut rest) = (base, text);
    let mut gap = 1;
    loop {
        // What both have in common is passed over many bytes at a time, up to the piece that is cut in it.
        let common = &rest.as_bytes()[..common_length(known.as_bytes(), rest.as_bytes())];
        if common.len() == known.len() && common.len() == rest.len() {
            return;
        }
        if let Some(last) = memchr::memrchr(MARK, common) {
            gap += marks(&common[..=last]);
            (known, rest) = (&known[last + 1..], &rest[last + 1..]);
        }
        let (piece, behind) = rest.split_once('"').map_or((rest, None), |(piece, behind)| (piece, Some(behind)));
        put(folded, gap);
        put_text(folded, piece);
        gap = 1;
        let (Some(behind), Some((_, known_behind))) = (behind, known.split_once('"')) else { return };
        (known, rest) = (known_behind, behind);
    }
}

/// What separates pieces.
const MARK: u8 = b'"';

fn marks(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == MARK).count()
}

/// How many bytes both begin with.
fn common_length(a: &[u8], b: &[u8]) -> usize {
    const AT_ONCE: usize = 32;
    let whole = a.chunks_exact(AT_ONCE).zip(b.chunks_exact(AT_ONCE)).take_while(|(a, b)| a == b).count() * AT_ONCE;
    whole + a[whole..].iter().zip(&b[whole..]).take_while(|(a, b)| a == b).count()
}

/// The texts of a segment; `None` when the bytes are not what [`fold`] writes.
pub(crate) fn unfold(folded: &[u8]) -> Option<Vec<String>> {
    let mut rest = folded;
    let mut texts: Vec<String> = Vec::new();
    let mut unfolded = 0_usize;
    while !rest.is_empty() {
        let back = take(&mut rest)?;
        let text = if back == 0 {
            take_text(&mut rest)?.to_owned()
        } else {
            unfold_onto(texts.get(texts.len().checked_sub(back)?)?, &mut rest)?
        };
        unfolded = unfolded.checked_add(text.len())?;
        if unfolded > UNFOLDED_MAX || texts.len() >= SEGMENT_RECORDS {
            return None;
        }
        texts.push(text);
    }
    Some(texts)
}

/// One text from the differences to `base`.
fn unfold_onto(base: &str, rest: &mut &[u8]) -> Option<String> {
    let mut text = String::with_capacity(base.len() + 64);
    let mut pieces = base.split('"');
    let mut first = true;
    let mut put = |piece: &str| {
        if !std::mem::take(&mut first) {
            text.push('"');
        }
        text.push_str(piece);
    };
    loop {
        let gap = take(rest)?;
        if gap == 0 {
            pieces.for_each(put);
            return Some(text);
        }
        for _ in 1..gap {
            put(pieces.next()?);
        }
        pieces.next()?;
        put(take_text(rest)?);
    }
}

/// A number, seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn take(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    for shift in (0..28).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_text<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    let length = take(rest)?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests;
