//! The certificate authority of an installation: creates itself, issues for servers and devices.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use x509_parser::time::ASN1Time;

use crate::certificate::Certificate;
use crate::error::PkiError;
use crate::key::{KeyKind, PublicKey};
use crate::pem;

/// Common name of issued device certificates (CP 4.5). The subject of a signing request is not
/// copied: policies may read the subject, so a device must not choose it.
pub const DEVICE_COMMON_NAME: &str = "Marram device certificate";

/// Bytes of a serial number: 127 random bits, at least the 64 that CP 4.5 asks for.
const SERIAL_BYTES: usize = 16;

/// A validity period in seconds since the epoch, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
}

impl Validity {
    /// Starts five minutes before `now`, so that a device whose clock lags can use it at once.
    pub fn starting(now: i64, seconds: i64) -> Self {
        Self { not_before: now - 300, not_after: now.saturating_add(seconds) }
    }
}

/// A server certificate with its key.
pub struct IssuedServer {
    /// The leaf, then the CA: what the server sends.
    pub chain_pem: String,
    /// The leaf's P-256 key, PKCS#8.
    pub key_pem: String,
}

impl fmt::Debug for IssuedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedServer").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

/// A P-256 certificate authority with its private key in memory.
pub struct CertificateAuthority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateAuthority({})", self.certificate.id())
    }
}

impl CertificateAuthority {
    /// Makes a new self-signed authority (path length 0) named `common_name`.
    ///
    /// # Errors
    /// [`PkiError::Issue`].
    pub fn create(common_name: &str, validity: Validity) -> Result<Self, PkiError> {
        let key =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| PkiError::Issue("key generation failed"))?;
        let mut params = base_params(common_name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(|_| PkiError::Issue("self-signing failed"))?;
        Ok(Self { certificate: Certificate::from_der(certificate.der())?, issuer: Issuer::new(params, key) })
    }

    /// Loads an authority from its certificate and key.
    ///
    /// # Errors
    /// [`PkiError::Pem`], [`PkiError::Malformed`], [`PkiError::NotAuthority`], and
    /// [`PkiError::BadSignature`] when the key is not the certificate's.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let der = pem::certificate(certificate_pem)?;
        let certificate = Certificate::from_der(&der)?;
        if !certificate.is_ca() {
            return Err(PkiError::NotAuthority);
        }
        // Asked for by name first: the library tries one algorithm after the other, and each try reads and checks the whole key.
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key_pem, &PKCS_ECDSA_P256_SHA256)
            .or_else(|_| KeyPair::from_pem(key_pem))
            .map_err(|_| PkiError::Pem("no private key"))?;
        if rcgen::PublicKeyData::subject_public_key_info(&key) != certificate.public_key().spki_der() {
            return Err(PkiError::BadSignature);
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|_| PkiError::Malformed("CA certificate"))?;
        Ok(Self { certificate, issuer })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The authority's certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        pem::encode_certificate(self.certificate.der())
    }

    /// The private key in PKCS#8 PEM. Store it where only the control plane reads.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a server certificate with a fresh P-256 key for host names and addresses (the first
    /// is also the common name).
    ///
    /// # Errors
    /// [`PkiError::Issue`] when `names` is empty or one is not a DNS name or IP address.
    pub fn issue_server(&self, names: &[String], validity: Validity) -> Result<IssuedServer, PkiError> {
        let first = names.first().ok_or(PkiError::Issue("no server name"))?;
        let mut params = base_params(first, validity)?;
        params.subject_alt_names = names.iter().map(|name| san(name)).collect::<Result<Vec<_>, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| PkiError::Issue("key generation failed"))?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(|_| PkiError::Issue("signing failed"))?;
        Ok(IssuedServer {
            chain_pem: pem::encode_certificate(leaf.der()) + &self.certificate_pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Issues a device certificate (v3, client authentication) for `key`.
    ///
    /// # Errors
    /// [`PkiError::Issue`].
    pub fn issue_device(&self, key: &PublicKey, validity: Validity) -> Result<Certificate, PkiError> {
        let mut params = base_params(DEVICE_COMMON_NAME, validity)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if matches!(key.kind(), KeyKind::Rsa { .. }) {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let spki = SubjectPublicKeyInfo::from_der(key.spki_der())
            .map_err(|_| PkiError::Issue("public key not supported by the issuer"))?;
        let leaf = params.signed_by(&spki, &self.issuer).map_err(|_| PkiError::Issue("signing failed"))?;
        Certificate::from_der(leaf.der())
    }
}

fn base_params(common_name: &str, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let date = |seconds| ASN1Time::from_timestamp(seconds).map_err(|_| PkiError::Issue("date out of range"));
    params.not_before = date(validity.not_before)?.to_datetime();
    params.not_after = date(validity.not_after)?.to_datetime();
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0u8; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PkiError::Issue("no random bytes"))?;
    // Positive and of full length, whatever was drawn.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn san(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = IpAddr::from_str(name) {
        return Ok(SanType::IpAddress(address));
    }
    let ia5 = name.try_into().map_err(|_| PkiError::Issue("server name is not ASCII"))?;
    Ok(SanType::DnsName(ia5))
}
