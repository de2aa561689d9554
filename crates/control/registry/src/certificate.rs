//! Device certificates: issued here or registered from elsewhere, and their states (CP 4.5).
//!
//! ```text
//! ACTIVE <-> INACTIVE          REVOKED is final; PENDING_TRANSFER and PENDING_ACTIVATION are set by services only
//!    \          /
//!     -> REVOKED
//! ```

mod attached;
mod delete;
mod describe;
mod issue;
mod list;
mod provisioned;
mod register;
mod update;

pub use attached::{active_certificate_things, active_certificates_of_thing};
pub(crate) use delete::delete_certificate;
pub(crate) use describe::describe_certificate;
pub(crate) use issue::{create_certificate_from_csr, create_keys_and_certificate};
pub(crate) use list::{list_certificates, list_certificates_by_ca};
pub use provisioned::{insert_claim_certificate, insert_pending_certificate, remove_certificate};
pub(crate) use register::{register_certificate, register_certificate_without_ca};
pub(crate) use update::update_certificate;

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_pki::{Certificate, PkiError};
use marram_store::{Snapshot, Tx, params};
use marram_types::{CertificateId, Timestamp};

use crate::change::Change;
use crate::input::Input;
use crate::realm::{Realm, shown};

/// The only state that may connect.
pub(crate) const ACTIVE: &str = "ACTIVE";
/// Known, but may not connect.
pub(crate) const INACTIVE: &str = "INACTIVE";
/// May never connect again.
pub(crate) const REVOKED: &str = "REVOKED";
/// Issued to a device that has yet to prove itself.
pub(crate) const PENDING_ACTIVATION: &str = "PENDING_ACTIVATION";
/// Input of older clients for [`INACTIVE`].
const REGISTER_INACTIVE: &str = "REGISTER_INACTIVE";

/// Known with its CA, or issued here.
pub(crate) const MODE_DEFAULT: &str = "DEFAULT";
/// Registered without a CA.
const MODE_SNI_ONLY: &str = "SNI_ONLY";

/// A certificate to store.
pub(crate) struct NewCertificate<'a> {
    pub(crate) realm: &'a Realm,
    pub(crate) certificate: &'a Certificate,
    pub(crate) status: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) ca_id: Option<&'a str>,
    pub(crate) now: Timestamp,
}

impl Realm {
    /// `arn:…:cert/{id}`.
    pub(crate) fn certificate_arn(&self, id: &str) -> String {
        self.arn(resource(id))
    }
}

/// `cert/{id}`.
pub(crate) fn resource(id: &str) -> String {
    format!("cert/{id}")
}

/// The certificate id in `cert/{id}`; `None` for any other resource.
pub(crate) fn id_of_resource(resource: &str) -> Option<&str> {
    let id = resource.strip_prefix("cert/")?;
    id.parse::<CertificateId>().ok().filter(|parsed| parsed.to_string() == id).map(|_| id)
}

/// The change that live sessions of `cert/{id}` must hear of.
pub(crate) fn changed(realm: &Realm, resource: &str) -> Change {
    Change::Certificate(realm.clone(), resource.strip_prefix("cert/").unwrap_or(resource).to_owned())
}

/// The certificate id of a request: lower hex, a `0x` in front dropped.
fn read_id(input: &Input, member: &str) -> Result<String, ApiError> {
    let text = input.required(member)?;
    text.to_ascii_lowercase()
        .parse::<CertificateId>()
        .map(|id| id.to_string())
        .map_err(|_| ApiError::invalid_request(format!("Invalid certificate id: {}", shown(text))))
}

/// The status of a certificate.
fn status(snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<String, CallError> {
    snapshot
        .query_opt(
            "SELECT status FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?
        .ok_or_else(|| not_found(id).into())
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("Certificate {id} does not exist"))
}

/// Refuses `cert/{id}` of a certificate this account does not have.
pub(crate) fn must_exist(snapshot: &Snapshot<'_>, realm: &Realm, resource: &str) -> Result<(), CallError> {
    let id = id_of_resource(resource).unwrap_or(resource);
    status(snapshot, realm, id).map(|_| ())
}

/// Stores a certificate. One installation knows a certificate once: the handshake names no account, so the certificate
/// must.
pub(crate) fn insert(tx: &mut Tx<'_>, new: &NewCertificate<'_>) -> Result<(), CallError> {
    let NewCertificate { realm, certificate, status, mode, ca_id, now } = new;
    let id = certificate.id().to_string();
    let home = tx.execute(
        "INSERT INTO iot_certificate_home (id, account, region) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        params![id, realm.account, realm.region],
    )?;
    if home == 0 {
        let mut error =
            ApiError::already_exists("The certificate is already registered").with("resourceId", id.as_str());
        let ours = tx.query_opt(
            "SELECT 1 FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
            |row| Ok::<_, CallError>(row.get::<i64>(0)?),
        )?;
        if ours.is_some() {
            error = error.with("resourceArn", realm.certificate_arn(&id));
        }
        return Err(error.into());
    }
    tx.execute(
        "INSERT INTO iot_certificate (account, region, id, der, status, mode, ca_id, not_before, not_after,
             customer_version, generation, created_at, modified_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $11)",
        params![
            realm.account,
            realm.region,
            id,
            *certificate.der(),
            *status,
            *mode,
            *ca_id,
            certificate.not_before(),
            certificate.not_after(),
            uuid::Uuid::new_v4().to_string(),
            now
        ],
    )?;
    Ok(())
}

/// What a refused certificate or request is called on the wire.
pub(crate) fn invalid_certificate(error: &PkiError) -> ApiError {
    ApiError::new("CertificateValidationException", 400, format!("The certificate is not valid: {error}"))
}

/// 406: the state of a certificate stands in the way.
pub(crate) fn state_error(message: impl Into<String>) -> ApiError {
    ApiError::new("CertificateStateException", 406, message)
}
