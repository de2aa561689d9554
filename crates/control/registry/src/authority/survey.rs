//! Every certificate of a place asked at once: which devices could do this, and which documents speak for one.

use std::net::{IpAddr, Ipv4Addr};

use marram_authz::{ConditionValues, Decision, Outcome};
use marram_identity::{CallError, DeviceDecisions};
use marram_store::params;
use marram_types::{AccountId, CertificateId, Region};
use smol_str::SmolStr;

use super::{DeviceAuthority, standing};
use crate::certificate;
use crate::realm::Realm;

/// What was decided for one certificate of a [`DeviceAuthority::survey`].
#[derive(Clone, Debug)]
pub struct SurveyedDevice {
    /// ARN of the certificate.
    pub arn: String,
    /// The thing it spoke as.
    pub thing: Option<SmolStr>,
    /// Yes, or a statement that says no.
    pub decision: Decision,
}

impl DeviceAuthority {
    /// The active certificates of a place that a statement allows or forbids `action` on `resource`, and whether there
    /// are more than the first `limit` that were asked. A question about `client/NAME` is asked as the client NAME, any
    /// other one as HTTPS asks it.
    ///
    /// # Errors
    /// The store's.
    pub fn survey(
        &self,
        account: &AccountId,
        region: &Region,
        action: &str,
        resource: &str,
        limit: usize,
    ) -> Result<(Vec<SurveyedDevice>, bool), CallError> {
        let realm = self.realm(account, region);
        let now = self.inner.clock.now().as_secs();
        let ids: Vec<CertificateId> = self.inner.store.read(|snapshot| {
            snapshot.query_all(
                "SELECT id FROM iot_certificate
                 WHERE account = $1 AND region = $2 AND status = $3 AND not_before <= $4 AND not_after >= $4
                 ORDER BY id LIMIT $5",
                params![account, region, certificate::ACTIVE, now, i64::try_from(limit + 1).unwrap_or(i64::MAX)],
                |row| Ok::<_, CallError>(row.parse(0)?),
            )
        })?;
        let client = resource.rsplit_once(":client/").map(|(_, name)| name);
        let more = ids.len() > limit;
        let mut found = Vec::new();
        for id in ids.into_iter().take(limit) {
            // One that was revoked a moment ago is no answer.
            let Ok(session) = self.session(&id, client, IpAddr::V4(Ipv4Addr::LOCALHOST)) else { continue };
            let decision = DeviceDecisions::decide(&*session, action, resource, &ConditionValues::new());
            if !matches!(decision.outcome, Outcome::ImplicitDeny(_)) {
                let arn = realm.certificate_arn(session.certificate_id());
                found.push(SurveyedDevice { arn, thing: session.thing(), decision });
            }
        }
        Ok((found, more))
    }

    /// Name and document of every policy in force that speaks for a certificate of this place; `None` when there is no
    /// such certificate.
    ///
    /// # Errors
    /// The store's.
    pub fn documents_of(
        &self,
        account: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Result<Option<Vec<(String, String)>>, CallError> {
        let realm = self.realm(account, region);
        let Some(id) = arn.rsplit_once(":cert/").map(|(_, id)| id).filter(|id| realm.certificate_arn(id) == arn) else {
            return Ok(None);
        };
        self.inner.store.read(|snapshot| {
            let Some(standing) = standing::read(snapshot, &self.inner.policies, &realm, id)? else { return Ok(None) };
            let mut documents = Vec::new();
            for key in standing.policies.keys() {
                if let Some((_, text)) = standing::document(snapshot, &realm, key)? {
                    documents.push((key.name.to_string(), text));
                }
            }
            Ok(Some(documents))
        })
    }

    fn realm(&self, account: &AccountId, region: &Region) -> Realm {
        Realm { partition: self.inner.partition.clone(), account: account.clone(), region: region.clone() }
    }
}
