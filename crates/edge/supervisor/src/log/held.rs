//! The last lines of output that were too many: where a component stops writing, they say why.

use std::collections::VecDeque;

use super::Level;

/// Most lines held, and most bytes of them together but for a single one.
const LINES: usize = 50;
const BYTES: usize = 16 * 1024;

/// A line that was not written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) level: Level,
    pub(super) event: &'static str,
    pub(super) script: String,
    pub(super) message: String,
}

/// What was not written since the last line that was.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    all: u64,
    last: VecDeque<Held>,
    bytes: usize,
}

impl Dropped {
    pub(super) fn is_empty(&self) -> bool {
        self.all == 0
    }

    pub(super) fn push(&mut self, line: Held) {
        self.all += 1;
        self.bytes += line.message.len();
        self.last.push_back(line);
        while self.last.len() > LINES || (self.bytes > BYTES && self.last.len() > 1) {
            self.bytes -= self.last.pop_front().map_or(0, |line| line.message.len());
        }
    }

    /// How many are lost, and the last ones; nothing is dropped then.
    pub(super) fn take(&mut self) -> (u64, VecDeque<Held>) {
        let taken = std::mem::take(self);
        (taken.all - taken.last.len() as u64, taken.last)
    }
}
