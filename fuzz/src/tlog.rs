//! Configuration logs of the original: read, stored and read back.

use marram_configuration::{Tree, read_tlog};

/// One log per input.
pub fn run(data: &[u8]) {
    if let Ok(read) = read_tlog(data) {
        let stored = read.tree.to_timed_value();
        if let Ok(back) = Tree::from_timed_value(&stored) {
            assert_eq!(back.to_timed_value(), stored);
        }
    }
}
