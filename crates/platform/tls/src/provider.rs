//! The crypto provider: aws-lc-rs, narrowed to the suites of SEC-23.

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::{CryptoProvider, KeyProvider, SupportedKxGroup};
use rustls::sign::SigningKey;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use rustls_pki_types::PrivateKeyDer;

/// TLS 1.2 and 1.3; rustls knows no older version (SEC-24).
pub(crate) static VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// For RSA keys in tokens without PSS (SEC-52).
pub(crate) static TLS12_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// Suites in the server's order (CP 5.1, SEC-23).
static SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Hybrid post-quantum first (SEC-25), then the classical groups.
static GROUPS: &[&dyn SupportedKxGroup] = &[
    rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768,
    rustls::crypto::aws_lc_rs::kx_group::X25519,
    rustls::crypto::aws_lc_rs::kx_group::SECP256R1,
    rustls::crypto::aws_lc_rs::kx_group::SECP384R1,
];

/// Algorithm `id-ecPublicKey` in DER (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// Reads private keys. The library tries one algorithm after the other, RSA first, and each try reads and checks the whole key: what
/// says that it is a key of an elliptic curve is read as one first.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        if key.secret_der().windows(EC_PUBLIC_KEY.len()).any(|window| window == EC_PUBLIC_KEY)
            && let Ok(found) = any_ecdsa_type(&key)
        {
            return Ok(found);
        }
        default_provider().key_provider.load_private_key(key)
    }
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        cipher_suites: SUITES.to_vec(),
        kx_groups: GROUPS.to_vec(),
        key_provider: &Keys,
        ..default_provider()
    })
});

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
