//! The console as a whole: what it is made of, and how it is opened.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use aws_lc_rs::hmac;
use marram_aws_api::ApiError;
use marram_broker::Broker;
use marram_flow_runtime::History;
use marram_front::FrontDoor;
use marram_identity::{ADMINISTRATOR, Identity};
use marram_obs::Metrics;
use marram_store::{Store, StoreError};
use marram_types::{AccountId, Region, Timestamp};
use tokio::sync::{Notify, Semaphore};

use crate::credential::Credential;
use crate::desk::{Devices, Proofs};
use crate::language::{Language, TEXTS_AT_ONCE};
use crate::link::{self, FirstLink};
use crate::methods::Pending;
use crate::passkey::{Challenges, Party};
use crate::series::Ring;
use crate::session::Sessions;
use crate::site::Files;
use crate::throttle::Throttle;

/// Passwords hashed at once: each takes 19 MiB and tens of milliseconds of a core.
const HASHES_AT_ONCE: usize = 2;
/// How often sessions that are over are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What the console needs to know.
pub struct ConsoleOptions {
    /// The account of people who name none, and of the first administrator.
    pub home: AccountId,
    /// Where calls happen.
    pub region: Region,
    /// A secret of the installation; CSRF tokens are made with a key derived from it.
    pub secret: Vec<u8>,
    /// The built pages.
    pub files: Arc<dyn Files>,
    /// Where messages are watched.
    pub broker: Broker,
    /// Where executions are watched.
    pub history: History,
    /// What is known of TDM texts.
    pub language: Arc<dyn Language>,
    /// What device certificates may do.
    pub devices: Arc<dyn Devices>,
    /// Where calls are counted.
    pub metrics: Metrics,
}

impl std::fmt::Debug for ConsoleOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleOptions").field("home", &self.home).finish_non_exhaustive()
    }
}

/// Where the other listeners are, as pages show it: `host:port`.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// The API.
    pub api: String,
    /// MQTT.
    pub mqtt: String,
    /// Device HTTPS.
    pub device: String,
}

/// The console. A cheap clone.
#[derive(Clone)]
pub struct Console {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) options: ConsoleOptions,
    pub(crate) sessions: Sessions,
    pub(crate) throttle: Throttle,
    pub(crate) challenges: Challenges,
    pub(crate) pending: Pending,
    /// Who asks for passkeys; none before the address is known, and at an IP address.
    pub(crate) party: OnceLock<Party>,
    pub(crate) csrf_key: hmac::Key,
    pub(crate) hashing: Semaphore,
    pub(crate) texts: Semaphore,
    pub(crate) link_spent: Notify,
    pub(crate) door: OnceLock<Weak<FrontDoor>>,
    pub(crate) endpoints: OnceLock<Endpoints>,
    pub(crate) proofs: Proofs,
    pub(crate) ring: Ring,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    /// Opens the console on tables that were migrated ([`crate::MIGRATIONS`]).
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: Store, identity: Identity, options: ConsoleOptions) -> Result<Console, StoreError> {
        let sessions = Sessions::open(store.clone(), identity.now())?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, &options.secret);
        let derived = hmac::sign(&root, b"marram console v1");
        let inner = Inner {
            identity,
            store,
            options,
            sessions,
            throttle: Throttle::new(),
            challenges: Challenges::new(),
            pending: Pending::default(),
            party: OnceLock::new(),
            csrf_key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            texts: Semaphore::new(TEXTS_AT_ONCE),
            link_spent: Notify::new(),
            door: OnceLock::new(),
            endpoints: OnceLock::new(),
            proofs: Proofs::default(),
            ring: Ring::default(),
        };
        Ok(Console { inner: Arc::new(inner) })
    }

    /// Tells where calls go. The door knows the console, so the console must not keep the door alive.
    pub fn call_through(&self, door: &Arc<FrontDoor>) {
        let _ = self.inner.door.set(Arc::downgrade(door));
    }

    /// Tells where the listeners are, once their ports are known.
    pub fn set_endpoints(&self, endpoints: Endpoints) {
        if let Some(party) = Party::at(&endpoints.api) {
            let _ = self.inner.party.set(party);
        }
        let _ = self.inner.endpoints.set(endpoints);
    }

    /// A link for the first administrator, as long as nobody of the home account can sign in; links made before are void.
    ///
    /// # Errors
    /// The store's.
    pub async fn first_link(&self) -> Result<Option<FirstLink>, ApiError> {
        if Credential::any(&self.inner.identity, &self.inner.options.home)? {
            return Ok(None);
        }
        self.link_for(&self.inner.options.home.clone(), ADMINISTRATOR).await
    }

    /// A link with which a user sets a password and a second factor; `None` when there is no such user. What the user had
    /// before works until the link was used.
    ///
    /// # Errors
    /// The store's.
    pub async fn link_for(&self, account: &AccountId, user: &str) -> Result<Option<FirstLink>, ApiError> {
        let Some(principal) = self.inner.identity.user_principal(account, user) else { return Ok(None) };
        link::make(&self.inner.identity, &self.inner.options.region, &principal).await.map(Some)
    }

    /// `https://host:port` of the console; none before [`Console::set_endpoints`].
    pub fn base_url(&self) -> Option<String> {
        Some(format!("https://{}", self.inner.endpoints.get()?.api))
    }

    /// Resolves when a link was used.
    pub async fn link_spent(&self) {
        self.inner.link_spent.notified().await;
    }

    /// Removes what is over and takes samples, now and then; never ends.
    pub async fn run(&self) {
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                self.inner.challenges.sweep(self.now());
                self.inner.pending.sweep(self.now());
                if let Err(error) = self.inner.sessions.sweep(self.now()).await {
                    tracing::warn!(%error, "console sessions that are over could not be removed");
                }
            }
        };
        tokio::join!(sweeping, self.sample());
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.identity.now()
    }
}
