//! Deployment documents that claim a signature.

/// Nobody without the key is believed.
pub fn run(data: &[u8]) {
    marram_deployer::fuzz_envelope(data);
}
