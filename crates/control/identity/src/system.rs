//! Work of the house itself: no caller, but an actor and an account all the same.

use marram_aws_api::ApiError;
use marram_store::{Snapshot, Tx};
use marram_types::{AccountId, Region, Timestamp};

use crate::error::CallError;
use crate::identity::Identity;

/// The door to storage for background tasks. Each commit is audited as an `AwsServiceEvent` of `actor`.
#[derive(Debug, Clone)]
pub struct SystemContext {
    /// Account worked for.
    pub account: AccountId,
    /// Region worked in.
    pub region: Region,
    /// Who works: `iotthingsgraph.amazonaws.com`.
    pub actor: &'static str,
    identity: Identity,
}

impl SystemContext {
    pub(crate) fn new(identity: Identity, actor: &'static str, account: AccountId, region: Region) -> SystemContext {
        SystemContext { account, region, actor, identity }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.identity.now()
    }

    /// Runs a mutation; `event` names it in the audit log: `DeploymentStatusChanged`, `SessionExpired`.
    ///
    /// # Errors
    /// What the closure answered, or the store's failure.
    pub async fn commit<T, F>(&self, event: &'static str, mutation: F) -> Result<T, ApiError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, CallError> + Send + 'static,
        T: Send + 'static,
    {
        tracing::debug!(actor = self.actor, event, "system commit");
        self.identity.store().write(mutation).await.map_err(ApiError::from)
    }

    /// Reads from one consistent snapshot.
    ///
    /// # Errors
    /// What the closure answered, or the store's failure.
    pub fn read<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T, CallError>) -> Result<T, CallError> {
        self.identity.store().read(read)
    }
}
