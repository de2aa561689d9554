//! PKCS#10 certificate signing requests.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::error::PkiError;
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::name::DistinguishedName;
use crate::{MAX_CSR_DER, pem};

/// A fresh P-256 key with a request to certify it: what a core makes of itself. The private key never leaves the core.
pub struct RequestedKey {
    /// PKCS#8 PEM.
    pub private_pem: String,
    /// PKCS#10 PEM.
    pub request_pem: String,
}

impl std::fmt::Debug for RequestedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestedKey(P-256)")
    }
}

impl RequestedKey {
    /// Makes a key and a request in the name of `common_name`.
    ///
    /// # Errors
    /// [`PkiError::Issue`] when the provider fails.
    pub fn generate(common_name: &str) -> Result<Self, PkiError> {
        let failed = |_| PkiError::Issue("a P-256 key cannot be made");
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let request = parameters.serialize_request(&key).map_err(failed)?;
        Ok(Self { private_pem: key.serialize_pem(), request_pem: request.pem().map_err(failed)? })
    }
}

/// A request whose signature was checked, so the requester holds the private key.
#[derive(Debug, Clone)]
pub struct SigningRequest {
    key: PublicKey,
    subject: DistinguishedName,
}

impl SigningRequest {
    /// Reads and verifies a PEM request.
    ///
    /// # Errors
    /// As [`SigningRequest::from_der`], and [`PkiError::Pem`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        Self::from_der(&pem::signing_request(text)?)
    }

    /// Reads and verifies a DER request.
    ///
    /// # Errors
    /// [`PkiError::TooLong`], [`PkiError::Malformed`], [`PkiError::WeakKey`],
    /// [`PkiError::UnsupportedSignature`] (SHA-1, DSA), [`PkiError::BadSignature`].
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        if der.len() > MAX_CSR_DER {
            return Err(PkiError::TooLong { what: "certificate signing request", limit: MAX_CSR_DER });
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| PkiError::Malformed("certificate signing request"))?;
        if !rest.is_empty() || request.signature_value.unused_bits != 0 {
            return Err(PkiError::Malformed("certificate signing request"));
        }
        let key = PublicKey::from_spki(&request.certification_request_info.subject_pki)?;
        let algorithm =
            SignatureAlgorithm::from_identifier(&request.signature_algorithm).ok_or(PkiError::UnsupportedSignature)?;
        key.verify(algorithm, request.certification_request_info.raw, &request.signature_value.data)?;
        let subject = DistinguishedName::from_x509(&request.certification_request_info.subject);
        Ok(Self { key, subject })
    }

    /// The key to certify.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The subject the requester wrote. Self-asserted: it is not copied into certificates.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }
}
