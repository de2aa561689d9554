//! Public keys that Marram accepts, their signatures, and the RSA pairs it makes for devices.
//!
//! Accepted (CP 4.5): RSA of 2048 to 8192 bits and EC on P-256, P-384 and P-521; signatures with
//! SHA-256, SHA-384 or SHA-512 in PKCS#1 v1.5, PSS or ECDSA. SHA-1, MD5, DSA and Edwards curves
//! are refused.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, VerificationAlgorithm};
use x509_parser::asn1_rs::{Any, FromDer as _, Sequence};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::error::PkiError;
use crate::pem;

/// DER content of object identifier 1.2.840.113549.1.1.1 and its neighbours in PKCS#1.
const OID_PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const PKCS1_RSA_ENCRYPTION: u8 = 1;
const PKCS1_PSS: u8 = 10;
const PKCS1_SHA256: u8 = 11;
const PKCS1_SHA384: u8 = 12;
const PKCS1_SHA512: u8 = 13;
/// id-ecPublicKey, 1.2.840.10045.2.1.
const OID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// ecdsa-with-SHA2, 1.2.840.10045.4.3; the next arc is 2, 3 or 4.
const OID_ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
/// 2.16.840.1.101.3.4.2; the next arc is 1, 2 or 3 for SHA-256, SHA-384, SHA-512.
const OID_NIST_HASH: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// Smallest RSA modulus, in bits (CP 4.5).
pub const MIN_RSA_BITS: usize = 2048;
/// Largest RSA modulus the provider verifies, in bits.
pub const MAX_RSA_BITS: usize = 8192;

/// A hash function of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How a signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(Hash),
    /// RSASSA-PSS with MGF1 over the same hash and a salt as long as the hash (what TLS prescribes).
    RsaPss(Hash),
    /// ECDSA, DER-encoded; the curve is the key's.
    Ecdsa(Hash),
}

/// The kind of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA with the modulus length in bits.
    Rsa {
        /// Bits of the modulus, without leading zeros.
        bits: usize,
    },
    /// NIST P-256.
    EcP256,
    /// NIST P-384.
    EcP384,
    /// NIST P-521.
    EcP521,
}

/// A public key of an accepted kind and strength.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
    key_offset: usize,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.kind)
    }
}

impl PublicKey {
    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, PkiError> {
        let key = spki.subject_public_key.data.as_ref();
        if spki.subject_public_key.unused_bits != 0 || !spki.raw.ends_with(key) {
            return Err(PkiError::Malformed("public key"));
        }
        let oid = spki.algorithm.algorithm.as_bytes();
        let kind = if oid.strip_prefix(OID_PKCS1) == Some(&[PKCS1_RSA_ENCRYPTION]) {
            rsa_kind(key)?
        } else if oid == OID_EC_PUBLIC_KEY {
            ec_kind(&spki.algorithm, key)?
        } else {
            return Err(PkiError::WeakKey("neither RSA nor EC on a NIST curve"));
        };
        Ok(Self { kind, spki: spki.raw.to_vec(), key_offset: spki.raw.len() - key.len() })
    }

    /// Reads one DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`PkiError::Malformed`], [`PkiError::WeakKey`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, PkiError> {
        use x509_parser::prelude::FromDer as _;
        let (rest, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_| PkiError::Malformed("public key"))?;
        if !rest.is_empty() {
            return Err(PkiError::Malformed("public key"));
        }
        Self::from_spki(&spki)
    }

    /// Kind and strength.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedSignature`] when the algorithm does not fit the key,
    /// [`PkiError::BadSignature`] when the signature is not of this key and message.
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> Result<(), PkiError> {
        let check = verifier(self.kind, algorithm).ok_or(PkiError::UnsupportedSignature)?;
        signature::UnparsedPublicKey::new(check, &self.spki[self.key_offset..])
            .verify(message, signature)
            .map_err(|_| PkiError::BadSignature)
    }
}

fn rsa_kind(key: &[u8]) -> Result<KeyKind, PkiError> {
    let malformed = PkiError::Malformed("RSA public key");
    let (rest, sequence) = Sequence::from_der(key).map_err(|_| malformed.clone())?;
    let (after, modulus) = Any::from_der(&sequence.content).map_err(|_| malformed.clone())?;
    let (end, exponent) = Any::from_der(after).map_err(|_| malformed.clone())?;
    if !rest.is_empty() || !end.is_empty() {
        return Err(malformed);
    }
    let bits = positive_bits(modulus.data).ok_or(malformed.clone())?;
    let exponent_bits = positive_bits(exponent.data).ok_or(malformed)?;
    if bits < MIN_RSA_BITS {
        return Err(PkiError::WeakKey("RSA keys need at least 2048 bits"));
    }
    if bits > MAX_RSA_BITS {
        return Err(PkiError::WeakKey("RSA keys have at most 8192 bits"));
    }
    let odd = exponent.data.last().is_some_and(|byte| byte & 1 == 1);
    // The provider bounds the exponent at 33 bits; 1 would make every signature valid.
    if !odd || !(2..=33).contains(&exponent_bits) {
        return Err(PkiError::WeakKey("RSA public exponent"));
    }
    Ok(KeyKind::Rsa { bits })
}

/// Bits of a positive DER INTEGER; `None` when it is negative, zero or padded.
fn positive_bits(content: &[u8]) -> Option<usize> {
    let digits = match content {
        [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => rest,
        [first, ..] if *first != 0 && first & 0x80 == 0 => content,
        _ => return None,
    };
    Some(digits.len() * 8 - digits[0].leading_zeros() as usize)
}

fn ec_kind(algorithm: &AlgorithmIdentifier<'_>, point: &[u8]) -> Result<KeyKind, PkiError> {
    let curve = algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.as_oid().ok())
        .ok_or(PkiError::WeakKey("EC keys need a named curve"))?;
    let (kind, uncompressed) = match curve.as_bytes() {
        OID_P256 => (KeyKind::EcP256, 65),
        OID_P384 => (KeyKind::EcP384, 97),
        OID_P521 => (KeyKind::EcP521, 133),
        _ => return Err(PkiError::WeakKey("EC curves are P-256, P-384 and P-521")),
    };
    if point.len() != uncompressed || point[0] != 4 {
        return Err(PkiError::Malformed("EC point"));
    }
    Ok(kind)
}

impl SignatureAlgorithm {
    pub(crate) fn from_identifier(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        let oid = identifier.algorithm.as_bytes();
        if let Some(&[arc]) = oid.strip_prefix(OID_PKCS1).and_then(|rest| rest.first_chunk::<1>()) {
            return match arc {
                PKCS1_SHA256 => Some(Self::RsaPkcs1(Hash::Sha256)),
                PKCS1_SHA384 => Some(Self::RsaPkcs1(Hash::Sha384)),
                PKCS1_SHA512 => Some(Self::RsaPkcs1(Hash::Sha512)),
                PKCS1_PSS => pss_hash(identifier).map(Self::RsaPss),
                _ => None,
            };
        }
        match oid.strip_prefix(OID_ECDSA_SHA2)? {
            [2] => Some(Self::Ecdsa(Hash::Sha256)),
            [3] => Some(Self::Ecdsa(Hash::Sha384)),
            [4] => Some(Self::Ecdsa(Hash::Sha512)),
            _ => None,
        }
    }
}

fn pss_hash(identifier: &AlgorithmIdentifier<'_>) -> Option<Hash> {
    let params = RsaSsaPssParams::try_from(identifier.parameters.as_ref()?).ok()?;
    match params.hash_algorithm_oid().as_bytes().strip_prefix(OID_NIST_HASH)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        _ => None,
    }
}

fn verifier(kind: KeyKind, algorithm: SignatureAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    use Hash::{Sha256, Sha384, Sha512};
    use SignatureAlgorithm::{Ecdsa, RsaPkcs1, RsaPss};
    Some(match (kind, algorithm) {
        (KeyKind::Rsa { .. }, RsaPkcs1(Sha256)) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa { .. }, RsaPkcs1(Sha384)) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa { .. }, RsaPkcs1(Sha512)) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::Rsa { .. }, RsaPss(Sha256)) => &signature::RSA_PSS_2048_8192_SHA256,
        (KeyKind::Rsa { .. }, RsaPss(Sha384)) => &signature::RSA_PSS_2048_8192_SHA384,
        (KeyKind::Rsa { .. }, RsaPss(Sha512)) => &signature::RSA_PSS_2048_8192_SHA512,
        (KeyKind::EcP256, Ecdsa(Sha256)) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::EcP256, Ecdsa(Sha384)) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::EcP256, Ecdsa(Sha512)) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::EcP384, Ecdsa(Sha256)) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::EcP384, Ecdsa(Sha384)) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::EcP384, Ecdsa(Sha512)) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::EcP521, Ecdsa(Sha256)) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyKind::EcP521, Ecdsa(Sha384)) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyKind::EcP521, Ecdsa(Sha512)) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

/// A fresh RSA-2048 pair for a device. The private key leaves this value once, as PEM, and is
/// never stored (SEC-28); `Debug` does not print it.
pub struct DeviceKeyPair {
    /// `-----BEGIN RSA PRIVATE KEY-----` (PKCS#1).
    private_pem: String,
    /// `-----BEGIN PUBLIC KEY-----` (SubjectPublicKeyInfo).
    public_pem: String,
    public: PublicKey,
}

impl fmt::Debug for DeviceKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKeyPair(RSA-2048)")
    }
}

impl DeviceKeyPair {
    /// Makes a pair. Takes tens to hundreds of milliseconds of CPU: call it off the async threads.
    ///
    /// # Errors
    /// [`PkiError::Issue`] when the provider's random source fails.
    pub fn generate() -> Result<Self, PkiError> {
        let failed = || PkiError::Issue("RSA key generation failed");
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| failed())?;
        let pkcs8 = pair.as_der().map_err(|_| failed())?;
        let pkcs1 = pkcs8_inner(pkcs8.as_ref()).ok_or_else(failed)?;
        let public_key = signature::KeyPair::public_key(&pair);
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = public_key.as_der().map_err(|_| failed())?;
        Ok(Self {
            private_pem: pem::encode("RSA PRIVATE KEY", pkcs1),
            public_pem: pem::encode("PUBLIC KEY", spki.as_ref()),
            public: PublicKey::from_spki_der(spki.as_ref())?,
        })
    }

    /// The private key, PKCS#1 PEM ending with a newline.
    pub fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// The public key, SubjectPublicKeyInfo PEM ending with a newline.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

/// The algorithm-specific key inside a PKCS#8 PrivateKeyInfo.
fn pkcs8_inner(der: &[u8]) -> Option<&[u8]> {
    let (_, outer) = Any::from_der(der).ok()?;
    let (after_version, _) = Any::from_der(outer.data).ok()?;
    let (after_algorithm, _) = Any::from_der(after_version).ok()?;
    let (_, key) = Any::from_der(after_algorithm).ok()?;
    Some(key.data)
}
