//! Passkeys at the door: challenges, signing in, proving again, and the first one of somebody who opened a link.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_aws_api::ApiError;
use marram_identity::{CallError, Principal};
use marram_types::Timestamp;
use serde_json::{Map, Value, json};

use super::{AGAIN, ENROL, LOGIN, METHOD, Proof, Spent, name_of};
use crate::console::Console;
use crate::credential::bound;
use crate::door::{Person, Reply};
use crate::fault;
use crate::passkey::{
    Assertion, Known, LIFE, MAX_ATTESTATION, MAX_CREDENTIAL_ID, MAX_PIECE, Made, Party, Passkey, Purpose, Refusal,
    Registration,
};
use crate::request::{Asked, text};
use crate::session::{Session, State, folded_name};
use crate::token::TokenHash;

/// Longest name of a purpose, in bytes.
const MAX_PURPOSE: usize = 16;
/// Longest name of a passkey, in characters.
const MAX_NAME_CHARS: usize = 64;
/// How the installation is called where a browser shows it.
const PARTY_NAME: &str = "Marram";

impl Console {
    /// Where passkeys work, as pages want to know it; null where browsers keep none.
    pub(crate) fn passkey_party(&self) -> Value {
        self.inner.party.get().map_or(Value::Null, |party| json!({"rpId": party.id, "origin": party.origin}))
    }

    pub(crate) fn party(&self) -> Result<&Party, ApiError> {
        self.inner.party.get().ok_or_else(fault::no_passkeys)
    }

    /// `passkey/challenge`: what a browser needs to ask an authenticator, for one purpose.
    pub(crate) fn challenge(
        &self,
        asked: &Asked<'_>,
        session: Option<Arc<Session>>,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let party = self.party()?;
        let cookie = cookie_of(asked)?;
        match text(members, "purpose", MAX_PURPOSE)? {
            "sign-in" => Ok(self.question(party, &cookie, Purpose::SignIn, asked.now, &[])),
            "again" => {
                let person = self.person(session)?;
                let own = self.passkeys_of(&person.principal)?;
                Ok(self.question(party, &cookie, Purpose::Again, asked.now, &own))
            }
            "enrol" => {
                let session = session.ok_or_else(fault::unauthenticated)?;
                if !matches!(session.state, State::Enrolling(_)) {
                    return Err(fault::invalid("state", "This session has enrolled already."));
                }
                let principal = session.principal(&self.inner.identity).ok_or_else(fault::unauthenticated)?;
                self.invitation(party, &cookie, Purpose::Enrol, asked.now, &principal)
            }
            "add" => {
                let person = self.person(session)?;
                if !person.session.is_fresh(asked.now) {
                    return Err(fault::stale());
                }
                self.invitation(party, &cookie, Purpose::Add, asked.now, &person.principal)
            }
            _ => Err(fault::invalid("purpose", "purpose is one of sign-in, again, enrol, add.")),
        }
    }

    /// What `navigator.credentials.get` is asked.
    fn question(&self, party: &Party, cookie: &TokenHash, purpose: Purpose, now: Timestamp, own: &[Passkey]) -> Value {
        let challenge = self.inner.challenges.make(cookie, purpose, now);
        json!({
            "challenge": URL_SAFE_NO_PAD.encode(challenge), "rpId": party.id, "timeout": LIFE.as_secs() * 1000,
            "userVerification": "required", "allow": ids_of(own),
        })
    }

    /// What `navigator.credentials.create` is asked.
    fn invitation(
        &self,
        party: &Party,
        cookie: &TokenHash,
        purpose: Purpose,
        now: Timestamp,
        principal: &Principal,
    ) -> Result<Value, ApiError> {
        let challenge = self.inner.challenges.make(cookie, purpose, now);
        let (user, own) = (name_of(principal), self.passkeys_of(principal)?);
        Ok(json!({
            "challenge": URL_SAFE_NO_PAD.encode(challenge), "timeout": LIFE.as_secs() * 1000,
            "rp": {"id": party.id, "name": PARTY_NAME},
            "user": {
                "id": URL_SAFE_NO_PAD.encode(handle_of(principal)),
                "name": format!("{user}@{}", principal.account), "displayName": user,
            },
            "algorithms": Party::algorithms(), "userVerification": "required", "residentKey": "required",
            "attestation": "none", "exclude": ids_of(&own),
        }))
    }

    /// The passkeys of a user, the oldest first.
    pub(crate) fn passkeys_of(&self, principal: &Principal) -> Result<Vec<Passkey>, ApiError> {
        let user = folded_name(principal);
        let read = self
            .inner
            .identity
            .read_sign_in(|snapshot| Passkey::of_user(snapshot, &principal.account, &user, &principal.unique_id));
        Ok(read?)
    }

    /// `sign-in/passkey`: the passkey tells who it is.
    pub(crate) async fn sign_in_with_passkey(
        &self,
        asked: &Asked<'_>,
        members: &Map<String, Value>,
    ) -> Result<Reply, ApiError> {
        let proof = self.prove_with_passkey(asked, LOGIN, None, members)?;
        self.replace_session(asked, LOGIN, proof, self.session(asked).as_deref()).await
    }

    /// `reauthenticate/passkey`.
    pub(crate) async fn reauthenticate_with_passkey(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Reply, ApiError> {
        let proof = self.prove_with_passkey(asked, AGAIN, Some(person), members)?;
        self.replace_session(asked, AGAIN, proof, Some(&person.session)).await
    }

    /// Checks an assertion. `of`: the person who must have given it; none: whoever it names.
    fn prove_with_passkey(
        &self,
        asked: &Asked<'_>,
        event: &'static str,
        of: Option<&Person>,
        members: &Map<String, Value>,
    ) -> Result<Proof, ApiError> {
        let inner = &self.inner;
        let (party, cookie, assertion) = (self.party()?, cookie_of(asked)?, assertion_of(members)?);
        let key = of.map(|person| (&person.session.account, person.session.user.as_str()));
        let attempt = inner.throttle.begin(key, asked.source_ip(), asked.now).map_err(fault::throttled)?;
        let kept = inner.identity.read_sign_in(|snapshot| Passkey::find(snapshot, &assertion.id))?;
        let owner = kept.as_ref().and_then(|kept| {
            let user = inner.identity.user_principal(&kept.account, &kept.user)?;
            (user.unique_id == kept.user_id).then_some(user)
        });
        let handle = owner.as_ref().map(handle_of).unwrap_or_default();
        let known = kept.as_ref().zip(owner.as_ref()).map(|(kept, _)| Known {
            key: &kept.key,
            counter: kept.counter,
            backup_eligible: kept.backup_eligible,
            handle: &handle,
            is_discovered: of.is_none(),
        });
        let purpose = if of.is_some() { Purpose::Again } else { Purpose::SignIn };
        let spend = |challenge: &[u8]| inner.challenges.spend(challenge, &cookie, purpose, asked.now);
        let verified = assertion.verify(party, known, spend).and_then(|used| {
            let owner = owner.clone().ok_or(Refusal::Unknown)?;
            let is_theirs = of.is_none_or(|person| {
                person.principal.account == owner.account && person.principal.unique_id == owner.unique_id
            });
            if is_theirs { Ok((owner, used)) } else { Err(Refusal::Person) }
        });
        match (verified, kept) {
            (Ok((principal, used)), Some(kept)) => {
                inner.throttle.succeeded(&attempt);
                Ok(Proof { principal, spent: Spent::Passkey { id: kept.id, name: kept.name, used } })
            }
            (verified, _) => {
                let why = verified.err().unwrap_or(Refusal::Unknown);
                // Whoever is signed in failed; else whoever's passkey it claims to be.
                let principal = of.map(|person| &person.principal).or(owner.as_ref());
                let account = principal.map_or(&inner.options.home, |principal| &principal.account);
                let facts = asked.sign_in_facts(&inner.options.region);
                inner.identity.note_failed_sign_in(account, principal, &facts, event, &why.to_string());
                Err(fault::wrong_passkey())
            }
        }
    }

    /// `enrol/passkey`: keeps the first passkey and signs in. Sessions the user had end, other ways to sign in go.
    pub(crate) async fn enrol_passkey(
        &self,
        asked: &Asked<'_>,
        session: Option<Arc<Session>>,
        members: &Map<String, Value>,
    ) -> Result<Reply, ApiError> {
        let inner = &self.inner;
        let enrolling = session.ok_or_else(fault::unauthenticated)?;
        if !matches!(enrolling.state, State::Enrolling(_)) {
            return Err(fault::invalid("state", "This session has enrolled already."));
        }
        let principal = enrolling.principal(&inner.identity).ok_or_else(fault::unauthenticated)?;
        let (passkey, made) = self.new_passkey(asked, ENROL, Purpose::Enrol, &principal, members)?;
        let step = inner
            .identity
            .sign_in(principal, asked.sign_in_facts(&inner.options.region))
            .detail(METHOD, "passkey")
            .detail("PasskeyName", passkey.name.as_str());
        self.finish_enrolment(asked, &enrolling, step, move |tx, _, _| {
            if passkey.insert(tx, &made)? { Ok(()) } else { Err(CallError::from(taken())) }
        })
        .await
    }

    /// Checks a registration, which then is ready to be stored.
    pub(crate) fn new_passkey(
        &self,
        asked: &Asked<'_>,
        event: &'static str,
        purpose: Purpose,
        principal: &Principal,
        members: &Map<String, Value>,
    ) -> Result<(Passkey, Made), ApiError> {
        let inner = &self.inner;
        let (party, cookie) = (self.party()?, cookie_of(asked)?);
        let name = passkey_name(members)?;
        let registration = Registration {
            client_data: bytes(members, "clientDataJSON", MAX_PIECE)?,
            attestation: bytes(members, "attestationObject", MAX_ATTESTATION)?,
        };
        let user = folded_name(principal);
        let key = Some((&principal.account, user.as_str()));
        let attempt = inner.throttle.begin(key, asked.source_ip(), asked.now).map_err(fault::throttled)?;
        let spend = |challenge: &[u8]| inner.challenges.spend(challenge, &cookie, purpose, asked.now);
        let made = registration.verify(party, spend).map_err(|why| {
            let facts = asked.sign_in_facts(&inner.options.region);
            let (account, why) = (&principal.account, why.to_string());
            inner.identity.note_failed_sign_in(account, Some(principal), &facts, event, &why);
            fault::invalid("credential", format!("The passkey was not accepted: {why}."))
        })?;
        inner.throttle.succeeded(&attempt);
        let passkey = Passkey {
            id: made.id.clone(),
            account: principal.account.clone(),
            user,
            user_id: principal.unique_id.clone(),
            party: party.id.clone(),
            name,
            key: made.key.clone(),
            counter: made.counter,
            backup_eligible: made.backup_eligible,
            backed_up: made.backed_up,
            created: asked.now,
            used: None,
        };
        Ok((passkey, made))
    }
}

/// The credential belongs to somebody of this installation.
pub(crate) fn taken() -> ApiError {
    fault::invalid("credential", "This passkey is registered already.")
}

/// What an authenticator knows a user by: nothing that says who it is.
fn handle_of(principal: &Principal) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"marram console user v1\n");
    context.update(&bound(&principal.account, &principal.unique_id));
    context.finish().as_ref().to_vec()
}

fn ids_of(passkeys: &[Passkey]) -> Vec<String> {
    passkeys.iter().map(|passkey| URL_SAFE_NO_PAD.encode(&passkey.id)).collect()
}

fn cookie_of(asked: &Asked<'_>) -> Result<TokenHash, ApiError> {
    asked.token.as_ref().map(crate::token::Token::hash).ok_or_else(fault::csrf)
}

fn assertion_of(members: &Map<String, Value>) -> Result<Assertion, ApiError> {
    let handle = match members.get("userHandle") {
        None | Some(Value::Null) => None,
        Some(_) => Some(bytes(members, "userHandle", 64)?),
    };
    Ok(Assertion {
        id: bytes(members, "id", MAX_CREDENTIAL_ID)?,
        client_data: bytes(members, "clientDataJSON", MAX_PIECE)?,
        data: bytes(members, "authenticatorData", MAX_PIECE)?,
        signature: bytes(members, "signature", MAX_PIECE)?,
        handle,
    })
}

/// A member in base64url.
pub(crate) fn bytes(members: &Map<String, Value>, name: &str, max: usize) -> Result<Vec<u8>, ApiError> {
    let text = text(members, name, max.div_ceil(3) * 4)?;
    let bytes = URL_SAFE_NO_PAD.decode(text);
    bytes.map_err(|_| fault::invalid(name, format!("{name} must be base64url without padding.")))
}

/// What a person calls a passkey.
pub(crate) fn passkey_name(members: &Map<String, Value>) -> Result<String, ApiError> {
    let name = text(members, "name", MAX_NAME_CHARS * 4)?.trim();
    let length = name.chars().count();
    if (1..=MAX_NAME_CHARS).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(fault::invalid("name", format!("A name has 1 to {MAX_NAME_CHARS} characters.")))
}
