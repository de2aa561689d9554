//! Flow roles, as the things-graph service checks them when a deployment is made (TG 7.2).

use std::time::Duration;

use marram_identity::{CallError, Identity, ServiceAssume};
use marram_store::Snapshot;
use marram_things_graph::{Realm, Roles};

/// Roles of these identities.
#[derive(Debug)]
pub struct IdentityRoles(pub Identity);

impl Roles for IdentityRoles {
    fn trusts(&self, _: &Snapshot<'_>, realm: &Realm, role_arn: &str, service: &str) -> Result<bool, CallError> {
        let source_arn =
            format!("arn:{}:iotthingsgraph:{}:{}:Deployment/default/*", realm.partition, realm.region, realm.account);
        Ok(self.0.service_may_assume(&ServiceAssume {
            account: &realm.account,
            region: &realm.region,
            role_arn,
            service,
            session_name: "create-system-instance",
            source_arn: &source_arn,
            duration: Duration::ZERO,
            session_facts: &[],
        }))
    }
}
