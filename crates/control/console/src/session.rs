//! Sessions: rows in the store so that a restart keeps people signed in, in memory so that a call asks no database.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marram_identity::{Identity, Principal};
use marram_store::{Store, StoreError, Tx, params};
use marram_types::{AccountId, Timestamp};
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::token::{Token, TokenHash};

/// A session without requests ends after this long (MA-IAM-14).
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);
/// A session ends after this long, used or not (MA-IAM-14).
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);
/// Time to set a password and a second factor once a link was opened.
pub(crate) const ENROLLING: Duration = Duration::from_secs(15 * 60);
/// Authentication is fresh for this long: what is destroyed needs a fresh one.
pub(crate) const FRESH: Duration = Duration::from_secs(15 * 60);
/// How often the last request of a session is written down.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);
/// Sessions a user may have; a further one ends the oldest.
const MAX_PER_USER: usize = 20;

/// What a session may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Call in the name of its user.
    SignedIn,
    /// Set a password and confirm this second factor (sealed).
    Enrolling(Vec<u8>),
}

/// One session of one person.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) hash: TokenHash,
    pub(crate) account: AccountId,
    /// Folded name.
    pub(crate) user: SmolStr,
    /// `AIDA..`
    pub(crate) user_id: SmolStr,
    pub(crate) state: State,
    pub(crate) created: Timestamp,
    /// When password and code, or a passkey, were last given.
    pub(crate) authenticated: Timestamp,
    pub(crate) source_ip: String,
    seen: AtomicI64,
    written: AtomicI64,
    /// Live streams that are open.
    pub(crate) streams: AtomicUsize,
    /// Turns true when it was ended before its time.
    over: watch::Sender<bool>,
}

impl Session {
    /// A session that begins now, opened by `token`.
    pub(crate) fn new(
        token: &Token,
        principal: &Principal,
        state: State,
        now: Timestamp,
        source_ip: String,
    ) -> Session {
        Session {
            hash: token.hash(),
            account: principal.account.clone(),
            user: folded_name(principal),
            user_id: principal.unique_id.clone(),
            state,
            created: now,
            authenticated: now,
            source_ip,
            seen: AtomicI64::new(now.as_micros()),
            written: AtomicI64::new(now.as_micros()),
            streams: AtomicUsize::new(0),
            over: watch::Sender::new(false),
        }
    }

    /// Resolves when the session was ended before its time.
    pub(crate) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// When it ends if nothing more is asked.
    pub(crate) fn expires(&self) -> Timestamp {
        let seen = Timestamp::from_micros(self.seen.load(Ordering::Relaxed));
        match self.state {
            State::SignedIn => seen.saturating_add(IDLE).min(self.created.saturating_add(ABSOLUTE)),
            State::Enrolling(_) => self.created.saturating_add(ENROLLING),
        }
    }

    /// Whose calls it makes, second factor and all; `None` once the user is gone or another one bears its name.
    pub(crate) fn principal(&self, identity: &Identity) -> Option<Principal> {
        let mut principal =
            identity.user_principal(&self.account, &self.user).filter(|user| user.unique_id == self.user_id)?;
        principal.session_started = Some(self.created);
        principal.mfa_at = Some(self.authenticated);
        Some(principal)
    }

    /// Whether the person proved to be there a moment ago.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.authenticated.saturating_add(FRESH)
    }

    /// Stores it.
    pub(crate) fn insert(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let factor = match &self.state {
            State::SignedIn => None,
            State::Enrolling(sealed) => Some(sealed.clone()),
        };
        tx.execute(
            "INSERT INTO console_session
               (hash, account, user_folded, user_id, factor, created_at, seen_at, authenticated_at, source_ip)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)",
            params![
                self.hash,
                self.account,
                self.user,
                self.user_id,
                factor,
                self.created,
                self.authenticated,
                self.source_ip
            ],
        )?;
        Ok(())
    }
}

/// The name by which rows know a user.
pub(crate) fn folded_name(principal: &Principal) -> SmolStr {
    match &principal.kind {
        marram_identity::PrincipalKind::User { name } => SmolStr::new(name.to_lowercase()),
        _ => SmolStr::default(),
    }
}

/// All sessions that live. A cheap clone.
#[derive(Clone)]
pub(crate) struct Sessions {
    store: Store,
    alive: Arc<Mutex<HashMap<TokenHash, Arc<Session>>>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// Reads what an earlier run left.
    pub(crate) fn open(store: Store, now: Timestamp) -> Result<Sessions, StoreError> {
        let mut alive = HashMap::new();
        store.read(|snapshot| {
            snapshot.query_each(
                "SELECT hash, account, user_folded, user_id, factor, created_at, seen_at, authenticated_at, source_ip
                 FROM console_session",
                params![],
                |row| {
                    let seen: Timestamp = row.get(6)?;
                    let factor: Option<Vec<u8>> = row.get(4)?;
                    let session = Session {
                        hash: row.get(0)?,
                        account: row.parse(1)?,
                        user: row.get(2)?,
                        user_id: row.get(3)?,
                        state: factor.map_or(State::SignedIn, State::Enrolling),
                        created: row.get(5)?,
                        authenticated: row.get(7)?,
                        source_ip: row.get(8)?,
                        seen: AtomicI64::new(seen.as_micros()),
                        written: AtomicI64::new(seen.as_micros()),
                        streams: AtomicUsize::new(0),
                        over: watch::Sender::new(false),
                    };
                    if session.expires() > now {
                        alive.insert(session.hash, Arc::new(session));
                    }
                    Ok::<_, StoreError>(true)
                },
            )
        })?;
        Ok(Sessions { store, alive: Arc::new(Mutex::new(alive)) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenHash, Arc<Session>>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session a token opens, which thereby is in use.
    pub(crate) fn find(&self, token: &Token, now: Timestamp) -> Option<Arc<Session>> {
        let session = self.peek(&token.hash(), now)?;
        session.seen.fetch_max(now.as_micros(), Ordering::Relaxed);
        let written = session.written.load(Ordering::Relaxed);
        let due = now.since(Timestamp::from_micros(written)) > WRITE_INTERVAL;
        if due
            && session.written.compare_exchange(written, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let (store, hash) = (self.store.clone(), session.hash);
            tokio::spawn(async move {
                let write = store.write(move |tx| {
                    tx.execute("UPDATE console_session SET seen_at = $1 WHERE hash = $2", params![now, hash])
                });
                if let Err(error) = write.await {
                    tracing::warn!(%error, "the last use of a console session was not written down");
                }
            });
        }
        Some(session)
    }

    /// The session of this hash if it lives; does not count as use.
    pub(crate) fn peek(&self, hash: &TokenHash, now: Timestamp) -> Option<Arc<Session>> {
        let mut alive = self.lock();
        let session = Arc::clone(alive.get(hash)?);
        if session.expires() > now {
            return Some(session);
        }
        alive.remove(hash);
        None
    }

    /// Takes over a session whose row is durable; the oldest of its user makes room.
    pub(crate) fn admit(&self, session: Arc<Session>) {
        let mut alive = self.lock();
        let mut own: Vec<(Timestamp, TokenHash)> = alive
            .values()
            .filter(|other| other.account == session.account && other.user_id == session.user_id)
            .map(|other| (other.created, other.hash))
            .collect();
        own.sort_unstable();
        for (_, hash) in own.iter().take((own.len() + 1).saturating_sub(MAX_PER_USER)) {
            if let Some(oldest) = alive.remove(hash) {
                oldest.over.send_replace(true);
            }
        }
        alive.insert(session.hash, session);
    }

    /// Forgets a session whose row is gone.
    pub(crate) fn dismiss(&self, hash: &TokenHash) {
        if let Some(session) = self.lock().remove(hash) {
            session.over.send_replace(true);
        }
    }

    /// Forgets every session of a user.
    pub(crate) fn dismiss_user(&self, account: &AccountId, user: &str) {
        self.lock().retain(|_, session| {
            let stays = session.account != *account || session.user != user;
            if !stays {
                session.over.send_replace(true);
            }
            stays
        });
    }

    /// Forgets every session of a user but one.
    pub(crate) fn dismiss_others(&self, account: &AccountId, user: &str, stays: &TokenHash) {
        self.lock().retain(|hash, session| {
            let stays = hash == stays || session.account != *account || session.user != user;
            if !stays {
                session.over.send_replace(true);
            }
            stays
        });
    }

    /// Forgets the sessions in which a user is about to enrol.
    pub(crate) fn dismiss_enrolling(&self, account: &AccountId, user: &str) {
        self.lock().retain(|_, session| {
            let is_theirs = session.account == *account && session.user == user;
            let goes = is_theirs && matches!(session.state, State::Enrolling(_));
            if goes {
                session.over.send_replace(true);
            }
            !goes
        });
    }

    /// Removes the rows of sessions and links that are over.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let gone: Vec<TokenHash> = {
            let mut alive = self.lock();
            let gone = alive.values().filter(|session| session.expires() <= now).map(|session| session.hash).collect();
            alive.retain(|_, session| session.expires() > now);
            gone
        };
        let oldest = now.saturating_sub(ABSOLUTE);
        self.store
            .write(move |tx| {
                for hash in gone {
                    tx.execute("DELETE FROM console_session WHERE hash = $1", params![hash])?;
                }
                tx.execute("DELETE FROM console_session WHERE created_at < $1", params![oldest])?;
                tx.execute("DELETE FROM console_link WHERE expires_at < $1", params![now])?;
                Ok(())
            })
            .await
    }
}
