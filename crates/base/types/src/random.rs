//! Randomness from the operating system through aws-lc-rs, for keys, ids and nonces.

use std::cell::RefCell;

/// Fills the buffer with random bytes.
///
/// # Panics
/// When the system's entropy source fails, which leaves no safe way to go on.
pub fn fill(buffer: &mut [u8]) {
    aws_lc_rs::rand::fill(buffer).expect("the system's entropy source works");
}

/// `N` random bytes.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Random bytes that each thread draws ahead for [`random_id_bytes`].
const DRAWN_AHEAD: usize = 512;

/// `N` random bytes, at most 64, for ids that need to be unique and are no secrets. As random as [`random_bytes`], but drawn
/// many at a time: a draw costs more than the answer of a small call.
pub fn random_id_bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= 64, "an id is at most 64 bytes") };
    thread_local! {
        static AHEAD: RefCell<([u8; DRAWN_AHEAD], usize)> = const { RefCell::new(([0; DRAWN_AHEAD], DRAWN_AHEAD)) };
    }
    AHEAD.with_borrow_mut(|(drawn, used)| {
        if *used + N > DRAWN_AHEAD {
            fill(drawn);
            *used = 0;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&drawn[*used..*used + N]);
        *used += N;
        bytes
    })
}

/// A uniform random number.
pub fn random_u64() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// `bytes` random bytes as lower-case hex (twice as many characters).
pub fn random_hex(bytes: usize) -> String {
    from_alphabet(b"0123456789abcdef", bytes * 2)
}

/// Random characters of `A-Z2-7`: IAM's unique ids and access key ids (control-plane-api.md 3.1).
pub fn random_base32(length: usize) -> String {
    from_alphabet(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", length)
}

/// Random characters of the base64 alphabet: secret access keys.
pub fn random_base64_alphabet(length: usize) -> String {
    from_alphabet(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", length)
}

/// Random lower-case letters and digits: endpoint prefixes.
pub fn random_lower_alphanumeric(length: usize) -> String {
    from_alphabet(b"abcdefghijklmnopqrstuvwxyz0123456789", length)
}

/// Rejection sampling keeps every character equally likely when the alphabet does not divide 256.
fn from_alphabet(alphabet: &[u8], length: usize) -> String {
    let limit = 256 / alphabet.len() * alphabet.len();
    let mut text = String::with_capacity(length);
    let mut pool = [0; 64];
    while text.len() < length {
        fill(&mut pool);
        let fits = pool.iter().map(|&b| usize::from(b)).filter(|&b| b < limit);
        text.extend(fits.take(length - text.len()).map(|b| char::from(alphabet[b % alphabet.len()])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_asked_length_and_alphabet() {
        assert_eq!(random_hex(32).len(), 64);
        assert!(random_base32(16).bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)));
        assert_eq!(random_base64_alphabet(40).len(), 40);
        let prefix = random_lower_alphanumeric(1000);
        assert!(prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert_ne!(prefix, random_lower_alphanumeric(1000));
    }

    /// What was drawn ahead is handed out once, also where a draw ends.
    #[test]
    fn ids_do_not_repeat() {
        let ids: std::collections::HashSet<[u8; 10]> = (0..10_000).map(|_| random_id_bytes()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
