//! Time-based one-time codes: RFC 6238 with SHA-1, six digits, thirty seconds, as every authenticator app has it.

use aws_lc_rs::{constant_time, hmac};
use marram_types::{Timestamp, random_bytes};
use zeroize::Zeroizing;

/// Bytes of a secret: as long as the hash (RFC 4226 section 4, R6).
pub(crate) const SECRET_BYTES: usize = 20;
/// Seconds a code lives (RFC 6238 section 5.2).
const STEP_SECS: i64 = 30;
/// Digits of a code.
const DIGITS: usize = 6;
/// Steps a clock may be off, in either direction (RFC 6238 section 6).
const DRIFT: i64 = 1;

/// A new secret.
pub(crate) fn fresh_secret() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(random_bytes::<SECRET_BYTES>().to_vec())
}

/// The step whose code this is, if it is one of now: the newest that matches, later than `used`. All candidates are
/// computed and compared, whichever matches.
pub(crate) fn step_of(secret: &[u8], code: &str, now: Timestamp, used: i64) -> Option<i64> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let present = now.as_secs().div_euclid(STEP_SECS);
    let mut found = None;
    for step in present - DRIFT..=present + DRIFT {
        let expected = code_at(&key, step);
        let same = constant_time::verify_slices_are_equal(expected.as_bytes(), code.as_bytes()).is_ok();
        if same && step > used {
            found = Some(step);
        }
    }
    found
}

/// The code of a step (RFC 4226 section 5.3).
fn code_at(key: &hmac::Key, step: i64) -> String {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 0x0f);
    let word = u32::from_be_bytes([tag[offset] & 0x7f, tag[offset + 1], tag[offset + 2], tag[offset + 3]]);
    format!("{:0width$}", word % 10_u32.pow(DIGITS as u32), width = DIGITS)
}

/// Base32 without padding: how people and QR codes carry a secret (RFC 4648 section 6).
pub(crate) fn base32(bytes: &[u8]) -> Zeroizing<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(buffer >> bits & 31) as usize]));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(buffer << (5 - bits) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-64: the vectors of RFC 6238 appendix B (SHA-1, their last six digits) and of RFC 4648 section 10.
    #[test]
    fn vectors_of_the_rfcs() {
        let secret = b"12345678901234567890";
        for (secs, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_secs(secs);
            assert_eq!(step_of(secret, code, now, 0), Some(secs / 30), "{secs}");
        }
        for (plain, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(plain.as_bytes()).as_str(), text);
        }
    }

    /// SEC-64: a code is good one step early and one late, and never again once its step was used.
    #[test]
    fn codes_live_three_steps_and_are_used_once() {
        let secret = b"12345678901234567890";
        let at = |secs| Timestamp::from_secs(secs);
        let step = 1_111_111_109 / 30;
        assert_eq!(step_of(secret, "081804", at(1_111_111_109 - 30), 0), Some(step));
        assert_eq!(step_of(secret, "081804", at(1_111_111_109 + 30), 0), Some(step));
        assert_eq!(step_of(secret, "081804", at(1_111_111_109 + 61), 0), None);
        assert_eq!(step_of(secret, "081804", at(1_111_111_109 - 61), 0), None);
        assert_eq!(step_of(secret, "081804", at(1_111_111_109), step), None, "used already");
        for wrong in ["", "08180", "0818040", "081805", "o81804"] {
            assert_eq!(step_of(secret, wrong, at(1_111_111_109), 0), None, "{wrong}");
        }
    }
}
