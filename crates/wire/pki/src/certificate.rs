//! Reading certificates of any maker.
//!
//! Strict: DER only, nothing after the end, accepted keys only, bounded size. Tolerant: X.509 v1
//! (what `openssl x509 -req` writes), unknown extensions, critical or not, and any issuer, since
//! the registry and not a chain decides about trust (SEC-31).

use marram_types::CertificateId;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

use crate::MAX_CERTIFICATE_DER;
use crate::error::PkiError;
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::name::DistinguishedName;

/// Alternative names kept per certificate; what a policy variable may index is far below this.
const MAX_ALTERNATIVE_NAMES: usize = 64;

/// A subject alternative name that has a policy variable (CP 5.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlternativeName {
    /// `RFC822Name`.
    Rfc822(String),
    /// `DNSName`.
    Dns(String),
    /// `UniformResourceIdentifier`.
    Uri(String),
    /// `IPAddress`, as text.
    Ip(String),
    /// `DirectoryName`, printed as `x509-parser` prints it.
    Directory(String),
}

/// A parsed X.509 certificate. Owns its bytes.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: std::ops::Range<usize>,
    version: u8,
    serial_hex: String,
    subject: DistinguishedName,
    issuer: DistinguishedName,
    not_before: i64,
    not_after: i64,
    key: PublicKey,
    signature_algorithm: Option<SignatureAlgorithm>,
    signature: Vec<u8>,
    is_ca: bool,
    alternative_names: Vec<AlternativeName>,
}

impl Certificate {
    /// Reads one DER certificate.
    ///
    /// # Errors
    /// [`PkiError::TooLong`], [`PkiError::Malformed`], [`PkiError::WeakKey`].
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        if der.len() > MAX_CERTIFICATE_DER {
            return Err(PkiError::TooLong { what: "certificate", limit: MAX_CERTIFICATE_DER });
        }
        let malformed = || PkiError::Malformed("certificate");
        let (rest, x509) = x509_parser::certificate::X509Certificate::from_der(der).map_err(|_| malformed())?;
        if !rest.is_empty() || x509.signature_value.unused_bits != 0 {
            return Err(malformed());
        }
        // RFC 5280 4.1.1.2: the inner and outer algorithm must agree, or the signed bytes do not
        // say how they were signed.
        if x509.signature_algorithm != x509.tbs_certificate.signature {
            return Err(malformed());
        }
        let version = match x509.version() {
            X509Version::V1 => 1,
            X509Version::V2 => 2,
            X509Version::V3 => 3,
            _ => return Err(malformed()),
        };
        if version < 3 && !x509.extensions().is_empty() {
            return Err(malformed());
        }
        let is_ca = match x509.basic_constraints() {
            Ok(Some(constraints)) => constraints.value.ca,
            // v1 has no way to say it; those that sign are used as CAs by the guides' recipes.
            Ok(None) => version == 1,
            Err(_) => return Err(malformed()),
        };
        let tbs_raw = x509.tbs_certificate.as_ref();
        let start = tbs_raw.as_ptr() as usize - der.as_ptr() as usize;
        Ok(Self {
            tbs: start..start + tbs_raw.len(),
            version,
            serial_hex: hex::encode(x509.raw_serial()),
            subject: DistinguishedName::from_x509(x509.subject()),
            issuer: DistinguishedName::from_x509(x509.issuer()),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            key: PublicKey::from_spki(x509.public_key())?,
            signature_algorithm: SignatureAlgorithm::from_identifier(&x509.signature_algorithm),
            signature: x509.signature_value.data.to_vec(),
            is_ca,
            alternative_names: alternative_names(&x509),
            der: der.to_vec(),
        })
    }

    /// The DER it was read from.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER.
    pub fn id(&self) -> CertificateId {
        CertificateId::of_der(&self.der)
    }

    /// X.509 version: 1, 2 or 3.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The serial number in lower hex, as encoded.
    pub fn serial_hex(&self) -> &str {
        &self.serial_hex
    }

    /// The subject.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The issuer.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// Start of validity, seconds since the epoch.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of validity (inclusive), seconds since the epoch.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether `now` (seconds since the epoch) lies in the validity period.
    pub fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// The subject's public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// How the issuer signed; `None` when the algorithm is one Marram does not accept.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.signature_algorithm
    }

    /// Whether it may sign other certificates (basic constraints; a v1 certificate may).
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Subject alternative names in order, at most 64.
    pub fn alternative_names(&self) -> &[AlternativeName] {
        &self.alternative_names
    }

    /// Whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject.der() == self.issuer.der()
    }

    /// Checks that `issuer` issued and signed this certificate.
    ///
    /// # Errors
    /// [`PkiError::BadSignature`] (also when the names do not chain),
    /// [`PkiError::UnsupportedSignature`], [`PkiError::NotAuthority`].
    pub fn verify_issued_by(&self, issuer: &Certificate) -> Result<(), PkiError> {
        if !issuer.is_ca {
            return Err(PkiError::NotAuthority);
        }
        if self.issuer.der() != issuer.subject.der() {
            return Err(PkiError::BadSignature);
        }
        let algorithm = self.signature_algorithm.ok_or(PkiError::UnsupportedSignature)?;
        issuer.key.verify(algorithm, &self.der[self.tbs.clone()], &self.signature)
    }
}

fn alternative_names(x509: &x509_parser::certificate::X509Certificate<'_>) -> Vec<AlternativeName> {
    x509.extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(names),
            _ => None,
        })
        .flat_map(|names| &names.general_names)
        .filter_map(|name| match name {
            GeneralName::RFC822Name(text) => Some(AlternativeName::Rfc822((*text).to_owned())),
            GeneralName::DNSName(text) => Some(AlternativeName::Dns((*text).to_owned())),
            GeneralName::URI(text) => Some(AlternativeName::Uri((*text).to_owned())),
            GeneralName::DirectoryName(name) => Some(AlternativeName::Directory(name.to_string())),
            GeneralName::IPAddress(bytes) => ip_text(bytes).map(AlternativeName::Ip),
            _ => None,
        })
        .take(MAX_ALTERNATIVE_NAMES)
        .collect()
}

fn ip_text(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(v6).to_string())
}
