//! What can go wrong before a byte of the application is read.

use std::io;

/// A configuration that cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A PEM file did not hold what it should.
    #[error("cannot read {what}")]
    Pem {
        /// `server certificate`, `client key` ...
        what: &'static str,
        /// Why.
        #[source]
        cause: marram_pki::PkiError,
    },
    /// The key does not fit the certificate, or rustls refused the pair.
    #[error("certificate and key refused: {0}")]
    Identity(String),
    /// No usable root certificate.
    #[error("no usable root certificate")]
    Roots,
    /// The host is neither a DNS name nor an address.
    #[error("`{0}` is not a host name or address")]
    HostName(String),
    /// The connection or the handshake failed.
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
}

/// Why an incoming connection did not become a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Too many handshakes from this source or in total (SEC 12.2).
    #[error("handshake rate exceeded")]
    Throttled,
    /// Too many connections that have not authenticated yet (SEC 12.2).
    #[error("too many unauthenticated connections")]
    TooManyPending,
    /// The handshake took longer than its limit.
    #[error("handshake timed out")]
    Timeout,
    /// The server name is not one of this listener's.
    #[error("server name not served here")]
    ServerName,
    /// The peer or the handshake failed: no shared suite, bad certificate, bad signature, cut.
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
}

impl AcceptError {
    /// A label from a closed set, for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::TooManyPending => "too_many_pending",
            Self::Timeout => "timeout",
            Self::ServerName => "server_name",
            Self::Handshake(_) => "handshake",
        }
    }
}
