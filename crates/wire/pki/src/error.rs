//! Why a certificate, request or key was refused.

/// The refusals of this crate. The text is safe to show to the caller: it names the rule, never key
/// material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The PEM armour is broken, or the wanted block is missing.
    #[error("invalid PEM: {0}")]
    Pem(&'static str),
    /// More bytes than a certificate, request or bundle may have.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not DER, not X.509, or bytes after its end.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// A key that is not RSA of 2048 to 8192 bits or EC P-256, P-384 or P-521.
    #[error("unsupported or weak public key: {0}")]
    WeakKey(&'static str),
    /// A signature algorithm outside SHA-256/384/512 with RSA, RSA-PSS or ECDSA.
    #[error("unsupported signature algorithm")]
    UnsupportedSignature,
    /// The signature does not belong to the key and the bytes.
    #[error("signature does not verify")]
    BadSignature,
    /// The verification certificate's common name is not the registration code.
    #[error("common name of the verification certificate is not the registration code")]
    WrongCommonName,
    /// A certificate that may not sign others where a CA is needed.
    #[error("certificate is not a certificate authority")]
    NotAuthority,
    /// Outside its validity.
    #[error("certificate is not within its validity period")]
    NotValidNow,
    /// The certificate cannot be written as asked (a name that is not IA5, a date out of range).
    #[error("cannot issue: {0}")]
    Issue(&'static str),
}
