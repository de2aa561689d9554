//! Checkpoint files of the audit log: foreign text until its signature holds.

use std::sync::LazyLock;

use marram_audit::{PublicKey, read_checkpoints};

static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    PublicKey::parse("marram-audit+1b2f3f77+AbWsWhfr1JLEZcpaYUBzV/r4fwN4p9VbjgGBBB4f0cjZ").expect("a key of this test")
});

/// Nothing in a fuzzer's file is signed by the key, so nothing may be believed.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(read_checkpoints(text, &KEY).iter().all(Result::is_err));
    let _ = PublicKey::parse(text);
}
