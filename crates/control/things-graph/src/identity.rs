//! Roles as the identity service knows them.

use std::time::Duration;

use marram_identity::{Identity, ServiceAssume};

use crate::ports::Roles;
use crate::realm::Realm;
use crate::service::SERVICE_PRINCIPAL;

/// How long flow sessions last (TG 11.3).
const SESSION: Duration = Duration::from_secs(3600);

/// The directory of identities behind the [`Roles`] port.
#[derive(Clone, Debug)]
pub struct IdentityRoles(pub Identity);

impl Roles for IdentityRoles {
    fn trusts(&self, realm: &Realm, role_arn: &str, source_arn: &str) -> bool {
        self.0.service_may_assume(&ServiceAssume {
            service: SERVICE_PRINCIPAL,
            account: &realm.account,
            region: &realm.region,
            role_arn,
            session_name: "flow",
            source_arn,
            duration: SESSION,
            session_facts: &[],
        })
    }
}
