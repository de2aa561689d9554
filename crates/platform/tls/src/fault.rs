//! What a connection that failed says of the two sides, for people: whose certificate it was, and what was wrong with it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Whom a failed handshake, or the first read after it, blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// By our clock the peer's certificate is over.
    PeerExpired,
    /// By our clock the peer's certificate has not begun.
    PeerNotYet,
    /// The peer's certificate is for another name.
    PeerName,
    /// The peer's certificate leads to no root of ours, or is none.
    PeerUntrusted,
    /// The peer does not take the certificate that we showed, or that we showed none.
    OwnRefused,
    /// What the peer sends is no TLS.
    NotTls,
    /// Nothing in common, a broken rule, and all others.
    Other,
}

impl Fault {
    /// The fault behind an error, if TLS is; none when the network or somebody else is.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of_rustls(error));
            }
            // `source` of an I/O error leaves out the error that it carries.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    fn of_rustls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::PeerExpired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::PeerNotYet,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::PeerName,
                _ => Self::PeerUntrusted,
            },
            rustls::Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            ) => Self::OwnRefused,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;
    use crate::TlsError;

    /// The fault is found however deep it stands, and a network that fails is none.
    #[test]
    fn the_blame_is_found() {
        #[rustfmt::skip]
        let table = [
            (rustls::Error::InvalidCertificate(CertificateError::Expired), Fault::PeerExpired),
            (rustls::Error::InvalidCertificate(CertificateError::NotValidYet), Fault::PeerNotYet),
            (rustls::Error::InvalidCertificate(CertificateError::NotValidForName), Fault::PeerName),
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), Fault::PeerUntrusted),
            (rustls::Error::AlertReceived(AlertDescription::CertificateExpired), Fault::OwnRefused),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), Fault::OwnRefused),
            (rustls::Error::AlertReceived(AlertDescription::HandshakeFailure), Fault::Other),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), Fault::NotTls),
        ];
        for (error, fault) in table {
            let read = io::Error::new(io::ErrorKind::InvalidData, error.clone());
            assert_eq!(Fault::of(&read), Some(fault), "{error}");
            let handshake = io::Error::other(TlsError::Handshake(read));
            assert_eq!(Fault::of(&handshake), Some(fault), "{error}");
        }
        assert_eq!(Fault::of(&io::Error::from(io::ErrorKind::UnexpectedEof)), None);
        assert_eq!(Fault::of(&TlsError::Handshake(io::Error::from(io::ErrorKind::ConnectionReset))), None);
    }
}
