//! One tenant's world: sessions by client id, subscriptions, retained messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marram_mqtt::ClientId;

use crate::authorize::Tenant;
use crate::rate::ConnectRates;
use crate::retained::Retained;
use crate::routes::Routes;
use crate::session::Session;

/// Client ids whose event counters are kept after their session is gone.
const VERSIONS_KEPT: usize = 100_000;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) tenant: Tenant,
    pub(crate) routes: Routes,
    sessions: Mutex<HashMap<ClientId, Arc<Session>>>,
    retained: Mutex<Retained>,
    connects: Mutex<ConnectRates>,
    versions: Mutex<HashMap<ClientId, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            routes: Routes::default(),
            sessions: Mutex::default(),
            retained: Mutex::default(),
            connects: Mutex::default(),
            versions: Mutex::default(),
        }
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, HashMap<ClientId, Arc<Session>>> {
        lock(&self.sessions)
    }

    /// The session of a client id, if there is one.
    pub(crate) fn session(&self, client_id: &str) -> Option<Arc<Session>> {
        self.sessions().get(client_id).cloned()
    }

    /// All sessions, for slow sweeps: the lock is held only to copy the list.
    pub(crate) fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.sessions().values().cloned().collect()
    }

    /// The next `versionNumber` of a client id's lifecycle events (CP 5.4).
    pub(crate) fn next_version(&self, client_id: &ClientId) -> u64 {
        let mut versions = lock(&self.versions);
        if versions.len() >= VERSIONS_KEPT && !versions.contains_key(client_id) {
            // Consumers order the events of one client by time as well; a counter that starts again is harmless.
            versions.clear();
        }
        let version = versions.entry(client_id.clone()).or_insert(0);
        *version += 1;
        *version - 1
    }

    pub(crate) fn retained(&self) -> MutexGuard<'_, Retained> {
        lock(&self.retained)
    }

    pub(crate) fn connects(&self) -> MutexGuard<'_, ConnectRates> {
        lock(&self.connects)
    }
}
