//! The handle everything starts from: who exists, who may do what.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use marram_audit::Audit;
use marram_store::{Snapshot, Store, StoreError, params};
use marram_types::{AccountId, Partition, Region, SharedClock, Timestamp};
use smol_str::SmolStr;

use crate::context::{CallContext, CallFacts};
use crate::directory::{Change, Directory};
use crate::error::CallError;
use crate::keyring::{Keyring, KeyringError};
use crate::model::fold;
use crate::principal::Principal;
use crate::session::{KeptSession, SessionDocuments, compile_documents};
use crate::system::SystemContext;
use crate::throttle::Throttle;

/// Identities and permissions of an installation; a cheap clone.
#[derive(Clone, Debug)]
pub struct Identity {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    audit: Audit,
    clock: SharedClock,
    options: IdentityOptions,
    keyring: Keyring,
    directory: ArcSwap<Directory>,
    /// Moves on with the directory.
    version: AtomicU64,
    /// Held while a directory is made from the one before it.
    changing: Mutex<()>,
    sessions: papaya::HashMap<SmolStr, KeptSession>,
    throttle: Throttle,
}

/// What an installation decides about identities.
#[derive(Clone, Debug)]
pub struct IdentityOptions {
    /// First field of every ARN made here.
    pub partition: Partition,
    /// Regions that signatures may name; the first is the home region. Never empty.
    pub regions: Vec<Region>,
    /// A policy variable without a value makes a `Deny` match (security.md section 4, strict profile).
    pub strict_variables: bool,
}

impl Default for IdentityOptions {
    fn default() -> IdentityOptions {
        IdentityOptions {
            partition: Partition::aws(),
            regions: vec![Region::default_region()],
            strict_variables: false,
        }
    }
}

/// Why identities could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key cannot be had.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// No region was given.
    #[error("an installation needs at least one region")]
    NoRegion,
}

impl Identity {
    /// Opens the identities in `store`: migrates its tables, reads or makes the master key in its directory, and loads
    /// every account. Blocks; call it at start.
    ///
    /// # Errors
    /// The store's, and those of the key file.
    pub fn open(
        store: Store,
        audit: Audit,
        clock: SharedClock,
        options: IdentityOptions,
    ) -> Result<Identity, IdentityError> {
        if options.regions.is_empty() {
            return Err(IdentityError::NoRegion);
        }
        store.migrate(crate::schema::MIGRATIONS)?;
        let accounts: i64 =
            store.read(|snapshot| snapshot.query_one("SELECT COUNT(*) FROM account", params![], |row| row.get(0)))?;
        let keyring = Keyring::open(store.dir(), accounts == 0)?;
        let directory = store.read(|snapshot| Directory::load(snapshot, &keyring, options.partition.as_str()))?;
        let sessions = papaya::HashMap::new();
        let now = clock.now();
        store.read(|snapshot| load_sessions(snapshot, now, &sessions))?;
        Ok(Identity {
            inner: Arc::new(Inner {
                store,
                audit,
                clock,
                options,
                keyring,
                directory: ArcSwap::from_pointee(directory),
                version: AtomicU64::new(1),
                changing: Mutex::new(()),
                sessions,
                throttle: Throttle::default(),
            }),
        })
    }

    /// Begins a call of a proven principal.
    pub fn context(&self, principal: impl Into<Arc<Principal>>, facts: CallFacts) -> CallContext {
        CallContext::new(self.clone(), principal.into(), facts)
    }

    /// Begins work of the house itself, in the name of `actor` (`iotthingsgraph.amazonaws.com`).
    pub fn system(&self, actor: &'static str, account: AccountId, region: Region) -> SystemContext {
        SystemContext::new(self.clone(), actor, account, region)
    }

    /// The partition of every ARN made here.
    pub fn partition(&self) -> &Partition {
        &self.inner.options.partition
    }

    /// Regions that signatures may name; the first is the home region.
    pub fn regions(&self) -> &[Region] {
        &self.inner.options.regions
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Every account, in the order of ids.
    pub fn accounts(&self) -> Vec<AccountId> {
        let mut accounts: Vec<AccountId> = self.directory().accounts.keys().cloned().collect();
        accounts.sort();
        accounts
    }

    /// The principal of a user, as if one of its keys had signed: for sessions that prove identity by other means.
    pub fn user_principal(&self, account: &AccountId, name: &str) -> Option<Principal> {
        user_principal(&self.directory(), account, &fold(name))
    }

    /// Tags of a user, for `aws:ResourceTag` of what is decided about it outside the operations.
    pub fn user_tags(&self, account: &AccountId, name: &str) -> Vec<(String, String)> {
        let directory = self.directory();
        let held = directory.accounts.get(account).and_then(|known| known.users.get(&fold(name)));
        held.map(|held| held.entity.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
            .unwrap_or_default()
    }

    /// Changes whenever an identity or a policy changed: remembered decisions of another version are void. One atomic load.
    pub fn version(&self) -> u64 {
        self.inner.version.load(Ordering::Acquire)
    }

    /// The audit log, for records that belong to no call.
    pub fn audit(&self) -> &Audit {
        &self.inner.audit
    }

    /// Writes down when keys were last used. Call it now and then, and before the end.
    ///
    /// # Errors
    /// The store's.
    pub async fn flush_usage(&self) -> Result<(), StoreError> {
        let directory = self.directory();
        let used: Vec<_> =
            directory.keys.values().filter_map(|key| key.usage.last().map(|last| (key.id.clone(), last))).collect();
        if used.is_empty() {
            return Ok(());
        }
        self.store()
            .write(move |tx| {
                for (id, (at, service, region)) in used {
                    tx.execute(
                        "INSERT INTO iam_key_use (access_key_id, used_at, service, region) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (access_key_id) DO UPDATE
                         SET used_at = excluded.used_at, service = excluded.service, region = excluded.region",
                        params![id, at, service, region],
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// Ends a session before its time: its token is refused from now on.
    ///
    /// # Errors
    /// The store's.
    pub async fn revoke_session(&self, account: &AccountId, access_key_id: &str) -> Result<(), CallError> {
        const LONGEST_SESSION_SECS: i64 = 129_600;
        let now = self.now();
        let expires = Timestamp::from_secs(now.as_secs() + LONGEST_SESSION_SECS);
        let (identity, id, account) = (self.clone(), SmolStr::new(access_key_id), account.clone());
        self.store()
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO sts_session (access_key_id, account, issuer_id, created_at, expires_at, policies, revoked)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (access_key_id) DO UPDATE SET revoked = excluded.revoked",
                    params![id, account, "", now, expires, "[]", true],
                )?;
                tx.after_commit(move || {
                    let kept = KeptSession { policies: Arc::default(), revoked: true, expires };
                    identity.keep_session(id, kept);
                });
                Ok(())
            })
            .await
    }

    pub(crate) fn strict_variables(&self) -> bool {
        self.inner.options.strict_variables
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.inner.throttle
    }

    /// The present directory; it stays as it is while held.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.inner.directory.load_full()
    }

    /// As [`Identity::directory`], for a look on the way of every call: counts nothing that all calls share.
    pub(crate) fn directory_at_a_glance(&self) -> arc_swap::Guard<Arc<Directory>> {
        self.inner.directory.load()
    }

    /// Puts a directory with these changes in place of the present one. Called by the store's writer after a commit.
    pub(crate) fn apply(&self, changes: Vec<Change>) {
        let _one_at_a_time = self.inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Directory::clone(&self.inner.directory.load());
        next.apply(changes, self.partition().as_str());
        self.inner.directory.store(Arc::new(next));
        self.inner.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn keep_session(&self, id: SmolStr, kept: KeptSession) {
        let sessions = self.inner.sessions.pin();
        let now = self.now();
        sessions.retain(|_, session| session.expires > now);
        sessions.insert(id, kept);
    }

    pub(crate) fn kept_session(&self, id: &str) -> Option<KeptSession> {
        self.inner.sessions.pin().get(id).cloned()
    }
}

/// The principal of a user; `None` when there is no such user.
pub(crate) fn user_principal(directory: &Directory, account: &AccountId, folded: &str) -> Option<Principal> {
    directory.account(account)?.user_principal(folded).map(|user| Principal::clone(user))
}

fn load_sessions(
    snapshot: &Snapshot<'_>,
    now: Timestamp,
    sessions: &papaya::HashMap<SmolStr, KeptSession>,
) -> Result<(), StoreError> {
    let sessions = sessions.pin();
    snapshot.query_each(
        "SELECT access_key_id, expires_at, policies, revoked FROM sts_session WHERE expires_at > $1",
        params![now],
        |row| {
            let id: SmolStr = row.get(0)?;
            let documents: Option<SessionDocuments> = serde_json::from_str(row.text(2)?).ok();
            // Policies that cannot be read end the session rather than widen it.
            let policies = documents.as_ref().and_then(compile_documents);
            let revoked = row.get::<bool>(3)? || policies.is_none();
            let kept = KeptSession { policies: policies.unwrap_or_default(), revoked, expires: row.get(1)? };
            sessions.insert(id, kept);
            Ok(true)
        },
    )
}
