//! Cutting a process' output into log lines.

/// A longer line is cut here and marked (CR 2.8).
pub(crate) const LINE_MAX_BYTES: usize = 16 * 1024;

const CUT_MARK: &str = " [cut at 16 KiB]";

/// Collects bytes and hands out lines, split at `\n` and `\r`; empty lines are passed over.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
    /// The rest of a line that was too long is being passed over.
    skipping: bool,
}

impl Lines {
    /// Takes bytes; calls `line` for each line that ends in them.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.take(&bytes[..end], &mut line);
            self.end(&mut line);
            bytes = &bytes[end + 1..];
        }
        self.take(bytes, &mut line);
    }

    /// The output ended: what is left is a line.
    pub(crate) fn finish(mut self, mut line: impl FnMut(&str)) {
        self.end(&mut line);
    }

    fn take(&mut self, bytes: &[u8], line: &mut impl FnMut(&str)) {
        if self.skipping {
            return;
        }
        let room = LINE_MAX_BYTES - self.pending.len();
        if bytes.len() <= room {
            self.pending.extend_from_slice(bytes);
            return;
        }
        self.pending.extend_from_slice(&bytes[..room]);
        line(&(String::from_utf8_lossy(&self.pending) + CUT_MARK));
        self.pending.clear();
        self.skipping = true;
    }

    fn end(&mut self, line: &mut impl FnMut(&str)) {
        if !self.pending.is_empty() {
            line(&String::from_utf8_lossy(&self.pending));
        }
        self.pending.clear();
        // A burst of long lines does not keep its buffer.
        self.pending.shrink_to(1024);
        self.skipping = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut all = Vec::new();
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.feed(chunk, |line| all.push(line.to_owned()));
        }
        lines.finish(|line| all.push(line.to_owned()));
        all
    }

    /// CR 2.8: lines end at `\n` and `\r`, wherever the pipe happened to cut.
    #[test]
    fn lines_are_joined_over_chunks() {
        assert_eq!(lines(&[b"a\nb", b"c\r\nd\re"]), ["a", "bc", "d", "e"]);
        assert_eq!(lines(&[b"\n\n", b""]), [""; 0]);
        assert_eq!(lines(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
    }

    /// CR 2.8: a line without end costs 16 KiB, not the memory of the core.
    #[test]
    fn a_long_line_is_cut_and_marked_and_the_next_is_whole() {
        let long = vec![b'x'; LINE_MAX_BYTES - 1];
        let got = lines(&[&long, b"yz and more", &long, b"\nnext\n"]);
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].len(), LINE_MAX_BYTES + CUT_MARK.len());
        assert!(got[0].ends_with(&format!("xy{CUT_MARK}")));
        assert_eq!(got[1], "next");
    }
}
