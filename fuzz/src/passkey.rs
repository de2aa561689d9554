//! Passkeys: what an authenticator and a browser answer before anybody knows who is there.

/// The first byte chooses client data, attestation object, authenticator data or public key.
pub fn run(data: &[u8]) {
    marram_console::fuzz_passkey(data);
}
