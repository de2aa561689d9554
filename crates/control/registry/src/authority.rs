//! What devices may do: the broker's `Authenticator` over the registry (CP 5.3, 5.6; SEC-31, SEC-39).
//!
//! ```text
//! handshake -> certificate id -> home (account, region) -> status, validity -> policies of the certificate and of the
//!   static groups of its things -> bound to client id, thing, certificate, address -> SessionAuthority
//! ```
//!
//! Everything is read from the store when a device connects; what is kept in memory belongs to live sessions. A change in
//! the registry reaches them through the change feed: the sessions concerned are bound anew, their version moves on, and
//! the broker is told to ask again ([`LiveSessions`]).

mod facts;
mod policies;
mod principal;
mod session;
mod standing;
mod survey;
mod watch;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use marram_audit::Audit;
use marram_broker::{Authenticating, Authenticator, Denied, PeerInfo, SessionAuthority, Tenant};
use marram_identity::Principal;
use marram_mqtt::Connect;
use marram_store::Store;
use marram_types::{CertificateId, Partition, SharedClock};

use crate::ca::Newcomers;
use crate::change::ChangeFeed;
use crate::realm::Realm;
use crate::service::Registry;
use policies::PolicyCache;
use principal::LivePrincipals;
pub use session::DeviceSession;
pub use survey::SurveyedDevice;

/// Things of one certificate that a call knows of.
const MAX_THINGS: i64 = 1000;

/// Whoever holds the connections: told when a session's permissions changed.
pub trait LiveSessions: Send + Sync {
    /// Asks the authority of this connection again, and cuts it when it may no longer connect.
    fn reauthorize(&self, tenant: &Tenant, client_id: &str);
}

/// Decides for devices. A cheap clone.
#[derive(Clone, Debug)]
pub struct DeviceAuthority {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    partition: Partition,
    clock: SharedClock,
    audit: Option<Audit>,
    changes: ChangeFeed,
    policies: PolicyCache,
    live: LivePrincipals,
    newcomers: OnceLock<Arc<dyn Newcomers>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceAuthority")
    }
}

impl Realm {
    /// The broker's name for this place.
    pub fn tenant(&self) -> Tenant {
        Tenant::new(&format!("{}/{}", self.account, self.region))
    }
}

impl DeviceAuthority {
    /// An authority over the tables of `registry`; `store` and `partition` are those the registry's calls run with. With an audit log, denials are recorded.
    pub fn new(
        registry: &Registry,
        store: Store,
        partition: Partition,
        clock: SharedClock,
        audit: Option<Audit>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                partition,
                clock,
                audit,
                changes: registry.changes().clone(),
                policies: PolicyCache::default(),
                live: LivePrincipals::default(),
                newcomers: OnceLock::new(),
            }),
        }
    }

    /// The permissions of a certificate whose key was proved, for a connection from `source`. `client_id` is the MQTT
    /// client id or, over HTTPS, absent.
    ///
    /// # Errors
    /// [`Denied::NotAuthorized`] when the certificate is unknown, not ACTIVE or outside its validity;
    /// [`Denied::Unavailable`] when the store fails.
    pub fn session(
        &self,
        certificate: &CertificateId,
        client_id: Option<&str>,
        source: IpAddr,
    ) -> Result<Arc<DeviceSession>, Denied> {
        session::open(&self.inner, certificate, client_id, source)
    }

    /// Names who takes up certificates that nobody registered; the first call counts. Without it they are only refused.
    pub fn greet(&self, newcomers: Arc<dyn Newcomers>) {
        let _: Result<(), _> = self.inner.newcomers.set(newcomers);
    }

    /// The caller that a certificate stands for on device HTTPS.
    ///
    /// # Errors
    /// As [`DeviceAuthority::session`].
    pub fn principal(&self, certificate: &CertificateId, source: IpAddr) -> Result<Principal, Denied> {
        let session = self.session(certificate, None, source)?;
        let realm = session.realm();
        let id = session.certificate_id();
        let things = self
            .inner
            .store
            .read(|snapshot| standing::things_of_certificate(snapshot, realm, id, MAX_THINGS))
            .map_err(|error| {
                tracing::error!(%error, "the registry cannot be read");
                Denied::Unavailable
            })?;
        let (account, arn) = (realm.account.clone(), realm.certificate_arn(id));
        Ok(Principal::device(account, &arn, id, things.into(), Arc::clone(&session) as _))
    }

    /// Applies changes of the registry to live sessions; runs until dropped. Spawn it once, after the broker has started.
    pub async fn watch(&self, sessions: Arc<dyn LiveSessions>) {
        watch::run(Arc::clone(&self.inner), sessions).await;
    }

    /// Hands an unknown certificate to whoever takes up newcomers.
    async fn introduce(&self, certificate: &CertificateId, peer: &PeerInfo) {
        let (Some(newcomers), Some(der)) = (self.inner.newcomers.get(), peer.chain.first()) else { return };
        let home = self.inner.store.read(|snapshot| standing::home(snapshot, &self.inner.partition, certificate));
        if matches!(home, Ok(None)) {
            newcomers.seen(der).await;
        }
    }

    /// Certificates with live sessions.
    pub fn live_principals(&self) -> usize {
        self.inner.live.len()
    }
}

impl Authenticator for DeviceAuthority {
    fn authenticate<'a>(&'a self, peer: &'a PeerInfo, connect: &'a Connect) -> Authenticating<'a> {
        Box::pin(async move {
            let fingerprint = peer.fingerprint.as_ref().ok_or(Denied::NotAuthorized)?;
            let certificate = CertificateId::from_bytes(fingerprint.0);
            let session = match self.session(&certificate, Some(&connect.client_id), peer.remote.ip()) {
                Err(Denied::NotAuthorized) => {
                    self.introduce(&certificate, peer).await;
                    return Err(Denied::NotAuthorized);
                }
                decided => decided?,
            };
            Ok(session as Arc<dyn SessionAuthority>)
        })
    }
}
