//! Work of the house itself: no caller, but an actor and an account all the same.

use marram_audit::{AuditRecord, Decision, EventType};
use marram_aws_api::ApiError;
use marram_store::{Snapshot, Tx};
use marram_types::{AccountId, Region, Timestamp};
use serde_json::Value;

use crate::error::CallError;
use crate::identity::Identity;
use crate::principal::Principal;

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

    /// Runs a mutation and appends its audit record in the same transaction; `event` names it: `SessionExpired`.
    ///
    /// # Errors
    /// What the closure answered, or the store's failure; then nothing is stored.
    pub async fn commit<T, F>(&self, event: &'static str, mutation: F) -> Result<T, ApiError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, CallError> + Send + 'static,
        T: Send + 'static,
    {
        self.commit_with(event, Value::Null, mutation).await
    }

    /// As [`SystemContext::commit`], with `details` in the record's `requestParameters`.
    ///
    /// # Errors
    /// As [`SystemContext::commit`].
    pub async fn commit_with<T, F>(&self, event: &'static str, details: Value, mutation: F) -> Result<T, ApiError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, CallError> + Send + 'static,
        T: Send + 'static,
    {
        let record = self.record(event, details);
        let write = move |tx: &mut Tx<'_>| {
            let done = mutation(tx)?;
            marram_audit::append(tx, record)?;
            Ok::<T, CallError>(done)
        };
        self.identity.store().write(write).await.map_err(ApiError::from)
    }

    /// Runs a mutation that leaves no audit record: positions in a journal, caches and other state that no principal
    /// owns and nobody would ask about.
    ///
    /// # Errors
    /// What the closure answered, or the store's failure.
    pub async fn commit_unrecorded<T, F>(&self, mutation: F) -> Result<T, ApiError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, CallError> + Send + 'static,
        T: Send + 'static,
    {
        self.identity.store().write(mutation).await.map_err(ApiError::from)
    }

    /// Reads from one consistent snapshot.
    ///
    /// # Errors
    /// What the closure answered, or the store's failure.
    pub fn read<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T, CallError>) -> Result<T, CallError> {
        self.identity.store().read(read)
    }

    fn record(&self, event: &'static str, details: Value) -> AuditRecord {
        let mut record = AuditRecord::new(
            self.account.clone(),
            self.region.clone(),
            self.now(),
            self.actor,
            event,
            Principal::service(self.account.clone(), self.actor).user_identity(),
        );
        record.source_ip_address = self.actor.to_owned();
        record.user_agent = self.actor.to_owned();
        record.request_parameters = details;
        record.event_type = EventType::ServiceEvent;
        record.decision = Decision::NotEvaluated;
        record
    }
}
