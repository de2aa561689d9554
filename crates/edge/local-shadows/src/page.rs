//! Where the next page of a listing starts: a token bound to its thing, which nobody else can make or use for another.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_types::ThingName;

/// Bytes of the tag that are kept.
const TAG_BYTES: usize = 16;

/// Makes and reads tokens; those of an earlier process are refused.
pub(crate) struct Pages {
    key: hmac::Key,
}

impl Pages {
    pub(crate) fn new() -> Self {
        let mut secret = [0; 32];
        marram_types::random_fill(&mut secret);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// The token for the page behind `last`.
    pub(crate) fn token(&self, thing: &ThingName, last: &str) -> String {
        let mut bytes = self.tag(thing, last)[..TAG_BYTES].to_vec();
        bytes.extend_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The name the page starts behind; none for a token that is not ours or another thing's.
    pub(crate) fn read(&self, thing: &ThingName, token: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (tag, last) = bytes.split_at_checked(TAG_BYTES)?;
        let last = std::str::from_utf8(last).ok()?;
        let expected = self.tag(thing, last);
        aws_lc_rs::constant_time::verify_slices_are_equal(tag, &expected[..TAG_BYTES]).ok()?;
        Some(last.to_owned())
    }

    fn tag(&self, thing: &ThingName, last: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        // No thing name holds a zero byte, so the two cannot run into each other.
        context.update(thing.as_str().as_bytes());
        context.update(&[0]);
        context.update(last.as_bytes());
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}
