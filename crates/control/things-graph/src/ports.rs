//! What the service needs of its neighbours: things and roles.

use std::collections::BTreeMap;
use std::fmt::Debug;

use marram_identity::CallError;
use marram_store::Snapshot;

use crate::realm::Realm;

/// A thing of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThingFacts {
    /// Its ARN.
    pub arn: String,
    /// Its attributes; `modbusTcp` = `host:port` makes a Modbus device reachable.
    pub attributes: BTreeMap<String, String>,
}

/// The registry, as far as things are looked up.
pub trait Things: Send + Sync + Debug {
    /// The thing called `name` in this realm, seen through the same snapshot as everything else of the call.
    ///
    /// # Errors
    /// The store's failure.
    fn find(&self, snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<ThingFacts>, CallError>;
}

/// Roles that flows act with.
pub trait Roles: Send + Sync + Debug {
    /// Whether the role exists in this account and its trust policy lets this service assume it on behalf of the
    /// deployment `source_arn`.
    fn trusts(&self, realm: &Realm, role_arn: &str, source_arn: &str) -> bool;
}
