//! How a person signs in: the passkeys and the password of whoever is signed in, seen and changed by themselves.
//!
//! One way in always stays. What takes one away, or puts one beside it, needs a fresh proof and ends the person's other
//! sessions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_aws_api::ApiError;
use marram_identity::{CallError, Principal, SignIn};
use marram_store::{Snapshot, StoreError, Tx, params};
use marram_types::{AccountId, Timestamp};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::console::Console;
use crate::credential::{Credential, bound, secret_of};
use crate::door::Person;
use crate::fault;
use crate::passkey::{MAX_CREDENTIAL_ID, Passkey, Purpose};
use crate::password::{self, PasswordHash};
use crate::request::{Asked, text};
use crate::session::{ENROLLING, Session, Sessions, folded_name};
use crate::sign_in::{bytes, code_of, name_of, otpauth, passkey_name, taken};
use crate::token::TokenHash;
use crate::totp;

/// Passkeys a person may have.
const MAX_PASSKEYS: usize = 10;

/// What a step is called in the audit log.
const ADD: &str = "AddPasskey";
const RENAME: &str = "RenamePasskey";
const REMOVE: &str = "RemovePasskey";
const SET: &str = "SetConsolePassword";
const UNSET: &str = "RemoveConsolePassword";

/// Second factors that were shown to somebody who is signed in and that are not confirmed yet, by session, sealed.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashMap<TokenHash, (Vec<u8>, Timestamp)>>);

impl Pending {
    fn put(&self, session: TokenHash, sealed: Vec<u8>, now: Timestamp) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.insert(session, (sealed, now.saturating_add(ENROLLING)));
    }

    fn get(&self, session: &TokenHash, now: Timestamp) -> Option<Vec<u8>> {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.get(session).filter(|(_, expires)| *expires > now).map(|(sealed, _)| sealed.clone())
    }

    fn drop(&self, session: &TokenHash) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
    }

    /// Forgets those nobody confirmed in time.
    pub(crate) fn sweep(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (_, expires)| *expires > now);
    }
}

/// The ways in of one user at one moment.
pub(crate) struct Ways {
    pub(crate) password: bool,
    pub(crate) passkeys: Vec<Passkey>,
}

impl Ways {
    pub(crate) fn load(
        snapshot: &Snapshot<'_>,
        account: &AccountId,
        user: &str,
        user_id: &str,
    ) -> Result<Ways, CallError> {
        let credential = Credential::load(snapshot, account, user)?;
        let password = credential.is_some_and(|credential| credential.user_id == user_id);
        Ok(Ways { password, passkeys: Passkey::of_user(snapshot, account, user, user_id)? })
    }

    /// How many work where the console is now.
    fn usable(&self, party: Option<&str>) -> usize {
        self.usable_passkeys(party) + usize::from(self.password)
    }

    fn usable_passkeys(&self, party: Option<&str>) -> usize {
        self.passkeys.iter().filter(|passkey| Some(passkey.party.as_str()) == party).count()
    }
}

/// Whose ways in are changed, for a closure that owns it.
#[derive(Clone)]
struct Owner {
    account: AccountId,
    user: smol_str::SmolStr,
    user_id: smol_str::SmolStr,
    party: Option<String>,
    session: TokenHash,
    sessions: Sessions,
}

impl Owner {
    fn ways(&self, tx: &Tx<'_>) -> Result<Ways, CallError> {
        Ways::load(tx, &self.account, &self.user, &self.user_id)
    }

    /// Fails when no way in is left.
    fn check_way_in(&self, tx: &Tx<'_>) -> Result<(), CallError> {
        if self.ways(tx)?.usable(self.party.as_deref()) == 0 { Err(fault::last_method().into()) } else { Ok(()) }
    }

    /// Ends every session of the person but the one that asks.
    fn end_others(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        tx.execute(
            "DELETE FROM console_session WHERE account = $1 AND user_folded = $2 AND hash <> $3",
            params![self.account, self.user, self.session],
        )?;
        tx.after_commit(move || self.sessions.dismiss_others(&self.account, &self.user, &self.session));
        Ok(())
    }
}

impl Console {
    pub(crate) fn ways(&self, principal: &Principal) -> Result<Ways, ApiError> {
        let user = folded_name(principal);
        let read = self
            .inner
            .identity
            .read_sign_in(|snapshot| Ways::load(snapshot, &principal.account, &user, &principal.unique_id));
        Ok(read?)
    }

    fn party_id(&self) -> Option<&str> {
        self.inner.party.get().map(|party| party.id.as_str())
    }

    fn owner(&self, session: &Session) -> Owner {
        Owner {
            account: session.account.clone(),
            user: session.user.clone(),
            user_id: session.user_id.clone(),
            party: self.party_id().map(str::to_owned),
            session: session.hash,
            sessions: self.inner.sessions.clone(),
        }
    }

    pub(crate) fn step(&self, asked: &Asked<'_>, person: &Person) -> SignIn {
        let facts = asked.sign_in_facts(&self.inner.options.region);
        self.inner.identity.sign_in(person.principal.clone(), facts)
    }

    /// Whether there is a password, and how many passkeys work here.
    pub(crate) fn methods_in_short(&self, principal: &Principal) -> Result<Value, ApiError> {
        let ways = self.ways(principal)?;
        Ok(json!({"password": ways.password, "passkeys": ways.usable_passkeys(self.party_id())}))
    }

    /// `my/methods`: every way in of the person.
    pub(crate) fn methods(&self, person: &Person) -> Result<Value, ApiError> {
        let ways = self.ways(&person.principal)?;
        let passkeys: Vec<Value> = ways
            .passkeys
            .iter()
            .map(|passkey| {
                json!({
                    "id": URL_SAFE_NO_PAD.encode(&passkey.id), "name": passkey.name, "host": passkey.party,
                    "usable": Some(passkey.party.as_str()) == self.party_id(), "synced": passkey.backed_up,
                    "created": passkey.created.epoch_seconds(),
                    "used": passkey.used.map(|used| used.epoch_seconds()),
                })
            })
            .collect();
        Ok(json!({"password": ways.password, "passkeys": passkeys, "limit": MAX_PASSKEYS}))
    }

    /// `my/passkey-add`. Fresh is whoever got the challenge for it.
    pub(crate) async fn add_passkey(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let (passkey, made) = self.new_passkey(asked, ADD, Purpose::Add, &person.principal, members)?;
        let owner = self.owner(&person.session);
        let step = self.step(asked, person).parameters(json!({"name": passkey.name}));
        record_change(step, ADD, move |tx| {
            if owner.ways(tx)?.passkeys.len() >= MAX_PASSKEYS {
                let message = format!("A person has at most {MAX_PASSKEYS} passkeys.");
                return Err(ApiError::new("LimitExceededException", 409, message).into());
            }
            if !passkey.insert(tx, &made)? {
                return Err(taken().into());
            }
            owner.end_others(tx)?;
            Ok(())
        })
        .await?;
        self.methods(person)
    }

    /// `my/passkey-rename`.
    pub(crate) async fn rename_passkey(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let (id, name) = (bytes(members, "id", MAX_CREDENTIAL_ID)?, passkey_name(members)?);
        let owner = self.owner(&person.session);
        let step = self.step(asked, person).parameters(json!({"id": members.get("id"), "name": name}));
        record_change(step, RENAME, move |tx| {
            let renamed = Passkey::rename(tx, &owner.account, &owner.user_id, &id, &name)?;
            if renamed { Ok(()) } else { Err(unknown().into()) }
        })
        .await?;
        self.methods(person)
    }

    /// `my/passkey-remove`; not the last way in.
    pub(crate) async fn remove_passkey(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let id = bytes(members, "id", MAX_CREDENTIAL_ID)?;
        check_fresh(asked, person)?;
        let owner = self.owner(&person.session);
        let known = self.passkeys_of(&person.principal)?.into_iter().find(|passkey| passkey.id == id);
        let name = known.ok_or_else(unknown)?.name;
        let step = self.step(asked, person).parameters(json!({"id": members.get("id"), "name": name}));
        record_change(step, REMOVE, move |tx| {
            if !Passkey::remove(tx, &owner.account, &owner.user_id, &id)? {
                return Err(unknown().into());
            }
            owner.check_way_in(tx)?;
            owner.end_others(tx)?;
            Ok(())
        })
        .await?;
        self.methods(person)
    }

    /// `my/password-begin`: a second factor for a password to come.
    pub(crate) fn begin_password(&self, asked: &Asked<'_>, person: &Person) -> Result<Value, ApiError> {
        check_fresh(asked, person)?;
        let principal = &person.principal;
        let secret = totp::fresh_secret();
        let sealed = self.inner.identity.seal_factor(&bound(&principal.account, &principal.unique_id), &secret);
        self.inner.pending.put(person.session.hash, sealed, asked.now);
        let text = totp::base32(&secret);
        let uri = otpauth(&principal.account, name_of(principal), &text);
        Ok(json!({"secret": *text, "uri": *uri}))
    }

    /// `my/password-set`: a password and its second factor, in place of those there were. Fresh is whoever began.
    pub(crate) async fn set_password(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let inner = &self.inner;
        let given = Zeroizing::new(text(members, "password", password::MAX_BYTES)?.to_owned());
        password::check_new(&given)?;
        let code = code_of(members)?;
        let principal = &person.principal;
        let sealed = inner.pending.get(&person.session.hash, asked.now).ok_or_else(fault::stale)?;
        let owner = self.owner(&person.session);
        let key = Some((&owner.account, owner.user.as_str()));
        let attempt = inner.throttle.begin(key, asked.source_ip(), asked.now).map_err(fault::throttled)?;
        let secret = secret_of(&inner.identity, principal, &sealed).ok_or_else(ApiError::internal)?;
        let Some(last_step) = totp::step_of(&secret, &code, asked.now, 0) else {
            let facts = asked.sign_in_facts(&inner.options.region);
            let account = &principal.account;
            inner.identity.note_failed_sign_in(account, Some(principal), &facts, SET, "the code is wrong");
            return Err(fault::wrong_code());
        };
        let hash = self.hash(move || PasswordHash::of(&given)).await?.ok_or_else(ApiError::internal)?;
        let credential = Credential { user_id: owner.user_id.clone(), password: hash, factor: sealed, last_step };
        let now = asked.now;
        let step = self.step(asked, person);
        record_change(step, SET, move |tx| {
            credential.store(tx, &owner.account, &owner.user, now)?;
            owner.end_others(tx)?;
            Ok(())
        })
        .await?;
        inner.throttle.succeeded(&attempt);
        inner.pending.drop(&person.session.hash);
        self.methods(person)
    }

    /// `my/password-remove`; not the last way in.
    pub(crate) async fn remove_password(&self, asked: &Asked<'_>, person: &Person) -> Result<Value, ApiError> {
        check_fresh(asked, person)?;
        let owner = self.owner(&person.session);
        let step = self.step(asked, person);
        record_change(step, UNSET, move |tx| {
            if !Credential::remove(tx, &owner.account, &owner.user)? {
                return Err(fault::invalid("password", "There is no password.").into());
            }
            owner.check_way_in(tx)?;
            owner.end_others(tx)?;
            Ok(())
        })
        .await?;
        self.methods(person)
    }
}

/// Runs a change of ways in; one that is refused is on the record, too.
async fn record_change<F>(step: SignIn, event: &'static str, mutation: F) -> Result<(), ApiError>
where
    F: FnOnce(&mut Tx<'_>) -> Result<(), CallError> + Send + 'static,
{
    let refused = step.clone();
    let outcome = step.commit(event, mutation).await;
    if let Err(error) = &outcome
        && error.status < 500
    {
        refused.refused(event, &error.message);
    }
    outcome
}

pub(crate) fn check_fresh(asked: &Asked<'_>, person: &Person) -> Result<(), ApiError> {
    if person.session.is_fresh(asked.now) { Ok(()) } else { Err(fault::stale()) }
}

/// No such passkey of this person; whether it is somebody else's is nobody's business.
fn unknown() -> ApiError {
    ApiError::not_found("You have no such passkey.")
}
