//! What the registry says of a certificate at one moment.

use std::sync::Arc;

use marram_authz::{Policy, PolicyKind};
use marram_identity::CallError;
use marram_store::{Row, Snapshot, params};
use marram_types::{AccountId, CertificateId, Partition, Region};
use smol_str::SmolStr;

use super::policies::{PolicyCache, PolicyKey, PolicySet};
use crate::certificate;
use crate::realm::Realm;
use crate::thing;

/// Group names of a certificate that are remembered, for finding the sessions a group's change concerns.
const MAX_GROUPS: i64 = 1024;
/// Policies a certificate may collect from itself and its groups before it is refused as a whole: ten of its own and
/// those of the groups of its things (CP 4.4, 4.5).
const MAX_POLICIES: i64 = 1024;

/// The groups of a certificate's things, with their ancestors.
const GROUPS: &str = "WITH RECURSIVE chain (name) AS (
        SELECT m.group_name FROM iot_thing_principal p JOIN iot_group_member m
          ON m.account = p.account AND m.region = p.region AND m.thing = p.thing
        WHERE p.account = $1 AND p.region = $2 AND p.principal = $3
        UNION
        SELECT g.parent FROM iot_thing_group g JOIN chain c ON g.name = c.name
        WHERE g.account = $1 AND g.region = $2 AND g.parent IS NOT NULL)
    SELECT name FROM chain ORDER BY name LIMIT $4";

/// The versions in force of the policies of one target.
const POLICIES: &str = "SELECT a.policy, p.default_version, v.generation FROM iot_policy_attachment a
    JOIN iot_policy p ON p.account = a.account AND p.region = a.region AND p.name = a.policy
    JOIN iot_policy_version v ON v.account = p.account AND v.region = p.region AND v.policy = p.name
      AND v.version = p.default_version
    WHERE a.account = $1 AND a.region = $2 AND a.target = $3 LIMIT $4";

/// A certificate as the registry knows it.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// Whether it is ACTIVE.
    pub(super) active: bool,
    /// First second of its validity.
    pub(super) not_before: i64,
    /// Last second of its validity.
    pub(super) not_after: i64,
    /// The thing it is attached to exclusively.
    pub(super) exclusive_thing: Option<SmolStr>,
    /// The groups of its things and their ancestors.
    pub(super) groups: Box<[SmolStr]>,
    /// What its policies say.
    pub(super) policies: Arc<PolicySet>,
    /// Names of the policies attached to the certificate itself: the only ones that speak of the Greengrass data plane.
    pub(super) own_policies: Box<[SmolStr]>,
}

/// A thing, as far as policy variables read it.
#[derive(Debug, Clone)]
pub(super) struct ThingFacts {
    pub(super) name: SmolStr,
    pub(super) type_name: Option<SmolStr>,
    /// Attributes as stored; kept only when a policy may read them.
    pub(super) attributes: Option<String>,
}

/// Whose a certificate is: the one question that has no account yet.
pub(super) fn home(
    snapshot: &Snapshot<'_>,
    partition: &Partition,
    id: &CertificateId,
) -> Result<Option<Realm>, CallError> {
    snapshot.query_opt("SELECT account, region FROM iot_certificate_home WHERE id = $1", params![id], |row| {
        Ok(Realm { partition: partition.clone(), account: row.parse::<AccountId>(0)?, region: row.parse::<Region>(1)? })
    })
}

/// Reads a certificate's standing; `None` when this realm does not have it.
pub(super) fn read(
    snapshot: &Snapshot<'_>,
    cache: &PolicyCache,
    realm: &Realm,
    id: &str,
) -> Result<Option<Standing>, CallError> {
    let row = snapshot.query_opt(
        "SELECT status, not_before, not_after FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, id],
        |row| Ok::<_, CallError>((row.text(0)? == certificate::ACTIVE, row.get(1)?, row.get(2)?)),
    )?;
    let Some((active, not_before, not_after)) = row else { return Ok(None) };
    let resource = certificate::resource(id);
    let exclusive_thing = snapshot.query_opt(
        "SELECT thing FROM iot_thing_principal
         WHERE account = $1 AND region = $2 AND principal = $3 AND type = $4 LIMIT 1",
        params![realm.account, realm.region, resource, thing::EXCLUSIVE],
        |row| Ok::<_, CallError>(row.get::<SmolStr>(0)?),
    )?;
    let groups: Vec<SmolStr> =
        snapshot.query_all(GROUPS, params![realm.account, realm.region, resource, MAX_GROUPS], |row| {
            Ok::<_, CallError>(row.get(0)?)
        })?;
    let mut keys = keys_of(snapshot, realm, &resource)?;
    let own_policies = keys.iter().map(|key| key.name.clone()).collect();
    for group in &groups {
        keys.extend(keys_of(snapshot, realm, &format!("thinggroup/{group}"))?);
    }
    keys.sort();
    keys.dedup();
    Ok(Some(Standing {
        active,
        not_before,
        not_after,
        exclusive_thing,
        groups: groups.into(),
        own_policies,
        policies: cache.set(realm, keys, |key| document(snapshot, realm, key))?,
    }))
}

fn keys_of(snapshot: &Snapshot<'_>, realm: &Realm, target: &str) -> Result<Vec<PolicyKey>, CallError> {
    snapshot.query_all(POLICIES, params![realm.account, realm.region, target, MAX_POLICIES], key)
}

fn key(row: &Row<'_>) -> Result<PolicyKey, CallError> {
    Ok(PolicyKey { name: row.get(0)?, version: row.get(1)?, generation: row.get(2)? })
}

/// The version of a policy that is in force; `None` when the policy is gone.
pub(super) fn policy_in_force(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
) -> Result<Option<PolicyKey>, CallError> {
    snapshot.query_opt(
        "SELECT p.name, p.default_version, v.generation FROM iot_policy p
         JOIN iot_policy_version v ON v.account = p.account AND v.region = p.region AND v.policy = p.name
           AND v.version = p.default_version
         WHERE p.account = $1 AND p.region = $2 AND p.name = $3",
        params![realm.account, realm.region, name],
        key,
    )
}

/// A compiled document. One that no longer parses allows nothing: unknown means no.
pub(super) fn document(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    key: &PolicyKey,
) -> Result<Option<(Policy, String)>, CallError> {
    let text = snapshot.query_opt(
        "SELECT document FROM iot_policy_version WHERE account = $1 AND region = $2 AND policy = $3 AND version = $4",
        params![realm.account, realm.region, key.name, key.version],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    let Some(text) = text else { return Ok(None) };
    match Policy::parse(PolicyKind::Device, &key.name, &text) {
        Ok(policy) => Ok(Some((policy, text))),
        Err(error) => {
            tracing::error!(policy = %key.name, version = key.version, %error, "a stored policy does not parse");
            Ok(None)
        }
    }
}

/// The things a certificate is attached to, sorted.
pub(super) fn things_of_certificate(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    id: &str,
    limit: i64,
) -> Result<Vec<SmolStr>, CallError> {
    snapshot.query_all(
        "SELECT thing FROM iot_thing_principal WHERE account = $1 AND region = $2 AND principal = $3
         ORDER BY thing LIMIT $4",
        params![realm.account, realm.region, certificate::resource(id), limit],
        |row| Ok::<_, CallError>(row.get::<SmolStr>(0)?),
    )
}

/// The thing whose variables a connection sees: the exclusive one, or the attached one that the client id names
/// (CP 5.6). A core's further connections are named after it, `T#2` or `T#endpoint-switch` (CR 5.2): a policy that allows them names
/// the thing as well. HTTPS calls have no client id: there it is the only thing attached.
pub(super) fn thing_of(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    id: &str,
    standing: &Standing,
    client_id: Option<&str>,
) -> Result<Option<ThingFacts>, CallError> {
    let name = match (&standing.exclusive_thing, client_id) {
        (Some(name), _) => name.clone(),
        (None, None) => match things_of_certificate(snapshot, realm, id, 2)?.as_slice() {
            [only] => only.clone(),
            _ => return Ok(None),
        },
        (None, Some(client_id)) => {
            let named = client_id.split_once('#').map_or(client_id, |(thing, _)| thing);
            let attached = snapshot.query_opt(
                "SELECT thing FROM iot_thing_principal
                 WHERE account = $1 AND region = $2 AND thing = $3 AND principal = $4",
                params![realm.account, realm.region, named, certificate::resource(id)],
                |row| Ok::<_, CallError>(row.get::<SmolStr>(0)?),
            )?;
            match attached {
                Some(name) => name,
                None => return Ok(None),
            }
        }
    };
    let mut facts = ThingFacts { name, type_name: None, attributes: None };
    if standing.policies.reads_things()
        && let Some(row) = thing::find(snapshot, realm, &facts.name)?
    {
        facts.type_name = row.type_name.map(SmolStr::from);
        facts.attributes = Some(row.attributes);
    }
    Ok(Some(facts))
}

/// The certificate ids attached to a thing.
pub(super) fn certificates_of_thing(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
) -> Result<Vec<CertificateId>, CallError> {
    let principals = snapshot.query_all(
        "SELECT principal FROM iot_thing_principal WHERE account = $1 AND region = $2 AND thing = $3",
        params![realm.account, realm.region, name],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    Ok(principals.iter().filter_map(|p| certificate::id_of_resource(p)?.parse().ok()).collect())
}

/// A certificate's DER, for the variables that read it.
pub(super) fn der(snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<Option<Vec<u8>>, CallError> {
    snapshot.query_opt(
        "SELECT der FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, id],
        |row| Ok(row.get(0)?),
    )
}
