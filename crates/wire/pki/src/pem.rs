//! PEM armour: text to DER and back, with limits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};

use crate::error::PkiError;
use crate::{MAX_CERTIFICATE_DER, MAX_CSR_DER};

/// Longest PEM text read, in bytes: the `certificatePem` member allows 65,536.
pub const MAX_PEM: usize = 65_536;

/// Characters of base64 per line (RFC 7468).
const LINE: usize = 64;

/// `der` in armour, ending with a newline.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / LINE + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// A certificate in armour, ending with a newline.
pub fn encode_certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// Every certificate of a PEM text, in order; other blocks are skipped.
///
/// # Errors
/// [`PkiError::Pem`] when there is none, [`PkiError::TooLong`].
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    if text.len() > MAX_PEM {
        return Err(PkiError::TooLong { what: "PEM text", limit: MAX_PEM });
    }
    let found = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| PkiError::Pem("broken armour"))?;
    if found.is_empty() {
        return Err(PkiError::Pem("no certificate"));
    }
    if found.iter().any(|der| der.len() > MAX_CERTIFICATE_DER) {
        return Err(PkiError::TooLong { what: "certificate", limit: MAX_CERTIFICATE_DER });
    }
    Ok(found)
}

/// The only certificate of a PEM text.
///
/// # Errors
/// As [`certificates`]; [`PkiError::Pem`] when there are several, because which of them is to be
/// registered would be a guess.
pub fn certificate(text: &str) -> Result<CertificateDer<'static>, PkiError> {
    let mut found = certificates(text)?;
    match (found.pop(), found.is_empty()) {
        (Some(der), true) => Ok(der),
        _ => Err(PkiError::Pem("more than one certificate")),
    }
}

/// The first signing request of a PEM text.
///
/// # Errors
/// [`PkiError::Pem`], [`PkiError::TooLong`].
pub fn signing_request(text: &str) -> Result<CertificateSigningRequestDer<'static>, PkiError> {
    if text.len() > MAX_PEM {
        return Err(PkiError::TooLong { what: "PEM text", limit: MAX_PEM });
    }
    // `NEW CERTIFICATE REQUEST` is what older Windows and keytool write.
    let plain = text.replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
    let der = CertificateSigningRequestDer::from_pem_slice(plain.as_bytes())
        .map_err(|_| PkiError::Pem("no certificate signing request"))?;
    if der.len() > MAX_CSR_DER {
        return Err(PkiError::TooLong { what: "certificate signing request", limit: MAX_CSR_DER });
    }
    Ok(der)
}

/// The first private key of a PEM text: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// [`PkiError::Pem`].
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| PkiError::Pem("no private key"))
}
