//! Who is at the other end of a connection, as far as the socket and TLS can tell.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// SHA-256 of a certificate's DER encoding: the certificate id of the registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// What a connection says about its peer before the first MQTT packet.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Address of the socket's other end.
    pub remote: SocketAddr,
    /// SHA-256 of the leaf certificate whose key the handshake proved; `None` without a client certificate.
    pub fingerprint: Option<Fingerprint>,
    /// DER certificates as presented, leaf first; empty without a client certificate.
    pub chain: Arc<[Vec<u8>]>,
    /// Server name the client asked for (SNI).
    pub server_name: Option<String>,
    /// Application protocol agreed on (ALPN).
    pub alpn: Option<Vec<u8>>,
}

impl PeerInfo {
    /// A peer without TLS: tests and in-process transports.
    pub fn plain(remote: SocketAddr) -> Self {
        Self { remote, fingerprint: None, chain: Arc::new([]), server_name: None, alpn: None }
    }
}
