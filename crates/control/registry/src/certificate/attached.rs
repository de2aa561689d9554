//! What other services ask about a certificate: may it act, and for whom.

use marram_identity::CallError;
use marram_store::{Snapshot, params};

use super::{ACTIVE, id_of_resource, resource};
use crate::realm::Realm;

/// The things a registered, ACTIVE certificate is attached to, sorted; none when it is neither.
///
/// # Errors
/// The store's failure.
pub fn active_certificate_things(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    certificate_id: &str,
) -> Result<Vec<String>, CallError> {
    snapshot.query_all(
        "SELECT p.thing FROM iot_thing_principal p
         JOIN iot_certificate c ON c.account = p.account AND c.region = p.region AND c.id = $4
         WHERE p.account = $1 AND p.region = $2 AND p.principal = $3 AND c.status = $5 ORDER BY p.thing",
        params![realm.account, realm.region, resource(certificate_id), certificate_id, ACTIVE],
        |row| Ok::<_, CallError>(row.get(0)?),
    )
}

/// The ids of the ACTIVE certificates attached to a thing, sorted.
///
/// # Errors
/// The store's failure.
pub fn active_certificates_of_thing(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    thing: &str,
) -> Result<Vec<String>, CallError> {
    let attached = snapshot.query_all(
        "SELECT principal FROM iot_thing_principal WHERE account = $1 AND region = $2 AND thing = $3 ORDER BY principal",
        params![realm.account, realm.region, thing],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    let mut active = Vec::new();
    for id in attached.iter().filter_map(|principal| id_of_resource(principal)) {
        let status = snapshot.query_opt(
            "SELECT status FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )?;
        if status.is_some_and(|status| status == ACTIVE) {
            active.push(id.to_owned());
        }
    }
    Ok(active)
}
