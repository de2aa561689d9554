//! The client side: for our own MQTT and HTTP clients, the core's uplink and the tests.

use std::fmt;
use std::sync::Arc;

use marram_pki::pem;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::error::TlsError;
use crate::provider::{TLS12_ONLY, VERSIONS, provider};
use crate::remote::RemoteIdentity;

/// The encrypted stream of an outgoing connection.
pub type ClientStream<IO> = tokio_rustls::client::TlsStream<IO>;

/// A client certificate and its key.
pub struct ClientIdentity {
    /// PEM, leaf first.
    pub chain_pem: String,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key_pem: String,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity")
    }
}

/// The DER SubjectPublicKeyInfo of a private key (PEM: PKCS#8, PKCS#1 or SEC1): what a certificate must hold that is shown with this key.
///
/// # Errors
/// [`TlsError::Pem`], [`TlsError::Identity`] when TLS cannot use the key.
pub fn public_key_of(key_pem: &str) -> Result<Vec<u8>, TlsError> {
    let key = pem::private_key(key_pem).map_err(|cause| TlsError::Pem { what: "private key", cause })?;
    let refused = |error: rustls::Error| TlsError::Identity(error.to_string());
    let key = provider().key_provider.load_private_key(key).map_err(refused)?;
    let public = key.public_key().ok_or_else(|| TlsError::Identity("the key has no public half".to_owned()))?;
    Ok(public.to_vec())
}

/// What a [`Connector`] trusts and shows.
#[derive(Debug, Default)]
pub struct ClientOptions {
    /// Root certificates in PEM; nothing else is trusted.
    pub roots_pem: String,
    /// Client certificate, where the server wants one.
    pub identity: Option<ClientIdentity>,
    /// Protocols offered, best first; empty: the extension is left out.
    pub alpn: Vec<Vec<u8>>,
}

/// Opens TLS connections. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    inner: TlsConnector,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Builds the configuration.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::Roots`], [`TlsError::Identity`].
    pub fn new(options: ClientOptions) -> Result<Self, TlsError> {
        Self::build(options, None)
    }

    /// As [`Connector::new`], showing a certificate whose key is elsewhere instead of `options.identity`. A token without PSS
    /// is served by TLS 1.2.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::Roots`].
    pub fn with_remote_identity(options: ClientOptions, identity: &RemoteIdentity) -> Result<Self, TlsError> {
        Self::build(options, Some(identity))
    }

    fn build(options: ClientOptions, remote: Option<&RemoteIdentity>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut usable = 0;
        for block in bundle_blocks(&options.roots_pem) {
            let certificates =
                pem::certificates(block).map_err(|cause| TlsError::Pem { what: "root certificates", cause })?;
            usable += roots.add_parsable_certificates(certificates).0;
        }
        if usable == 0 {
            return Err(TlsError::Roots);
        }
        let versions = if remote.is_some_and(RemoteIdentity::needs_tls12) { TLS12_ONLY } else { VERSIONS };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match (remote, options.identity) {
            (Some(remote), _) => builder.with_client_cert_resolver(
                remote.resolver().map_err(|cause| TlsError::Pem { what: "client certificate", cause })?,
            ),
            (None, None) => builder.with_no_client_auth(),
            (None, Some(identity)) => {
                let chain = pem::certificates(&identity.chain_pem)
                    .map_err(|cause| TlsError::Pem { what: "client certificate", cause })?;
                let key =
                    pem::private_key(&identity.key_pem).map_err(|cause| TlsError::Pem { what: "client key", cause })?;
                builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Identity(error.to_string()))?
            }
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = options.alpn;
        Ok(Self { inner: TlsConnector::from(Arc::new(config)) })
    }

    /// The same trust and identity, offering other protocols: reading a key again would cost as much as a handshake.
    #[must_use]
    pub fn with_alpn(&self, alpn: Vec<Vec<u8>>) -> Self {
        let mut config = ClientConfig::clone(self.inner.config());
        config.alpn_protocols = alpn;
        Self { inner: TlsConnector::from(Arc::new(config)) }
    }

    /// Runs the handshake with the server called `host` (a DNS name or an address).
    ///
    /// With TLS 1.3 a refusal of the client certificate arrives after this returns, with the
    /// first read.
    ///
    /// # Errors
    /// [`TlsError::HostName`], [`TlsError::Handshake`].
    pub async fn connect<IO>(&self, host: &str, io: IO) -> Result<ClientStream<IO>, TlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::HostName(host.to_owned()))?;
        self.inner.connect(name, io).await.map_err(TlsError::Handshake)
    }
}

/// A bundle of roots, certificate by certificate: a system's bundle is longer than the PEM texts people send us may be.
/// A text without certificates is one block, which fails to read.
fn bundle_blocks(bundle: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END CERTIFICATE-----";
    let is_whole = !bundle.contains(END);
    bundle.split_inclusive(END).filter(move |block| is_whole || block.contains(END))
}
