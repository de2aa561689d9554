//! Client keys that are elsewhere: in a hardware token, behind PKCS#11.
//!
//! Whoever holds such a key implements [`RemoteKey`]; rustls stays in this crate.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{SignatureAlgorithm, SignatureScheme as Wire};

/// How a message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// RSASSA-PSS with SHA-256, salt as long as the hash. TLS 1.3 takes no other padding of RSA.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512.
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256; TLS 1.2 only.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384; TLS 1.2 only.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512; TLS 1.2 only.
    RsaPkcs1Sha512,
    /// ECDSA on P-256 with SHA-256, DER.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384, DER.
    EcdsaP384Sha384,
}

impl SignatureScheme {
    fn wire(self) -> Wire {
        match self {
            Self::RsaPssSha256 => Wire::RSA_PSS_SHA256,
            Self::RsaPssSha384 => Wire::RSA_PSS_SHA384,
            Self::RsaPssSha512 => Wire::RSA_PSS_SHA512,
            Self::RsaPkcs1Sha256 => Wire::RSA_PKCS1_SHA256,
            Self::RsaPkcs1Sha384 => Wire::RSA_PKCS1_SHA384,
            Self::RsaPkcs1Sha512 => Wire::RSA_PKCS1_SHA512,
            Self::EcdsaP256Sha256 => Wire::ECDSA_NISTP256_SHA256,
            Self::EcdsaP384Sha384 => Wire::ECDSA_NISTP384_SHA384,
        }
    }

    fn is_rsa(self) -> bool {
        !matches!(self, Self::EcdsaP256Sha256 | Self::EcdsaP384Sha384)
    }

    fn is_pss(self) -> bool {
        matches!(self, Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512)
    }
}

/// A private key that signs where it is.
pub trait RemoteKey: fmt::Debug + Send + Sync {
    /// What it can do, best first; all of one algorithm, never empty.
    fn schemes(&self) -> Vec<SignatureScheme>;
    /// The signature of `message`, hashed by the callee. Blocks the handshake that needs it.
    ///
    /// # Errors
    /// A sentence for the log.
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// A client certificate whose key is elsewhere.
#[derive(Debug, Clone)]
pub struct RemoteIdentity {
    /// PEM, leaf first.
    pub chain_pem: String,
    /// Its key.
    pub key: Arc<dyn RemoteKey>,
}

impl RemoteIdentity {
    /// Without PSS only TLS 1.2 can be spoken (SEC-52).
    pub(crate) fn needs_tls12(&self) -> bool {
        !self.key.schemes().iter().any(|scheme| scheme.is_pss() || !scheme.is_rsa())
    }

    pub(crate) fn resolver(&self) -> Result<Arc<dyn ResolvesClientCert>, marram_pki::PkiError> {
        let chain = marram_pki::pem::certificates(&self.chain_pem)?;
        let key = Arc::new(Signing { key: Arc::clone(&self.key) });
        Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
    }
}

#[derive(Debug)]
struct Signing {
    key: Arc<dyn RemoteKey>,
}

#[derive(Debug)]
struct Chosen {
    key: Arc<dyn RemoteKey>,
    scheme: SignatureScheme,
}

impl SigningKey for Signing {
    fn choose_scheme(&self, offered: &[Wire]) -> Option<Box<dyn Signer>> {
        let scheme = self.key.schemes().into_iter().find(|scheme| offered.contains(&scheme.wire()))?;
        Some(Box::new(Chosen { key: Arc::clone(&self.key), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.key.schemes().first() {
            Some(scheme) if !scheme.is_rsa() => SignatureAlgorithm::ECDSA,
            _ => SignatureAlgorithm::RSA,
        }
    }
}

impl Signer for Chosen {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key.sign(self.scheme, message).map_err(rustls::Error::General)
    }

    fn scheme(&self) -> Wire {
        self.scheme.wire()
    }
}
