//! Certificate authorities of other makers, registered to vouch for device certificates (CP 4.5, 4.8).

mod describe;
mod newcomer;
mod register;
mod registration_code;
mod update;

pub(crate) use describe::{describe_ca_certificate, list_ca_certificates};
pub use newcomer::{Newcomers, RegisteringCa, find_registering_ca, insert_newcomer};
pub(crate) use register::register_ca_certificate;
pub(crate) use registration_code::{delete_registration_code, get_registration_code};
pub(crate) use update::{delete_ca_certificate, update_ca_certificate};

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues};
use marram_store::{Snapshot, params};
use marram_types::CertificateId;

use crate::input::Input;
use crate::realm::{Realm, shown};
use crate::tag;

/// CAs of one subject name (CP 4.5).
const MAX_PER_SUBJECT: i64 = 10;
/// Who assumes the role of a registration configuration: `iam:PassedToService`.
const PASSED_TO: &str = "iot.amazonaws.com";

/// A registered CA, as far as registering device certificates needs it.
pub(crate) struct CaRow {
    /// Certificate id.
    pub(crate) id: String,
    /// Its DER.
    pub(crate) der: Vec<u8>,
    /// `ACTIVE` or `INACTIVE`.
    pub(crate) status: String,
}

impl Realm {
    /// `arn:…:cacert/{id}`.
    fn ca_arn(&self, id: &str) -> String {
        self.arn(resource(id))
    }
}

fn resource(id: &str) -> String {
    format!("cacert/{id}")
}

/// The CAs with this subject.
pub(crate) fn with_subject(snapshot: &Snapshot<'_>, realm: &Realm, subject: &[u8]) -> Result<Vec<CaRow>, CallError> {
    snapshot.query_all(
        "SELECT id, der, status FROM iot_ca_certificate WHERE account = $1 AND region = $2 AND subject = $3
         ORDER BY id LIMIT $4",
        params![realm.account, realm.region, *subject, MAX_PER_SUBJECT],
        |row| Ok(CaRow { id: row.get(0)?, der: row.get(1)?, status: row.get(2)? }),
    )
}

/// The CA certificate id of a request.
fn read_id(input: &Input) -> Result<String, ApiError> {
    let text = input.required("certificateId")?;
    text.to_ascii_lowercase()
        .parse::<CertificateId>()
        .map(|id| id.to_string())
        .map_err(|_| ApiError::invalid_request(format!("Invalid CA certificate id: {}", shown(text))))
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("CA certificate {id} does not exist"))
}

fn conditions(ctx: &CallContext, realm: &Realm, id: &str) -> Result<ConditionValues, ApiError> {
    tag::resource_conditions(ctx, realm, &resource(id))
}
