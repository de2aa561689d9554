//! Passkeys (WebAuthn level 2): what a browser's authenticator answers, read strictly and verified with the house's own
//! cryptography.
//!
//! ```text
//! challenge  what must be signed: made for one cookie and one purpose, good once and for minutes
//! client     clientDataJSON: which page asked, and with which challenge
//! data       authenticator data and attestation object: who answered, and whether it knew its person
//! key        COSE public keys: ES256, EdDSA, RS256
//! ceremony   all of that together, for registering and for signing in
//! row        what is kept
//! ```
//!
//! No crate does it: webauthn-rs and webauthn_rp both bring the banned `rsa` and a second cryptographic provider, and the house
//! has one (dependencies.md 0). Attestation is not asked for, so what remains is small.

mod ceremony;
mod challenge;
mod client;
mod data;
mod key;
mod row;

pub(crate) use ceremony::{Assertion, Known, Made, Party, Refusal, Registration, Used};
pub(crate) use challenge::{Challenges, LIFE, Purpose};
pub(crate) use row::Passkey;

/// Longest id of a credential, in bytes (WebAuthn 4, credential id).
pub(crate) const MAX_CREDENTIAL_ID: usize = 1023;
/// Longest attestation object, in bytes: an RSA key, the longest id, and room for a certificate chain nobody reads.
pub(crate) const MAX_ATTESTATION: usize = 10 << 10;
/// Longest authenticator data, client data or signature, in bytes.
pub(crate) const MAX_PIECE: usize = 4 << 10;

/// Fuzzing: everything an authenticator answers. The first byte chooses the reader, the rest is what it reads.
pub fn fuzz_passkey(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else { return };
    match which % 4 {
        0 => {
            if let Ok(client) = client::ClientData::parse(rest) {
                assert!(client.challenge.len() <= MAX_PIECE);
            }
        }
        1 => {
            if let Ok(data) = data::attested(rest) {
                let made = data.made.expect("an attestation without a credential is refused");
                assert!(!made.id.is_empty() && made.id.len() <= MAX_CREDENTIAL_ID);
                assert!(key::PublicKey::parse(made.key).is_ok());
            }
        }
        2 => {
            if let Ok(data) = data::AuthenticatorData::parse(rest) {
                assert!(data.made.is_none_or(|made| key::PublicKey::parse(made.key).is_ok()));
            }
        }
        _ => {
            if let Ok(public) = key::PublicKey::parse(rest) {
                assert!(!public.verifies(b"a message", b"no signature"));
            }
        }
    }
}
