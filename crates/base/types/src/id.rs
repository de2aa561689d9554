//! Ids that are not chosen by people: certificate fingerprints and request ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Why a text is not an id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {0}")]
pub struct IdError(pub &'static str);

/// SHA-256 over a certificate's DER, 64 lower-case hex digits on the wire (control-plane-api.md 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct CertificateId([u8; 32]);

impl CertificateId {
    /// The id of the certificate with this DER encoding.
    pub fn of_der(der: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        Self(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// An id from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for CertificateId {
    type Err = IdError;
    /// Accepts 64 lower-case hex digits, with an optional leading `0x`.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError("certificate id");
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return Err(error);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else { return Err(error) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl TryFrom<SmolStr> for CertificateId {
    type Error = IdError;
    fn try_from(text: SmolStr) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<CertificateId> for SmolStr {
    fn from(id: CertificateId) -> SmolStr {
        SmolStr::new(id.to_string())
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateId({self})")
    }
}

/// One request, a version 4 UUID: the same in the response header, the error body, the log and the audit record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    /// A fresh id.
    pub fn fresh() -> Self {
        Self(uuid::Builder::from_random_bytes(crate::random::random_id_bytes()).into_uuid())
    }
}

impl FromStr for RequestId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| IdError("request id"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 4.1: the id is the SHA-256 of the DER in lower-case hex; input may carry `0x`.
    #[test]
    fn certificate_ids_print_and_parse() {
        let id = CertificateId::of_der(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(format!("0x{text}").parse(), Ok(id));
        for bad in ["", &text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace('e', "g")] {
            assert!(bad.parse::<CertificateId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn request_ids_are_version_4_uuids() {
        let id = RequestId::fresh();
        assert_eq!(id.to_string().as_bytes()[14], b'4');
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, RequestId::fresh());
    }
}
