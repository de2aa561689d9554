//! Certificates with live sessions, so that a change finds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use marram_types::CertificateId;

use super::session::DeviceSession;
use super::standing::Standing;
use crate::realm::Realm;

/// A certificate with at least one live session, or one about to be.
#[derive(Debug)]
pub(super) struct LivePrincipal {
    pub(super) realm: Realm,
    pub(super) id: CertificateId,
    /// Held while the registry is read and the sessions are bound, so that the last to read is the last to write.
    pub(super) state: Mutex<LiveState>,
}

/// What is known of it, and who uses it.
#[derive(Debug, Default)]
pub(super) struct LiveState {
    pub(super) standing: Option<Arc<Standing>>,
    pub(super) sessions: Vec<Weak<DeviceSession>>,
}

impl LivePrincipal {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveState {
    /// The sessions that still exist.
    pub(super) fn sessions(&mut self) -> Vec<Arc<DeviceSession>> {
        let mut alive = Vec::with_capacity(self.sessions.len());
        self.sessions.retain(|session| match session.upgrade() {
            Some(session) => {
                alive.push(session);
                true
            }
            None => false,
        });
        alive
    }
}

/// Every certificate with a live session. Sessions hold their principal; this table only finds it.
#[derive(Debug, Default)]
pub(super) struct LivePrincipals {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    principals: HashMap<CertificateId, Weak<LivePrincipal>>,
    sweep_at: usize,
}

/// Entries below which no sweep is worth it.
const SWEEP_MIN: usize = 1024;

impl LivePrincipals {
    /// The entry of a certificate, made when it is the first session's.
    pub(super) fn enter(&self, realm: &Realm, id: &CertificateId) -> Arc<LivePrincipal> {
        let mut table = self.lock();
        if let Some(principal) = table.principals.get(id).and_then(Weak::upgrade)
            && principal.realm == *realm
        {
            return principal;
        }
        let principal = Arc::new(LivePrincipal { realm: realm.clone(), id: *id, state: Mutex::default() });
        table.principals.insert(*id, Arc::downgrade(&principal));
        table.sweep();
        principal
    }

    /// The entry of a certificate, if it has live sessions.
    pub(super) fn get(&self, id: &CertificateId) -> Option<Arc<LivePrincipal>> {
        self.lock().principals.get(id).and_then(Weak::upgrade)
    }

    /// Every entry of a realm.
    pub(super) fn all(&self, realm: &Realm) -> Vec<Arc<LivePrincipal>> {
        let table = self.lock();
        table.principals.values().filter_map(Weak::upgrade).filter(|principal| principal.realm == *realm).collect()
    }

    /// Certificates with live sessions.
    pub(super) fn len(&self) -> usize {
        self.lock().principals.values().filter(|principal| principal.strong_count() > 0).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn sweep(&mut self) {
        if self.principals.len() < self.sweep_at.max(SWEEP_MIN) {
            return;
        }
        self.principals.retain(|_, principal| principal.strong_count() > 0);
        self.sweep_at = 2 * self.principals.len();
    }
}
