//! Signing in and out, enrolling, proving again: everything that changes whose browser it is.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_identity::{CallError, Principal, PrincipalKind};
use marram_store::params;
use marram_types::AccountId;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::console::Console;
use crate::credential::{Credential, bound, secret_of};
use crate::door::{Person, Reply};
use crate::fault;
use crate::link;
use crate::password::{self, PasswordHash};
use crate::request::{Asked, text};
use crate::session::{FRESH, Session, State, folded_name};
use crate::token::Token;
use crate::totp;

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

/// Proof of a password and a code.
struct Proof {
    principal: Principal,
    step: i64,
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
        Ok(json!({"state": "signed-out", "csrf": token.csrf(&self.inner.csrf_key), "firstRun": first_run}))
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

    /// `enrol`: sets the password, confirms the second factor, signs in. Sessions the user had end.
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
            return Err(ApiError::access_denied("The code is wrong. Check the clock of the device that made it.")
                .with("field", "code"));
        };
        let password = self.hash(move || PasswordHash::of(&password)).await?.ok_or_else(ApiError::internal)?;
        let credential =
            Credential { user_id: principal.unique_id.clone(), password, factor: sealed.clone(), last_step };
        let token = Token::fresh();
        let session = Arc::new(Session::new(&token, &principal, State::SignedIn, asked.now, address(asked)));
        let (stored, account, now) = (Arc::clone(&session), principal.account.clone(), asked.now);
        let (sessions, old) = (inner.sessions.clone(), enrolling.hash);
        let step = inner.identity.sign_in(principal, facts);
        step.commit(ENROL, move |tx| {
            // Two browsers must not enrol with one link.
            let spent = tx.execute("DELETE FROM console_session WHERE hash = $1", params![old])?;
            if spent == 0 {
                return Err(CallError::from(fault::unauthenticated()));
            }
            tx.execute("DELETE FROM console_session WHERE account = $1 AND user_folded = $2", params![account, user])?;
            credential.store(tx, &account, &user, now)?;
            stored.insert(tx)?;
            tx.after_commit(move || {
                sessions.dismiss_user(&account, &user);
                sessions.admit(stored);
            });
            Ok(())
        })
        .await?;
        inner.throttle.succeeded(&attempt);
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
            let remove = move |tx: &mut marram_store::Tx<'_>| {
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
                Ok(Proof { principal, step })
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

    /// A new session for a proof whose code is used up by it, in place of `old`.
    async fn replace_session(
        &self,
        asked: &Asked<'_>,
        event: &'static str,
        proof: Proof,
        old: Option<&Session>,
    ) -> Result<Reply, ApiError> {
        let inner = &self.inner;
        let Proof { principal, step } = proof;
        let token = Token::fresh();
        let session = Arc::new(Session::new(&token, &principal, State::SignedIn, asked.now, address(asked)));
        let facts = asked.sign_in_facts(&inner.options.region);
        let (stored, sessions, old) = (Arc::clone(&session), inner.sessions.clone(), old.map(|old| old.hash));
        let (account, user) = (principal.account.clone(), folded_name(&principal));
        let committed = inner
            .identity
            .sign_in(principal.clone(), facts.clone())
            .commit(event, move |tx| {
                if !Credential::use_step(tx, &account, &user, step)? {
                    return Err(CallError::from(fault::wrong_credentials()));
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
            let reason = "the code was used already";
            inner.identity.note_failed_sign_in(&principal.account, Some(&principal), &facts, event, reason);
            return Err(error);
        }
        self.begun(token, &session)
    }

    /// Runs a hash where it blocks nobody, few at a time.
    async fn hash<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let _turn = self.inner.hashing.acquire().await.map_err(|_| ApiError::internal())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())
    }
}

fn address(asked: &Asked<'_>) -> String {
    asked.source_ip().to_canonical().to_string()
}

fn name_of(principal: &Principal) -> &str {
    match &principal.kind {
        PrincipalKind::User { name } => name,
        _ => "",
    }
}

/// A code as people type it.
fn code_of(members: &Map<String, Value>) -> Result<Zeroizing<String>, ApiError> {
    let code = text(members, "code", MAX_CODE)?;
    Ok(Zeroizing::new(code.chars().filter(|c| !c.is_whitespace()).collect()))
}

/// What an authenticator app reads.
fn otpauth(account: &AccountId, user: &str, secret: &str) -> Zeroizing<String> {
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
