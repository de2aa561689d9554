//! Page tokens: opaque to clients, signed, bound to what they were given for (control-plane-api.md 1.6).

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_types::{Timestamp, random_bytes};

/// How long a token can be used.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Bytes in front of the tag: where the next page begins and when the token ends, big-endian.
const BODY_BYTES: usize = 16;

/// Signs tokens.
#[derive(Debug)]
pub(crate) struct PageKey(Key);

/// What a token holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageToken {
    /// The next page has smaller numbers only.
    pub(crate) before: i64,
}

impl PageKey {
    pub(crate) fn fresh() -> Self {
        Self(Key::new(HMAC_SHA256, &random_bytes::<32>()))
    }

    /// `subject`: the account, region and filter the token is good for.
    pub(crate) fn seal(&self, token: PageToken, subject: &str, now: Timestamp) -> String {
        let mut bytes = token.before.to_be_bytes().to_vec();
        bytes.extend(now.saturating_add(LIFETIME).as_micros().to_be_bytes());
        bytes.extend(sign(&self.0, &covered(&bytes, subject)).as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None`: not ours, expired, or given for something else.
    pub(crate) fn open(&self, text: &str, subject: &str, now: Timestamp) -> Option<PageToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, tag) = bytes.split_at_checked(BODY_BYTES)?;
        verify(&self.0, &covered(body, subject), tag).ok()?;
        let (before, end) = body.split_at(8);
        let number = |bytes: &[u8]| Some(i64::from_be_bytes(bytes.try_into().ok()?));
        (number(end)? > now.as_micros()).then_some(PageToken { before: number(before)? })
    }
}

fn covered(body: &[u8], subject: &str) -> Vec<u8> {
    [body, subject.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 1.6: a token is refused elsewhere, later, changed, or from another process.
    #[test]
    fn tokens_are_bound_to_their_question() {
        let (key, now) = (PageKey::fresh(), Timestamp::from_secs(1000));
        let token = key.seal(PageToken { before: 42 }, "a", now);
        assert_eq!(key.open(&token, "a", now), Some(PageToken { before: 42 }));
        assert_eq!(key.open(&token, "b", now), None);
        assert_eq!(key.open(&token, "a", now.saturating_add(LIFETIME)), None);
        assert_eq!(PageKey::fresh().open(&token, "a", now), None);
        for bad in ["", "!", &token[1..], &token.replacen('A', "B", 1)] {
            assert_eq!(key.open(bad, "a", now), None, "{bad}");
        }
    }
}
