//! Certificates that nobody registered, of CAs that register by themselves: JITR and JITP (CP 4.8).

use marram_identity::{BoxFuture, CallError};
use marram_pki::Certificate;
use marram_store::{Snapshot, Tx, params};
use marram_types::{AccountId, Partition, Region, Timestamp};
use serde_json::Value;

use crate::certificate::{ACTIVE, MODE_DEFAULT, NewCertificate, PENDING_ACTIVATION, insert};
use crate::realm::Realm;

/// CAs of one subject that are looked at, over all accounts.
const MAX_CANDIDATES: i64 = 100;

/// Takes up certificates whose key was proved and that no account knows. Whatever comes of it, the connection is refused; the
/// device tries again.
pub trait Newcomers: Send + Sync {
    /// A certificate that was presented, DER.
    fn seen<'a>(&'a self, der: &'a [u8]) -> BoxFuture<'a, ()>;
}

/// A CA that vouches for an unknown certificate.
#[derive(Debug, Clone)]
pub struct RegisteringCa {
    /// Whose CA it is.
    pub realm: Realm,
    /// Its certificate id.
    pub id: String,
    /// `registrationConfig`: `templateBody` or `templateName`, and `roleArn`. An empty object without one.
    pub registration: Value,
}

/// The ACTIVE CA with automatic registration that signed `certificate`, of those whose key an account has proven to hold.
/// `None` when there is none, or when several accounts claim it: then nobody can say whose device it is.
///
/// # Errors
/// The store's.
pub fn find_registering_ca(
    snapshot: &Snapshot<'_>,
    partition: &Partition,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<Option<RegisteringCa>, CallError> {
    let rows = snapshot.query_all(
        "SELECT account, region, id, der, registration FROM iot_ca_certificate
         WHERE subject = $1 AND status = $2 AND mode = $3 AND auto_registration = 'ENABLE' LIMIT $4",
        params![*certificate.issuer().der(), ACTIVE, MODE_DEFAULT, MAX_CANDIDATES],
        |row| {
            let realm = Realm {
                partition: partition.clone(),
                account: row.parse::<AccountId>(0)?,
                region: row.parse::<Region>(1)?,
            };
            let registration = row.get::<Option<String>>(4)?.and_then(|text| serde_json::from_str(&text).ok());
            let ca = RegisteringCa { realm, id: row.get(2)?, registration: registration.unwrap_or_default() };
            Ok::<_, CallError>((ca, row.get::<Vec<u8>>(3)?))
        },
    )?;
    let signed = |der: &[u8]| {
        Certificate::from_der(der)
            .is_ok_and(|ca| ca.is_valid_at(now.as_secs()) && certificate.verify_issued_by(&ca).is_ok())
    };
    let mut found = rows.into_iter().filter(|(_, der)| signed(der)).map(|(ca, _)| ca);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(Some(only)),
        _ => Ok(None),
    }
}

/// Stores a certificate that its CA vouches for; it waits for activation.
///
/// # Errors
/// `ResourceAlreadyExistsException` when it is known by now.
pub fn insert_newcomer(
    tx: &mut Tx<'_>,
    ca: &RegisteringCa,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<(), CallError> {
    let (realm, ca_id) = (&ca.realm, Some(ca.id.as_str()));
    insert(tx, &NewCertificate { realm, certificate, status: PENDING_ACTIVATION, mode: MODE_DEFAULT, ca_id, now })
}
