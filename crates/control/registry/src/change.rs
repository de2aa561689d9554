//! What changed in the registry that live device sessions depend on.
//!
//! Operations announce a change inside their transaction; it is heard only once the transaction is durable. Changes that
//! are still waiting are merged, so the feed is bounded by the number of distinct resources.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use marram_store::Tx;
use tokio::sync::Notify;

use crate::realm::Realm;

/// A resource whose change may alter what a device is allowed to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Change {
    /// Status, attached policies or attached things of a certificate.
    Certificate(Realm, String),
    /// Default version of a policy.
    Policy(Realm, String),
    /// Policies attached to a thing group.
    Group(Realm, String),
    /// Type, attributes or group memberships of a thing.
    Thing(Realm, String),
}

/// Where changes wait for the device authority. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangeFeed {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pending: Mutex<HashSet<Change>>,
    arrived: Notify,
}

impl ChangeFeed {
    /// Makes the change known once this transaction is durable.
    pub(crate) fn announce(&self, tx: &mut Tx<'_>, change: Change) {
        let inner = Arc::clone(&self.inner);
        tx.after_commit(move || {
            inner.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(change);
            inner.arrived.notify_one();
        });
    }

    /// Waits for changes and takes all that are there.
    pub(crate) async fn take(&self) -> HashSet<Change> {
        loop {
            let changes = std::mem::take(&mut *self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner));
            if !changes.is_empty() {
                return changes;
            }
            self.inner.arrived.notified().await;
        }
    }
}
