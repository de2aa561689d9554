//! Byte offsets of a text and the UTF-16 offsets of the same places.

use marram_tdm::Span;

/// The table of one text: built once, answers in the logarithm of the number of its non-ASCII characters.
pub struct Offsets<'t> {
    text: &'t str,
    /// After each non-ASCII character: bytes, UTF-16 units.
    after: Vec<(u32, u32)>,
}

impl<'t> Offsets<'t> {
    /// Scans `text` once. Texts here are at most [`MAX_TEXT_BYTES`](crate::MAX_TEXT_BYTES) long.
    pub fn new(text: &'t str) -> Self {
        let mut after = Vec::new();
        let mut units = 0usize;
        let mut at = 0usize;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        while let Some(step) = text.as_bytes()[at..].iter().position(|byte| !byte.is_ascii()) {
            units += step;
            at += step;
            let Some(character) = text[at..].chars().next() else { break };
            at += character.len_utf8();
            units += character.len_utf16();
            after.push((number(at), number(units)));
        }
        Offsets { text, after }
    }

    /// The UTF-16 offset of a byte offset. Inside a character: its start; past the end: the end.
    pub fn utf16(&self, byte: usize) -> usize {
        let byte = floor_boundary(self.text, byte);
        let known = self.after.partition_point(|(bytes, _)| *bytes as usize <= byte);
        let (bytes, units) = known.checked_sub(1).map_or((0, 0), |index| self.after[index]);
        units as usize + (byte - bytes as usize)
    }

    /// The byte offset of a UTF-16 offset. Inside a surrogate pair: its start; past the end: the end.
    pub fn byte(&self, unit: usize) -> usize {
        let known = self.after.partition_point(|(_, units)| *units as usize <= unit);
        let (bytes, units) = known.checked_sub(1).map_or((0, 0), |index| self.after[index]);
        floor_boundary(self.text, (bytes as usize).saturating_add(unit - units as usize))
    }

    /// `from` and `to` of a span.
    pub fn range(&self, span: Span) -> (usize, usize) {
        (self.utf16(span.start as usize), self.utf16(span.end as usize))
    }
}

/// The last character boundary at or before `at`.
pub(crate) fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// API: offsets count UTF-16 units both ways, whatever the text holds.
        #[test]
        fn offsets_agree_with_counting(text in "[a-z\u{e4}\u{20ac}\u{1f600}\n]{0,40}", unit in 0usize..90) {
            let offsets = Offsets::new(&text);
            for (at, _) in text.char_indices().chain([(text.len(), ' ')]) {
                let counted = text[..at].encode_utf16().count();
                prop_assert_eq!(offsets.utf16(at), counted);
                prop_assert_eq!(offsets.byte(counted), at);
            }
            let byte = offsets.byte(unit);
            prop_assert!(text.is_char_boundary(byte) && offsets.utf16(byte) <= unit);
        }
    }
}
