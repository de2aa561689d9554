//! What the flow side reads: journal records found after a crash, and scripts of the simulator.

use marram_flow::simulate::Script;
use marram_flow_runtime::journal::Record;

/// A record that reads must write back to the same record.
pub fn run(data: &[u8]) {
    if let Ok(record) = Record::decode(data) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        // A NaN inside a value is the one thing that differs from itself.
        if !format!("{record:?}").contains("NaN") {
            assert_eq!(Record::decode(&bytes).as_ref(), Ok(&record));
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Script::parse(text);
    }
}
