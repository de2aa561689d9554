//! PKCS#10 certificate signing requests.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::error::PkiError;
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::name::DistinguishedName;
use crate::{MAX_CSR_DER, pem};

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
