//! Registered certificates as the gate of the device HTTPS port.

use std::net::IpAddr;

use marram_aws_api::ApiError;
use marram_broker::Denied;
use marram_front::CertificateGate;
use marram_identity::Principal;
use marram_registry::DeviceAuthority;
use marram_types::CertificateId;

/// Lets in whom the registry knows.
pub struct RegisteredCertificates(pub DeviceAuthority);

impl CertificateGate for RegisteredCertificates {
    fn admit(&self, certificate: &CertificateId, source_ip: IpAddr) -> Result<Principal, ApiError> {
        self.0.principal(certificate, source_ip).map_err(|denied| match denied {
            Denied::Unavailable => {
                ApiError::new("ServiceUnavailableException", 503, "The service is temporarily unavailable")
            }
            _ => ApiError::new("ForbiddenException", 403, "The certificate is not registered and active"),
        })
    }
}
