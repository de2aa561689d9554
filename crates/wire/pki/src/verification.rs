//! Proof that the registrant of a CA holds its private key (CP 4.5, RegisterCACertificate).

use crate::certificate::Certificate;
use crate::error::PkiError;

/// Checks a verification certificate: issued and signed by `authority`, and its common name is the
/// account's registration code.
///
/// # Errors
/// [`PkiError::NotAuthority`], [`PkiError::BadSignature`], [`PkiError::UnsupportedSignature`],
/// [`PkiError::WrongCommonName`], [`PkiError::NotValidNow`].
pub fn check_verification_certificate(
    authority: &Certificate,
    verification: &Certificate,
    registration_code: &str,
    now: i64,
) -> Result<(), PkiError> {
    if !verification.is_valid_at(now) {
        return Err(PkiError::NotValidNow);
    }
    verification.verify_issued_by(authority)?;
    // Registration codes are not secret from their owner, so a plain comparison will do.
    if verification.subject().common_name() != Some(registration_code) {
        return Err(PkiError::WrongCommonName);
    }
    Ok(())
}
