//! Page tokens: sealed, so that nobody reads or makes them up, and bound to the listing that gave them out.
//!
//! A token holds service, operation, account, region, a hash of the filter, the last key and an expiry (24 hours). On
//! another operation, account or filter, or too late, it does not open. Source: control-plane-api.md section 1.6.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_types::Timestamp;

use crate::keyring::{Keyring, Purpose};
use crate::session::Claims;

/// How long a token can be continued with.
pub(crate) const PAGE_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Longest token looked at; longer ones are not ours.
const MAX_TOKEN_CHARS: usize = 8192;

/// Which listing a token belongs to.
pub(crate) struct Listing<'a> {
    pub service: &'a str,
    pub operation: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    /// Whatever the caller filtered by, in one text.
    pub filter: &'a str,
}

impl Listing<'_> {
    fn bound(&self) -> Vec<u8> {
        let mut bound = Vec::new();
        for part in [self.service, self.operation, self.account, self.region, self.filter] {
            bound.extend_from_slice(digest(&SHA256, part.as_bytes()).as_ref());
        }
        bound
    }

    pub(crate) fn seal(&self, keyring: &Keyring, last_key: &str, now: Timestamp) -> String {
        let expiry = now.saturating_add(PAGE_TOKEN_LIFE).as_micros();
        let mut plain = expiry.to_be_bytes().to_vec();
        plain.extend_from_slice(last_key.as_bytes());
        URL_SAFE_NO_PAD.encode(keyring.seal(Purpose::Page, &self.bound(), &plain))
    }

    pub(crate) fn open(&self, keyring: &Keyring, token: &str, now: Timestamp) -> Option<String> {
        if token.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let plain = keyring.open_sealed(Purpose::Page, &self.bound(), &sealed)?;
        let (expiry, key) = plain.split_first_chunk::<8>()?;
        if i64::from_be_bytes(*expiry) < now.as_micros() {
            return None;
        }
        String::from_utf8(key.to_vec()).ok()
    }
}

/// Entry of the fuzz target: no text opens as a token that was not sealed, and a sealed one opens for its listing only.
pub fn fuzz_tokens(text: &str) {
    static RING: LazyLock<Keyring> = LazyLock::new(|| Keyring::from_master(&[7; 32]));
    let now = Timestamp::from_secs(1_000_000);
    let listing = Listing { service: "iot", operation: "ListThings", account: "000000000000", region: "r", filter: "" };
    assert_eq!(listing.open(&RING, text, now), None);
    assert_eq!(Claims::open(&RING, "ASIAAAAAAAAAAAAAAAAA", text), None);
    let sealed = listing.seal(&RING, text, now);
    let opened = listing.open(&RING, &sealed, now);
    assert!(opened.as_deref() == Some(text) || sealed.len() > MAX_TOKEN_CHARS);
    assert_eq!(Listing { filter: "other", ..listing }.open(&RING, &sealed, now), None);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 1.6: a token opens for its own listing, within 24 hours, unchanged.
    #[test]
    fn tokens_belong_to_one_listing() {
        let ring = Keyring::from_master(&[7; 32]);
        let now = Timestamp::from_secs(1_000_000);
        let listing =
            Listing { service: "iot", operation: "ListThings", account: "000000000000", region: "r", filter: "a=b" };
        let token = listing.seal(&ring, "pump-7", now);
        assert!(!token.contains("pump"));
        assert_eq!(listing.open(&ring, &token, now).as_deref(), Some("pump-7"));
        assert_eq!(listing.open(&ring, &token, now.saturating_add(PAGE_TOKEN_LIFE)).as_deref(), Some("pump-7"));
        let late = now.saturating_add(PAGE_TOKEN_LIFE + Duration::from_secs(1));
        assert_eq!(listing.open(&ring, &token, late), None);
        for other in [
            Listing { operation: "ListThingTypes", ..listing },
            Listing { account: "111111111111", ..listing },
            Listing { filter: "a=c", ..listing },
            Listing { region: "r2", ..listing },
            Listing { service: "iot-data", ..listing },
        ] {
            assert_eq!(other.open(&ring, &token, now), None);
        }
        assert_eq!(listing.open(&ring, "AAAA", now), None);
        assert_eq!(listing.open(&ring, "", now), None);
    }
}
