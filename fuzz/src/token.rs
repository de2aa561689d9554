//! Session tokens and page tokens that come back from anywhere.

/// No text opens that was not sealed.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    marram_identity::fuzz_tokens(text);
}
