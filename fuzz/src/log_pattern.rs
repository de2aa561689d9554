//! Patterns of `FilterLogEvents`: words, alternatives and exclusions.

/// A pattern on the first line, a message behind.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    marram_logs::fuzz_pattern(text);
}
