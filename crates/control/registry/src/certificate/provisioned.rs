//! Certificates that provisioning makes: waiting for activation, or good for minutes (CP 4.5, 5.10).

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_pki::Certificate;
use marram_store::{Tx, params};
use marram_types::Timestamp;

use super::{ACTIVE, MODE_DEFAULT, NewCertificate, PENDING_ACTIVATION, changed, insert, resource};
use crate::realm::Realm;
use crate::service::Registry;

/// Stores a certificate that works once it is activated.
///
/// # Errors
/// The store's.
pub fn insert_pending_certificate(
    tx: &mut Tx<'_>,
    realm: &Realm,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<(), CallError> {
    let status = PENDING_ACTIVATION;
    insert(tx, &NewCertificate { realm, certificate, status, mode: MODE_DEFAULT, ca_id: None, now })
}

/// Stores an ACTIVE certificate with a policy of its own, which is made when it does not exist. `policy`: name and document.
///
/// # Errors
/// `ResourceAlreadyExistsException` when there is a policy of this name that says something else.
pub fn insert_claim_certificate(
    registry: &Registry,
    tx: &mut Tx<'_>,
    realm: &Realm,
    certificate: &Certificate,
    policy: (&str, &str),
    now: Timestamp,
) -> Result<(), CallError> {
    insert(tx, &NewCertificate { realm, certificate, status: ACTIVE, mode: MODE_DEFAULT, ca_id: None, now })?;
    let (name, document) = policy;
    let known = tx.query_opt(
        "SELECT v.document FROM iot_policy p JOIN iot_policy_version v ON v.account = p.account
             AND v.region = p.region AND v.policy = p.name AND v.version = p.default_version
         WHERE p.account = $1 AND p.region = $2 AND p.name = $3",
        params![realm.account, realm.region, name],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    match known {
        Some(text) if text == document => {}
        Some(_) => {
            return Err(
                ApiError::already_exists(format!("Policy {name} exists and is not the one of this claim")).into()
            );
        }
        None => {
            let generation = uuid::Uuid::new_v4().to_string();
            tx.execute(
                "INSERT INTO iot_policy (account, region, name, default_version, last_version, generation, created_at,
                     modified_at)
                 VALUES ($1, $2, $3, 1, 1, $4, $5, $5)",
                params![realm.account, realm.region, name, generation, now],
            )?;
            tx.execute(
                "INSERT INTO iot_policy_version (account, region, policy, version, document, generation, created_at)
                 VALUES ($1, $2, $3, 1, $4, $5, $6)",
                params![realm.account, realm.region, name, document, generation, now],
            )?;
        }
    }
    let target = resource(&certificate.id().to_string());
    tx.execute(
        "INSERT INTO iot_policy_attachment (account, region, target, policy, attached_at) VALUES ($1, $2, $3, $4, $5)",
        params![realm.account, realm.region, target, name, now],
    )?;
    registry.changes().announce(tx, changed(realm, &target));
    Ok(())
}

/// Removes a certificate with whatever is attached to it; live sessions of it end.
///
/// # Errors
/// The store's.
pub fn remove_certificate(registry: &Registry, tx: &mut Tx<'_>, realm: &Realm, id: &str) -> Result<(), CallError> {
    let target = resource(id);
    for sql in [
        "DELETE FROM iot_policy_attachment WHERE account = $1 AND region = $2 AND target = $3",
        "DELETE FROM iot_thing_principal WHERE account = $1 AND region = $2 AND principal = $3",
    ] {
        tx.execute(sql, params![realm.account, realm.region, target])?;
    }
    tx.execute(
        "DELETE FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, id],
    )?;
    tx.execute(
        "DELETE FROM iot_certificate_home WHERE id = $1 AND account = $2 AND region = $3",
        params![id, realm.account, realm.region],
    )?;
    registry.changes().announce(tx, changed(realm, &target));
    Ok(())
}
