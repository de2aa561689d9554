//! X.509 as devices and servers of Marram meet it.
//!
//! * [`CertificateAuthority`] issues server and device certificates (P-256, v3).
//! * [`DeviceKeyPair`] makes the RSA-2048 pairs that `CreateKeysAndCertificate` hands out once.
//! * [`SigningRequest`] reads a PKCS#10 request and proves possession of its key.
//! * [`Certificate`] reads certificates of any maker, X.509 v1 included (SEC-31): strict in its
//!   DER, tolerant of unknown extensions.
//! * A certificate's identity is [`CertificateId`], the SHA-256 of its DER.
//! * [`pem`] reads and writes the armour, with limits.
//!
//! Pure: time and storage are arguments. Trust is not decided here; a certificate that parses is
//! only a statement until the registry knows its fingerprint.

mod authority;
mod certificate;
mod csr;
mod error;
mod key;
mod name;
pub mod pem;
mod verification;

pub use authority::{CertificateAuthority, IssuedServer, Validity};
pub use certificate::{AlternativeName, Certificate};
pub use csr::{RequestedKey, SigningRequest};
pub use error::PkiError;
pub use key::{DeviceKeyPair, Hash, KeyKind, PublicKey, SignatureAlgorithm};
pub use marram_types::CertificateId;
pub use name::{DistinguishedName, Rdn, RdnKind};
pub use verification::check_verification_certificate;

/// Largest certificate accepted, in bytes of DER. Real device certificates are 0.5 to 2 KiB; a TLS
/// handshake message could carry 64 KiB.
pub const MAX_CERTIFICATE_DER: usize = 16 * 1024;

/// Largest certificate signing request accepted, in bytes of DER.
pub const MAX_CSR_DER: usize = 8 * 1024;
