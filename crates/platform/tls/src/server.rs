//! Server configurations, the planes they stand for, and the certificate they present.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use marram_pki::pem;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::TlsError;
use crate::provider::{VERSIONS, provider};
use crate::verifier::PossessionVerifier;
use crate::{ALPN_HTTP_CA, ALPN_HTTP11, ALPN_MQTT, ALPN_MQTT_CA};

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// API and console; devices reach their planes here by ALPN or server name.
    Api,
    /// HTTPS for devices: credentials, data plane, discovery.
    DeviceHttps,
    /// MQTT for devices.
    DeviceMqtt,
}

/// Who speaks what on an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// HTTP without a client certificate (SigV4, console).
    Api,
    /// HTTP with a client certificate.
    DeviceHttps,
    /// MQTT with a client certificate.
    DeviceMqtt,
}

/// A server certificate and key, shared by the configurations and replaceable while they serve.
/// Clones share the same certificate.
#[derive(Clone)]
pub struct ServerCertificate {
    current: Arc<ArcSwap<CertifiedKey>>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate")
    }
}

impl ServerCertificate {
    /// Reads chain (leaf first) and key.
    ///
    /// # Errors
    /// [`TlsError::Pem`], [`TlsError::Identity`].
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Self, TlsError> {
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(certified_key(chain_pem, key_pem)?)) })
    }

    /// Replaces the certificate: handshakes that start afterwards see the new one, live
    /// connections stay (SEC-35). On error the old one stays.
    ///
    /// # Errors
    /// As [`ServerCertificate::from_pem`].
    pub fn replace(&self, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        self.current.store(Arc::new(certified_key(chain_pem, key_pem)?));
        Ok(())
    }
}

fn certified_key(chain_pem: &str, key_pem: &str) -> Result<CertifiedKey, TlsError> {
    let chain = pem::certificates(chain_pem).map_err(|cause| TlsError::Pem { what: "server certificate", cause })?;
    let key = pem::private_key(key_pem).map_err(|cause| TlsError::Pem { what: "server key", cause })?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError::Identity(error.to_string()))
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Presents nothing, so that the handshake ends in an alert.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// One configuration per plane, and one that refuses.
pub(crate) struct PlaneConfigs {
    pub(crate) api: Arc<ServerConfig>,
    pub(crate) device_https: Arc<ServerConfig>,
    pub(crate) device_mqtt: Arc<ServerConfig>,
    pub(crate) refuse: Arc<ServerConfig>,
}

impl PlaneConfigs {
    pub(crate) fn new(certificate: &ServerCertificate) -> Self {
        let certificate = Arc::new(certificate.clone());
        Self {
            api: config(false, certificate.clone(), &[ALPN_HTTP11]),
            device_https: config(true, certificate.clone(), &[ALPN_HTTP_CA, ALPN_HTTP11]),
            device_mqtt: config(true, certificate, &[ALPN_MQTT_CA, ALPN_MQTT]),
            refuse: config(false, Arc::new(NoCertificate), &[]),
        }
    }

    pub(crate) fn of(&self, plane: Plane) -> Arc<ServerConfig> {
        Arc::clone(match plane {
            Plane::Api => &self.api,
            Plane::DeviceHttps => &self.device_https,
            Plane::DeviceMqtt => &self.device_mqtt,
        })
    }
}

fn config(client_certificate: bool, resolver: Arc<dyn ResolvesServerCert>, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .expect("the provider has suites for TLS 1.2 and 1.3");
    let builder = if client_certificate {
        builder.with_client_cert_verifier(Arc::new(PossessionVerifier))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // Resumption would skip the registry look-up's proof of possession and keep state per client.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Arc::new(config)
}
