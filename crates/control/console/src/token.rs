//! Random tokens: what a cookie or a link carries, and the hash that is kept of it.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_types::random_bytes;
use zeroize::Zeroizing;

/// Bytes of a token: 256 bits.
const TOKEN_BYTES: usize = 32;
/// Characters of a token in base64url.
const TOKEN_CHARS: usize = 43;

/// SHA-256 of a token: the only thing that is stored.
pub(crate) type TokenHash = [u8; 32];

/// A secret that opens a session or a link.
pub(crate) struct Token(Zeroizing<[u8; TOKEN_BYTES]>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// A new one.
    pub(crate) fn fresh() -> Token {
        Token(Zeroizing::new(random_bytes()))
    }

    /// The token in a text; `None` when it is not one.
    pub(crate) fn parse(text: &str) -> Option<Token> {
        if text.len() != TOKEN_CHARS {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let bytes: [u8; TOKEN_BYTES] = bytes.as_slice().try_into().ok()?;
        Some(Token(Zeroizing::new(bytes)))
    }

    /// As a cookie or a link carries it.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// What is kept of it. Tokens are random, so a plain hash cannot be searched.
    pub(crate) fn hash(&self) -> TokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_slice()).as_ref());
        hash
    }

    /// The CSRF token of the pages that hold this cookie: a MAC, so nothing is kept for people who never sign in.
    pub(crate) fn csrf(&self, key: &hmac::Key) -> String {
        URL_SAFE_NO_PAD.encode(self.csrf_tag(key).as_ref())
    }

    /// Whether `given` is the CSRF token of this cookie, in constant time.
    pub(crate) fn is_csrf(&self, key: &hmac::Key, given: &str) -> bool {
        let expected = self.csrf(key);
        constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok()
    }

    fn csrf_tag(&self, key: &hmac::Key) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        context.update(b"marram console csrf v1");
        context.update(self.0.as_slice());
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-97: a token survives its text form; other texts are none; its CSRF token belongs to it and to this installation.
    #[test]
    fn tokens_and_their_csrf() {
        let (token, other) = (Token::fresh(), Token::fresh());
        let again = Token::parse(&token.text()).unwrap();
        assert_eq!(token.hash(), again.hash());
        assert_ne!(token.hash(), other.hash());
        for text in ["", "a", &"A".repeat(42), &"A".repeat(44), &format!("{}=", "A".repeat(42)), &"!".repeat(43)] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"one");
        let csrf = token.csrf(&key);
        assert!(again.is_csrf(&key, &csrf));
        for wrong in ["", &csrf[1..], &other.csrf(&key), &token.csrf(&hmac::Key::new(hmac::HMAC_SHA256, b"two"))] {
            assert!(!token.is_csrf(&key, wrong));
        }
    }
}
