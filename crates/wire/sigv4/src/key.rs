//! Secrets and the keys derived from them.

use std::fmt;

use aws_lc_rs::hmac;
use marram_types::SecretString;
use zeroize::Zeroizing;

use crate::scope::Scope;

/// What a signer holds.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AKIA…` or `ASIA…`.
    pub access_key_id: String,
    /// The secret that belongs to it.
    pub secret: SecretString,
    /// Present with temporary credentials.
    pub session_token: Option<String>,
}

/// The HMAC key of one secret, date, region and service. Costs four HMACs to derive, so callers may keep it for its day.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Derives the key: `"AWS4" + secret` by date, region, service and the terminator.
    pub fn derive(secret: &SecretString, scope: &Scope) -> SigningKey {
        let mut seed = Zeroizing::new(String::from("AWS4"));
        seed.push_str(secret.expose());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_bytes());
        for part in [&scope.date, &scope.region, &scope.service, "aws4_request"] {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        SigningKey(key)
    }

    /// The signature of a string to sign.
    pub fn sign(&self, string_to_sign: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0, string_to_sign.as_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Whether `signature` belongs to `string_to_sign`, in time that does not depend on where they differ.
    pub fn verify(&self, string_to_sign: &str, signature: &[u8; 32]) -> bool {
        hmac::verify(&self.0, string_to_sign.as_bytes(), signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
