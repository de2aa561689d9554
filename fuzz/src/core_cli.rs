//! Command lines of `greengrass-cli`, one word a line.

/// Answered or refused, never more than words.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    marram_core_cli::fuzz_arguments(text);
}
