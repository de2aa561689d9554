//! Duties that stay on the core: shadows, secrets, client devices, metrics (CR 6.8).

use bytes::Bytes;
use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::{Later, PortError};

/// A page of shadow names.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowPage {
    /// Names of named shadows.
    pub results: Vec<String>,
    /// Seconds since the epoch.
    pub timestamp: f64,
    /// Where the next page starts.
    pub next_token: Option<String>,
}

/// Local device shadows; `shadow` empty means the classic one.
pub trait LocalShadows: Send + Sync {
    /// The document.
    fn get<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes>;
    /// Merges; answers the accepted document.
    fn update<'a>(&'a self, thing: &'a str, shadow: &'a str, payload: Bytes) -> Later<'a, Bytes>;
    /// Deletes; answers no bytes, as the original does: version and time are told on `delete/accepted`.
    fn delete<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes>;
    /// Names of a thing's named shadows.
    fn list<'a>(&'a self, thing: &'a str, next_token: Option<&'a str>, page_size: Option<u32>)
    -> Later<'a, ShadowPage>;
    /// What a message published locally to `topic` asks of a shadow, if it does.
    fn request_of(&self, _topic: &str) -> Option<ShadowRequest> {
        None
    }
    /// Executes such a message; its answer is told on local topics. A publisher that is not `allowed` is told so there.
    fn request<'a>(&'a self, _topic: &'a str, _payload: Bytes, _allowed: bool) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A local message that asks something of a shadow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowRequest {
    /// The resource its publisher needs a right on.
    pub resource: String,
    /// What it asks.
    pub operation: ShadowOperation,
}

/// What can be asked of a shadow by a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowOperation {
    /// `get`.
    Get,
    /// `update`.
    Update,
    /// `delete`.
    Delete,
}

/// Which secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretQuery {
    /// Name or ARN.
    pub secret_id: String,
    /// Exact version.
    pub version_id: Option<String>,
    /// Staging label.
    pub version_stage: Option<String>,
    /// Fetch from the control plane first.
    pub refresh: bool,
}

/// The value of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretPayload {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretAnswer {
    /// Its ARN.
    pub arn: String,
    /// Version id.
    pub version_id: String,
    /// Its labels.
    pub version_stages: Vec<String>,
    /// The value.
    pub value: SecretPayload,
}

/// Secrets kept on the core.
pub trait Secrets: Send + Sync {
    /// The ARN that a name or ARN stands for, for the policy check.
    ///
    /// # Errors
    /// The secret is not kept here.
    fn arn_of(&self, secret_id: &str) -> Result<SmolStr, PortError>;
    /// The value.
    fn get(&self, query: SecretQuery) -> Later<'_, SecretAnswer>;
}

/// A server certificate for a broker component.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateUpdate {
    /// PEM.
    pub private_key: String,
    /// PEM.
    pub public_key: String,
    /// PEM.
    pub certificate: String,
    /// PEM each.
    pub ca_certificates: Vec<String>,
}

/// Credentials of a client device.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MqttCredential {
    /// MQTT client id.
    pub client_id: Option<String>,
    /// PEM.
    pub certificate_pem: Option<String>,
    /// Not used by certificates.
    pub username: Option<String>,
    /// Not used by certificates.
    pub password: Option<String>,
}

/// Client devices: who they are, what they may.
pub trait ClientDevices: Send + Sync {
    /// Server certificates for `component`; the first is the present one.
    ///
    /// # Errors
    /// No certificate authority yet.
    fn certificates(&self, component: &str) -> Result<mpsc::Receiver<CertificateUpdate>, PortError>;
    /// Whether a certificate belongs to an associated device.
    fn verify<'a>(&'a self, certificate_pem: &'a str) -> Later<'a, bool>;
    /// A session token for a device.
    fn auth_token(&self, credential: MqttCredential) -> Later<'_, String>;
    /// Whether the session may do `operation` (`mqtt:publish`) on `resource` (`mqtt:topic:a/b`).
    fn authorize<'a>(&'a self, token: &'a str, operation: &'a str, resource: &'a str) -> Later<'a, bool>;
}

/// One value of a component's metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentMetric {
    /// At most 32 bytes.
    pub name: String,
    /// `BYTES`, `COUNT`, ...
    pub unit: String,
    /// Not negative.
    pub value: f64,
}

/// Takes components' metrics.
pub trait Metrics: Send + Sync {
    /// Adds values.
    ///
    /// # Errors
    /// A name or value is out of range.
    fn put(&self, component: &str, metrics: Vec<ComponentMetric>) -> Result<(), PortError>;
}

/// A password for the local debug console (CR 7.3).
#[derive(Clone, PartialEq, Eq)]
pub struct DebugPassword {
    /// User name.
    pub username: String,
    /// The password.
    pub password: String,
    /// Seconds since the epoch.
    pub expires: i64,
    /// SHA-256 fingerprint of the console's certificate, when it has one of its own.
    pub certificate_sha256: Option<String>,
    /// SHA-1 fingerprint of it.
    pub certificate_sha1: Option<String>,
}

/// Gives out passwords for the local debug console.
pub trait DebugPasswords: Send + Sync {
    /// A fresh password; a service error while no console is deployed.
    fn create(&self) -> Later<'_, DebugPassword>;
}
