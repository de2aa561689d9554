//! The handle everything starts from: who exists, who may do what.

use std::sync::Arc;

use marram_store::Store;
use marram_types::{AccountId, Partition, Region, SharedClock, Timestamp};

use crate::context::{CallContext, CallFacts};
use crate::principal::Principal;
use crate::system::SystemContext;

/// Identities and permissions of an installation; a cheap clone.
#[derive(Clone, Debug)]
pub struct Identity {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: SharedClock,
    partition: Partition,
}

impl Identity {
    /// Identities kept in `store`.
    pub fn new(store: Store, clock: SharedClock, partition: Partition) -> Identity {
        Identity { inner: Arc::new(Inner { store, clock, partition }) }
    }

    /// Begins a call of a proven principal.
    pub fn context(&self, principal: Principal, facts: CallFacts) -> CallContext {
        CallContext::new(self.clone(), principal, facts)
    }

    /// Begins work of the house itself, in the name of `actor` (`iotthingsgraph.amazonaws.com`).
    pub fn system(&self, actor: &'static str, account: AccountId, region: Region) -> SystemContext {
        SystemContext::new(self.clone(), actor, account, region)
    }

    /// The partition of every ARN made here.
    pub fn partition(&self) -> &Partition {
        &self.inner.partition
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }
}
