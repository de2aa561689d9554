//! What a device proves in the handshake. The most security-critical file of the product.
//!
//! Proved here: the certificate is well-formed DER with an accepted key, is within its validity,
//! and the peer holds its private key (the handshake signature verifies).
//! Not proved here: that the certificate is known, ACTIVE and allowed. That is decided by looking
//! up the SHA-256 of its DER in the registry after the handshake, before any byte of the device
//! has an effect (SEC-31). Issuers and chains prove nothing.
//!
//! rustls-webpki refuses X.509 v1, which device makers use; so parsing and signature checks go
//! through `marram-pki` instead.

use std::sync::Arc;

use marram_pki::{Certificate, Hash, KeyKind, PkiError, PublicKey, SignatureAlgorithm};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};

/// Signature schemes offered to clients: SHA-2 with RSA, RSA-PSS and ECDSA.
const SCHEMES: [SignatureScheme; 9] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Accepts any well-formed certificate whose key the peer proves; see the module.
#[derive(Debug)]
pub(crate) struct PossessionVerifier;

impl ClientCertVerifier for PossessionVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = parse(end_entity)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < certificate.not_before() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > certificate.not_after() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithm = tls12_algorithm(dss.scheme).ok_or_else(unexpected_scheme)?;
        check(parse(cert)?.public_key(), algorithm, message, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = parse(cert)?;
        let key = certificate.public_key();
        let algorithm = tls13_algorithm(dss.scheme, key.kind()).ok_or_else(unexpected_scheme)?;
        check(key, algorithm, message, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

fn unexpected_scheme() -> Error {
    PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()
}

fn check(
    key: &PublicKey,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    key.verify(algorithm, message, dss.signature()).map_err(certificate_error)?;
    Ok(HandshakeSignatureValid::assertion())
}

fn parse(der: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(der).map_err(certificate_error)
}

fn certificate_error(error: PkiError) -> Error {
    match error {
        PkiError::BadSignature => CertificateError::BadSignature.into(),
        PkiError::Malformed(_) | PkiError::TooLong { .. } => CertificateError::BadEncoding.into(),
        other => CertificateError::Other(OtherError(Arc::new(other))).into(),
    }
}

/// TLS 1.2 scheme numbers name hash and signature; the curve is the certificate's (RFC 5246).
fn tls12_algorithm(scheme: SignatureScheme) -> Option<SignatureAlgorithm> {
    Some(match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => SignatureAlgorithm::Ecdsa(Hash::Sha256),
        SignatureScheme::ECDSA_NISTP384_SHA384 => SignatureAlgorithm::Ecdsa(Hash::Sha384),
        SignatureScheme::ECDSA_NISTP521_SHA512 => SignatureAlgorithm::Ecdsa(Hash::Sha512),
        SignatureScheme::RSA_PSS_SHA256 => SignatureAlgorithm::RsaPss(Hash::Sha256),
        SignatureScheme::RSA_PSS_SHA384 => SignatureAlgorithm::RsaPss(Hash::Sha384),
        SignatureScheme::RSA_PSS_SHA512 => SignatureAlgorithm::RsaPss(Hash::Sha512),
        SignatureScheme::RSA_PKCS1_SHA256 => SignatureAlgorithm::RsaPkcs1(Hash::Sha256),
        SignatureScheme::RSA_PKCS1_SHA384 => SignatureAlgorithm::RsaPkcs1(Hash::Sha384),
        SignatureScheme::RSA_PKCS1_SHA512 => SignatureAlgorithm::RsaPkcs1(Hash::Sha512),
        _ => return None,
    })
}

/// TLS 1.3 binds each ECDSA scheme to its curve and has no PKCS#1 v1.5 (RFC 8446 4.2.3).
fn tls13_algorithm(scheme: SignatureScheme, key: KeyKind) -> Option<SignatureAlgorithm> {
    match (scheme, key) {
        (SignatureScheme::ECDSA_NISTP256_SHA256, KeyKind::EcP256)
        | (SignatureScheme::ECDSA_NISTP384_SHA384, KeyKind::EcP384)
        | (SignatureScheme::ECDSA_NISTP521_SHA512, KeyKind::EcP521)
        | (
            SignatureScheme::RSA_PSS_SHA256 | SignatureScheme::RSA_PSS_SHA384 | SignatureScheme::RSA_PSS_SHA512,
            KeyKind::Rsa { .. },
        ) => tls12_algorithm(scheme),
        _ => None,
    }
}
