//! Byte offset to line and column.

/// A position for people: both numbers start at 1, the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct LineCol {
    /// Line, from 1.
    pub line: u32,
    /// Column in Unicode scalar values, from 1.
    pub column: u32,
}

/// Where the lines of one source start. Lines end at LF; the CR of a CR LF counts as the line's last character.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// Scans `source` once.
    pub fn new(source: &str) -> Self {
        let breaks = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)));
        LineIndex { starts: starts.collect() }
    }

    /// The position of byte `offset` of `source`, which must be the text the index was made from.
    /// An offset past the end answers the end.
    pub fn line_col(&self, source: &str, offset: u32) -> LineCol {
        let line = self.starts.partition_point(|start| *start <= offset).max(1) - 1;
        let start = self.starts[line] as usize;
        let end = (offset as usize).min(source.len());
        let bytes = source.as_bytes().get(start..end).unwrap_or_default();
        // every byte that does not continue a UTF-8 sequence starts a character
        let column = bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        LineCol { line: number(line), column: number(column) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 2.5: every diagnostic has line and column.
    #[test]
    fn columns_count_characters_and_lines_start_at_one() {
        let source = "aß\nc\r\n\n";
        let index = LineIndex::new(source);
        let at = |offset| {
            let LineCol { line, column } = index.line_col(source, offset);
            (line, column)
        };
        assert_eq!(
            [at(0), at(1), at(3), at(4), at(6), at(7), at(8), at(99)],
            [(1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (4, 1), (4, 1)]
        );
    }
}
