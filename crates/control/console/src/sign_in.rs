//! Signing in and out, enrolling, proving again: everything that changes whose browser it is. With passkeys: `passkey`.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_identity::{CallError, Principal, PrincipalKind, SignIn};
use marram_store::{StoreError, Tx, params};
use marram_types::{AccountId, Timestamp};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::console::Console;
use crate::credential::{Credential, bound, secret_of};
use crate::door::{Person, Reply};
use crate::fault;
use crate::link;
use crate::passkey::{Passkey, Used};
use crate::password::{self, PasswordHash};
use crate::request::{Asked, text};
use crate::session::{FRESH, Session, State, folded_name};
use crate::token::Token;
use crate::totp;

mod passkey;

pub(crate) use passkey::{bytes, passkey_name, taken};

/// Longest name of a user, account or token in a body, in bytes.
const MAX_NAME: usize = 512;
/// Longest code, in bytes; spaces people type are left out.
const MAX_CODE: usize = 16;

/// What a step is called in the audit log.
const LOGIN: &str = "ConsoleLogin";
const LINK: &str = "ConsoleLinkLogin";
const ENROL: &str = "ConsoleEnrolment";
const AGAIN: &str = "ConsoleReauthentication";
const LOGOUT: &str = "ConsoleLogout";
/// Where a record tells how somebody signed in.
const METHOD: &str = "SignInMethod";

/// Proof of who somebody is.
struct Proof {
    principal: Principal,
    spent: Spent,
}

/// What a proof uses up.
enum Spent {
    /// A password was given, and the code of this step.
    Code(i64),
    /// A passkey signed.
    Passkey { id: Vec<u8>, name: String, used: Used },
}

impl Spent {
    /// Uses it up; `false` when somebody was faster.
    fn spend(&self, tx: &mut Tx<'_>, account: &AccountId, user: &str, now: Timestamp) -> Result<bool, StoreError> {
        match self {
            Spent::Code(step) => Credential::use_step(tx, account, user, *step),
            Spent::Passkey { id, used, .. } => Passkey::note_use(tx, id, *used, now),
        }
    }

    fn noted(&self, step: SignIn) -> SignIn {
        match self {
            Spent::Code(_) => step.detail(METHOD, "password"),
            Spent::Passkey { name, .. } => step.detail(METHOD, "passkey").detail("PasskeyName", name.as_str()),
        }
    }
}

impl Console {
    /// `GET session`: what this browser is. One that has no cookie yet gets one, for its CSRF token.
    pub(crate) fn describe(&self, asked: &Asked<'_>, session: Option<Arc<Session>>) -> Result<Reply, ApiError> {
        match (&asked.token, session) {
            (Some(token), Some(session)) => match self.describe_session(token, &session) {
                Some(document) => Ok(Reply::Json(document)),
                None => Ok(Reply::Json(self.signed_out(token)?)),
            },
            (Some(token), None) => Ok(Reply::Json(self.signed_out(token)?)),
            (None, _) => {
                let token = Token::fresh();
                Ok(Reply::Begin(self.signed_out(&token)?, token))
            }
        }
    }

    fn signed_out(&self, token: &Token) -> Result<Value, ApiError> {
        let first_run = !Credential::any(&self.inner.identity, &self.inner.options.home)?;
        let csrf = token.csrf(&self.inner.csrf_key);
        Ok(json!({"state": "signed-out", "csrf": csrf, "firstRun": first_run, "passkeys": self.passkey_party()}))
    }

    /// `None` when the user behind the session is gone.
    fn describe_session(&self, token: &Token, session: &Session) -> Option<Value> {
        let principal = session.principal(&self.inner.identity)?;
        let csrf = token.csrf(&self.inner.csrf_key);
        let user = name_of(&principal);
        match &session.state {
            State::Enrolling(sealed) => {
                let secret = secret_of(&self.inner.identity, &principal, sealed)?;
                let text = totp::base32(&secret);
                let uri = otpauth(&principal.account, user, &text);
                Some(json!({
                    "state": "enrolling", "csrf": csrf, "user": user, "account": principal.account.as_str(),
                    "secret": *text, "uri": *uri,
                    "expires": session.expires().epoch_seconds(),
                    "passkeys": self.passkey_party(),
                }))
            }
            State::SignedIn => {
                let endpoints = self.inner.endpoints.get().cloned().unwrap_or_default();
                Some(json!({
                    "state": "signed-in", "csrf": csrf,
                    "account": principal.account.as_str(),
                    "accountName": self.inner.identity.account_name(&principal.account),
                    "user": user, "arn": principal.arn.as_str(),
                    "region": self.inner.options.region.as_str(),
                    "expires": session.expires().epoch_seconds(),
                    "fresh": session.authenticated.saturating_add(FRESH).epoch_seconds(),
                    "endpoints": {"api": endpoints.api, "mqtt": endpoints.mqtt, "device": endpoints.device},
                    "passkeys": self.passkey_party(),
                    "methods": self.methods_in_short(&principal).ok()?,
                }))
            }
        }
    }

    /// Begins a session and tells what it is.
    fn begun(&self, token: Token, session: &Session) -> Result<Reply, ApiError> {
        let document = self.describe_session(&token, session).ok_or_else(fault::unauthenticated)?;
        Ok(Reply::Begin(document, token))
    }

    /// `sign-in/link`: a one-time link becomes the right to enrol.
    pub(crate) async fn sign_in_with_link(
        &self,
        asked: &Asked<'_>,
        members: &Map<String, Value>,
    ) -> Result<Reply, ApiError> {
        let inner = &self.inner;
        let attempt = inner.throttle.begin(None, asked.source_ip(), asked.now).map_err(fault::throttled)?;
        let facts = asked.sign_in_facts(&inner.options.region);
        let given = Token::parse(text(members, "token", MAX_NAME)?);
        let hash = given.map(|token| token.hash());
        let linked = hash.map(|hash| link::find(&inner.identity, &hash, asked.now)).transpose()?.flatten();
        let principal = linked.as_ref().and_then(|linked| {
            let principal = inner.identity.user_principal(&linked.account, &linked.user)?;
            (principal.unique_id == linked.user_id).then_some(principal)
        });
        let (Some(hash), Some(principal)) = (hash, principal) else {
            inner.identity.note_failed_sign_in(&inner.options.home, None, &facts, LINK, "the link is not valid");
            return Err(link::refused());
        };
        let bound = bound(&principal.account, &principal.unique_id);
        let sealed = inner.identity.seal_factor(&bound, &totp::fresh_secret());
        let token = Token::fresh();
        let state = State::Enrolling(sealed);
        let session = Arc::new(Session::new(&token, &principal, state, asked.now, address(asked)));
        let step = inner.identity.sign_in(principal, facts);
        let (stored, sessions, old) = (Arc::clone(&session), inner.sessions.clone(), self.session(asked));
        step.commit(LINK, move |tx| {
            link::spend(tx, &hash)?;
            stored.insert(tx)?;
            if let Some(old) = old {
                tx.execute("DELETE FROM console_session WHERE hash = $1", params![old.hash])?;
                tx.after_commit(move || sessions.dismiss(&old.hash));
            }
            Ok(())
        })
        .await?;
        inner.throttle.succeeded(&attempt);
        inner.sessions.admit(Arc::clone(&session));
        inner.link_spent.notify_waiters();
        self.begun(token, &session)
    }

    /// `enrol`: sets the password, confirms the second factor, signs in. Sessions the user had end, passkeys go.
    pub(crate) async fn enrol(
        &self,
        asked: &Asked<'_>,
        session: Option<Arc<Session>>,
        members: &Map<String, Value>,
    ) -> Result<Reply, ApiError> {
        let inner = &self.inner;
        let enrolling = session.ok_or_else(fault::unauthenticated)?;
        let State::Enrolling(sealed) = &enrolling.state else {
            return Err(fault::invalid("state", "This session has enrolled already."));
        };
        let principal = enrolling.principal(&inner.identity).ok_or_else(fault::unauthenticated)?;
        let password = Zeroizing::new(text(members, "password", password::MAX_BYTES)?.to_owned());
        password::check_new(&password)?;
        let code = code_of(members)?;
        let facts = asked.sign_in_facts(&inner.options.region);
        let user = folded_name(&principal);
        let key = Some((&principal.account, user.as_str()));
        let attempt = inner.throttle.begin(key, asked.source_ip(), asked.now).map_err(fault::throttled)?;
        let secret = secret_of(&inner.identity, &principal, sealed).ok_or_else(ApiError::internal)?;
        let Some(last_step) = totp::step_of(&secret, &code, asked.now, 0) else {
            let account = &principal.account;
            inner.identity.note_failed_sign_in(account, Some(&principal), &facts, ENROL, "the code is wrong");
            return Err(fault::wrong_code());
        };
        let password = self.hash(move || PasswordHash::of(&password)).await?.ok_or_else(ApiError::internal)?;
        let credential =
            Credential { user_id: principal.unique_id.clone(), password, factor: sealed.clone(), last_step };
        let now = asked.now;
        let step = inner.identity.sign_in(principal, facts).detail(METHOD, "password");
        let reply = self
            .finish_enrolment(asked, &enrolling, step, move |tx, account, user| {
                credential.store(tx, account, user, now)?;
                Ok(())
            })
            .await?;
        inner.throttle.succeeded(&attempt);
        Ok(reply)
    }

    /// Ends enrolling: what the person signed in with before is gone, `keep` stores what replaces it, and a session begins.
    async fn finish_enrolment(
        &self,
        asked: &Asked<'_>,
        enrolling: &Session,
        step: SignIn,
        keep: impl FnOnce(&mut Tx<'_>, &AccountId, &str) -> Result<(), CallError> + Send + 'static,
    ) -> Result<Reply, ApiError> {
        let principal = &step.principal;
        let token = Token::fresh();
        let session = Arc::new(Session::new(&token, principal, State::SignedIn, asked.now, address(asked)));
        let (stored, account, user) = (Arc::clone(&session), principal.account.clone(), folded_name(principal));
        let (sessions, old) = (self.inner.sessions.clone(), enrolling.hash);
        step.commit(ENROL, move |tx| {
            // Two browsers must not enrol with one link.
            let spent = tx.execute("DELETE FROM console_session WHERE hash = $1", params![old])?;
            if spent == 0 {
                return Err(CallError::from(fault::unauthenticated()));
            }
            tx.execute("DELETE FROM console_session WHERE account = $1 AND user_folded = $2", params![account, user])?;
            Credential::remove(tx, &account, &user)?;
            Passkey::remove_all(tx, &account, &user)?;
            keep(tx, &account, &user)?;
            stored.insert(tx)?;
            tx.after_commit(move || {
                sessions.dismiss_user(&account, &user);
                sessions.admit(stored);
            });
            Ok(())
        })
        .await?;
        self.begun(token, &session)
    }

    /// `sign-in/password`.
    pub(crate) async fn sign_in_with_password(
        &self,
        asked: &Asked<'_>,
        members: &Map<String, Value>,
    ) -> Result<Reply, ApiError> {
        let home = &self.inner.options.home;
        let account = match members.get("account") {
            None | Some(Value::Null) => home.clone(),
            Some(Value::String(text)) if text.trim().is_empty() => home.clone(),
            Some(_) => text(members, "account", MAX_NAME)?.trim().parse().map_err(|_| fault::wrong_credentials())?,
        };
        let user = text(members, "user", MAX_NAME)?.trim().to_lowercase();
        let proof = self.prove(asked, LOGIN, &account, &user, members).await?;
        self.replace_session(asked, LOGIN, proof, self.session(asked).as_deref()).await
    }

    /// `reauthenticate`: the same person proves to be there, and gets a session with another token.
    pub(crate) async fn reauthenticate(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Reply, ApiError> {
        let session = &person.session;
        let proof = self.prove(asked, AGAIN, &session.account, &session.user, members).await?;
        self.replace_session(asked, AGAIN, proof, Some(session)).await
    }

    /// `sign-out`: the session is gone for good, here and in the store.
    pub(crate) async fn sign_out(&self, asked: &Asked<'_>, session: Option<Arc<Session>>) -> Result<Reply, ApiError> {
        if let Some(session) = session {
            let (hash, sessions) = (session.hash, self.inner.sessions.clone());
            let remove = move |tx: &mut Tx<'_>| {
                tx.execute("DELETE FROM console_session WHERE hash = $1", params![hash])?;
                tx.after_commit(move || sessions.dismiss(&hash));
                Ok::<(), CallError>(())
            };
            match session.principal(&self.inner.identity) {
                Some(principal) => {
                    let facts = asked.sign_in_facts(&self.inner.options.region);
                    self.inner.identity.sign_in(principal, facts).commit(LOGOUT, remove).await?;
                }
                // A user who is gone has no log entry to make, but the session must go all the same.
                None => self.inner.store.write(remove).await.map_err(ApiError::from)?,
            }
        }
        let token = Token::fresh();
        Ok(Reply::Begin(self.signed_out(&token)?, token))
    }

    /// Checks password and code. Whatever is wrong, the answer and the work are the same (SEC-64).
    async fn prove(
        &self,
        asked: &Asked<'_>,
        event: &'static str,
        account: &AccountId,
        user: &str,
        members: &Map<String, Value>,
    ) -> Result<Proof, ApiError> {
        let inner = &self.inner;
        let password = Zeroizing::new(text(members, "password", password::MAX_BYTES)?.to_owned());
        let code = code_of(members)?;
        let attempt =
            inner.throttle.begin(Some((account, user)), asked.source_ip(), asked.now).map_err(fault::throttled)?;
        let facts = asked.sign_in_facts(&inner.options.region);
        let principal = inner.identity.user_principal(account, user);
        let credential = inner.identity.read_sign_in(|snapshot| Credential::load(snapshot, account, user))?;
        let credential = credential
            .filter(|credential| principal.as_ref().is_some_and(|known| known.unique_id == credential.user_id));
        let kept = credential.as_ref().map_or_else(PasswordHash::of_nobody, |credential| credential.password.clone());
        let matches = self.hash(move || kept.matches(&password)).await?;
        let secret = principal
            .as_ref()
            .zip(credential.as_ref())
            .and_then(|(principal, credential)| secret_of(&inner.identity, principal, &credential.factor))
            .unwrap_or_else(totp::fresh_secret);
        let used = credential.as_ref().map_or(i64::MAX, |credential| credential.last_step);
        let step = totp::step_of(&secret, &code, asked.now, used);
        match (principal, step) {
            (Some(principal), Some(step)) if matches && credential.is_some() => {
                inner.throttle.succeeded(&attempt);
                Ok(Proof { principal, spent: Spent::Code(step) })
            }
            (principal, _) => {
                if inner.identity.accounts().contains(account) {
                    let reason = "the password or the code is wrong";
                    inner.identity.note_failed_sign_in(account, principal.as_ref(), &facts, event, reason);
                }
                Err(fault::wrong_credentials())
            }
        }
    }

    /// A new session for a proof that is used up by it, in place of `old`.
    async fn replace_session(
        &self,
        asked: &Asked<'_>,
        event: &'static str,
        proof: Proof,
        old: Option<&Session>,
    ) -> Result<Reply, ApiError> {
        let inner = &self.inner;
        let Proof { principal, spent } = proof;
        let token = Token::fresh();
        let session = Arc::new(Session::new(&token, &principal, State::SignedIn, asked.now, address(asked)));
        let facts = asked.sign_in_facts(&inner.options.region);
        let (stored, sessions, old) = (Arc::clone(&session), inner.sessions.clone(), old.map(|old| old.hash));
        let (account, user) = (principal.account.clone(), folded_name(&principal));
        let now = asked.now;
        let committed = spent
            .noted(inner.identity.sign_in(principal.clone(), facts.clone()))
            .commit(event, move |tx| {
                if !spent.spend(tx, &account, &user, now)? {
                    return Err(CallError::from(match spent {
                        Spent::Code(_) => fault::wrong_credentials(),
                        Spent::Passkey { .. } => fault::wrong_passkey(),
                    }));
                }
                if let Some(old) = old {
                    tx.execute("DELETE FROM console_session WHERE hash = $1", params![old])?;
                }
                stored.insert(tx)?;
                tx.after_commit(move || {
                    if let Some(old) = old {
                        sessions.dismiss(&old);
                    }
                    sessions.admit(stored);
                });
                Ok(())
            })
            .await;
        if let Err(error) = committed {
            let reason = "the code, or the passkey at that count, was used already";
            inner.identity.note_failed_sign_in(&principal.account, Some(&principal), &facts, event, reason);
            return Err(error);
        }
        self.begun(token, &session)
    }

    /// Runs a hash where it blocks nobody, few at a time.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _turn = self.inner.hashing.acquire().await.map_err(|_| ApiError::internal())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())
    }
}

fn address(asked: &Asked<'_>) -> String {
    asked.source_ip().to_canonical().to_string()
}

pub(crate) fn name_of(principal: &Principal) -> &str {
    match &principal.kind {
        PrincipalKind::User { name } => name,
        _ => "",
    }
}

/// A code as people type it.
pub(crate) fn code_of(members: &Map<String, Value>) -> Result<Zeroizing<String>, ApiError> {
    let code = text(members, "code", MAX_CODE)?;
    Ok(Zeroizing::new(code.chars().filter(|c| !c.is_whitespace()).collect()))
}

/// What an authenticator app reads.
pub(crate) fn otpauth(account: &AccountId, user: &str, secret: &str) -> Zeroizing<String> {
    let label: String = user
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    Zeroizing::new(format!(
        "otpauth://totp/Marram:{label}%40{account}?secret={secret}&issuer=Marram&digits=6&period=30"
    ))
}
