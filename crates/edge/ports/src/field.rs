//! What the control plane knows of the devices around a core, over mTLS (CC 2.3, 2.5.4 to 2.5.6).

use crate::{DataPlaneError, Later};

/// An address under which client devices find the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreEndpoint {
    /// Its name in the list, unique there.
    pub id: String,
    /// Name or address.
    pub host: String,
    /// Port of the local broker.
    pub port: u16,
    /// Handed to devices as it is.
    pub metadata: String,
}

/// The control plane's side of client devices. Answers are its word; errors mean that it could not be asked, or that the
/// core may not ask.
pub trait DeviceCloud: Send + Sync {
    /// `VerifyClientDeviceIdentity`: whether the certificate (PEM) is active and a device's of this core.
    fn is_registered<'a>(&'a self, certificate_pem: &'a str) -> Later<'a, bool, DataPlaneError>;
    /// `VerifyClientDeviceIoTCertificateAssociation`: whether the certificate is active and attached to the thing, and the
    /// thing associated with this core.
    fn is_associated<'a>(&'a self, thing: &'a str, certificate_id: &'a str) -> Later<'a, bool, DataPlaneError>;
    /// `PutCertificateAuthorities`: what devices that discover this core will trust, PEM, one certificate each.
    fn put_authorities(&self, certificates: Vec<String>) -> Later<'_, (), DataPlaneError>;
    /// `GetConnectivityInfo`: the addresses devices are told.
    fn endpoints(&self) -> Later<'_, Vec<CoreEndpoint>, DataPlaneError>;
    /// `UpdateConnectivityInfo`: replaces them.
    fn put_endpoints(&self, endpoints: Vec<CoreEndpoint>) -> Later<'_, (), DataPlaneError>;
}
