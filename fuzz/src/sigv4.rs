//! `sigv4`: requests as text (`METHOD target`, `name: value` lines, blank line, body) through parser and verifier.

use marram_sigv4::{Expectation, Payload, Presented, Request};
use marram_types::SecretString;

/// Parses and verifies with a known and with an unknown key; nothing may panic, and no signature may be guessed.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap_or_default().split_once(' ').unwrap_or(("GET", "/"));
    let headers: Vec<(&str, &[u8])> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.as_bytes())).collect();
    let request = Request { method, target, headers: &headers };
    let Ok(presented) = Presented::parse(&request) else { return };
    let expect = Expectation { regions: &[&presented.scope().region], services: &[], unsigned_payload: false };
    let now = presented.time().seconds();
    let secret = SecretString::new("a secret no input was signed with");
    for key in [Some(&secret), None] {
        for payload in [Payload::Bytes(body.as_bytes()), Payload::Later] {
            assert!(presented.verify(&request, payload, key, now, &expect).is_err());
        }
    }
}
