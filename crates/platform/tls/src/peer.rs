//! What the handshake established about the peer; feeds the audit record's `tlsDetails`.

use marram_pki::CertificateId;
use rustls::{CommonState, ServerConnection};
use rustls_pki_types::CertificateDer;

/// A client certificate whose key the peer proved. Trust is the registry's to decide.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The leaf's DER.
    pub der: CertificateDer<'static>,
    /// SHA-256 of the DER: what to look up in the registry.
    pub id: CertificateId,
}

/// The outcome of a handshake.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The suite's IANA name, e.g. `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: &'static str,
    /// The server name the client asked for, lower case; `None` for clients that dial an address.
    pub server_name: Option<String>,
    /// The protocol that ALPN chose.
    pub alpn: Option<Vec<u8>>,
    /// The client's certificate; always present on device planes, never on the API plane.
    pub client_certificate: Option<ClientCertificate>,
}

impl PeerInfo {
    pub(crate) fn of(connection: &ServerConnection) -> Self {
        Self::new(connection, connection.server_name().map(str::to_ascii_lowercase))
    }

    /// `server_name` in lower case.
    pub(crate) fn new(connection: &CommonState, server_name: Option<String>) -> Self {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let client_certificate = connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| ClientCertificate { id: CertificateId::of_der(leaf), der: leaf.clone().into_owned() });
        Self {
            version,
            cipher_suite: connection.negotiated_cipher_suite().map_or("", |suite| suite_name(suite.suite())),
            server_name,
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            client_certificate,
        }
    }
}

/// The IANA name; rustls prefixes the TLS 1.3 suites differently.
fn suite_name(suite: rustls::CipherSuite) -> &'static str {
    use rustls::CipherSuite as S;
    match suite {
        S::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        S::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        S::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or(""),
    }
}
