//! The SigV4 gate: from a request to a proven [`Principal`].
//!
//! Keys, tokens and policies come from memory. Whatever is wrong with a key (unknown, inactive, its user gone) looks the
//! same from outside and costs the same time.

use std::net::IpAddr;
use std::sync::Arc;

use marram_audit::{AuditRecord, Decision, UserIdentity};
use marram_authz::ConditionValues;
use marram_aws_api::ApiError;
use marram_sigv4::{AuthFailure, Expectation, Payload, Presented, Request, SigningKey, Verified};
use marram_types::{AccountId, Region, RequestId, Timestamp};
use smol_str::SmolStr;

use crate::directory::Directory;
use crate::identity::{Identity, user_principal};
use crate::principal::{Principal, PrincipalKind};
use crate::session::{Claims, Issuer};

/// A signed request to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// What the request claims.
    pub presented: &'a Presented,
    /// The request as it arrived.
    pub request: &'a Request<'a>,
    /// Its body.
    pub payload: Payload<'a>,
    /// Regions and services that are served, never what the request claims.
    pub expect: &'a Expectation<'a>,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// The present moment.
    pub now: Timestamp,
}

/// What is known about a request that was not authenticated.
#[derive(Clone, Debug)]
pub struct RefusedFacts<'a> {
    /// `iot.amazonaws.com`.
    pub event_source: &'a str,
    /// The operation asked for, when the request was routed; else `Unknown`.
    pub event_name: &'a str,
    /// Where the listener is.
    pub region: &'a Region,
    /// When.
    pub now: Timestamp,
    /// Answered in the response header.
    pub request_id: RequestId,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// As sent.
    pub user_agent: &'a str,
}

impl Identity {
    /// The principal whose secret signed the request.
    ///
    /// # Errors
    /// Why not, to be told to [`Identity::note_refused`].
    pub fn admit(&self, asked: &Admission<'_>) -> Result<(Arc<Principal>, Verified), AuthFailure> {
        self.admit_stream(asked).map(|(principal, verified, _)| (principal, verified))
    }

    /// As [`Identity::admit`], with the key that the signatures of the chunks of a streamed body are checked with.
    ///
    /// # Errors
    /// As [`Identity::admit`].
    pub fn admit_stream(&self, asked: &Admission<'_>) -> Result<(Arc<Principal>, Verified, SigningKey), AuthFailure> {
        if self.throttle().wait_secs(asked.source_ip, asked.now).is_some() {
            return Err(AuthFailure::TooManyFailures);
        }
        let directory = self.directory_at_a_glance();
        let outcome = match asked.presented.token() {
            Some(token) => self.check_session(asked, token, &directory),
            None => self.check_key(asked, &directory),
        };
        if let Err(failure) = &outcome {
            // A wrong clock or a session that ended is no attempt at guessing.
            let honest = matches!(
                failure,
                AuthFailure::Expired { .. } | AuthFailure::NotYetValid { .. } | AuthFailure::TokenExpired
            );
            if !honest {
                self.throttle().failed(asked.source_ip, asked.now);
            }
        }
        outcome
    }

    /// The account a key id belongs to, for the audit record of a failed authentication. For temporary keys the token
    /// tells.
    pub fn account_of(&self, access_key_id: &str, token: Option<&str>) -> Option<AccountId> {
        match token {
            Some(token) => Claims::open(self.keyring(), access_key_id, token).map(|claims| claims.account),
            None => self.directory().keys.get(access_key_id).map(|key| key.account.clone()),
        }
    }

    /// Writes down a request that was refused though its key is one of ours (control-plane-api.md section 10.2).
    pub fn note_refused(&self, account: AccountId, access_key_id: &str, facts: &RefusedFacts<'_>, error: &ApiError) {
        let identity = UserIdentity {
            kind: SmolStr::new_static("Unknown"),
            account_id: Some(SmolStr::new(account.as_str())),
            access_key_id: Some(SmolStr::new(access_key_id)),
            ..UserIdentity::default()
        };
        let mut record =
            AuditRecord::new(account, facts.region.clone(), facts.now, facts.event_source, facts.event_name, identity);
        record.error = Some((error.code.to_string(), error.message.clone()));
        record.source_ip_address = facts.source_ip.to_canonical().to_string();
        record.user_agent = facts.user_agent.to_owned();
        record.request_id = Some(facts.request_id);
        record.decision = Decision::Unauthenticated;
        self.audit().enqueue(record);
    }

    fn check_key(
        &self,
        asked: &Admission<'_>,
        directory: &Directory,
    ) -> Result<(Arc<Principal>, Verified, SigningKey), AuthFailure> {
        let presented = asked.presented;
        let Some(key) = directory.keys.get(presented.access_key_id()).filter(|key| key.active) else {
            return Err(verify_unknown(asked));
        };
        let signing = key.signing_key(presented.scope());
        let verified = verify_with(asked, &signing)?;
        let account = directory.account(&key.account);
        let user = account.and_then(|account| account.user_principal(&key.user)).ok_or(AuthFailure::UnknownKey)?;
        let principal = key.caller(user);
        key.usage.note(asked.now, &presented.scope().service, &presented.scope().region);
        Ok((principal, verified, signing))
    }

    fn check_session(
        &self,
        asked: &Admission<'_>,
        token: &str,
        directory: &Directory,
    ) -> Result<(Arc<Principal>, Verified, SigningKey), AuthFailure> {
        let id = asked.presented.access_key_id();
        let Some(claims) = Claims::open(self.keyring(), id, token) else {
            // The same work as for a token that opens.
            return Err(match verify_unknown(asked) {
                AuthFailure::UnknownKey => AuthFailure::TokenInvalid,
                other => other,
            });
        };
        let secret = self.keyring().session_secret(id);
        let signing = SigningKey::derive(&secret, asked.presented.scope());
        let verified = verify_with(asked, &signing)?;
        let principal = self.session_principal(directory, id, &claims, asked.now)?;
        Ok((Arc::new(principal), verified, signing))
    }

    /// The principal of a session whose token has been opened.
    fn session_principal(
        &self,
        directory: &Directory,
        access_key_id: &str,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<Principal, AuthFailure> {
        if now.as_secs() >= claims.expires {
            return Err(AuthFailure::TokenExpired);
        }
        let kept = self.kept_session(access_key_id);
        if kept.as_ref().is_some_and(|kept| kept.revoked) || (claims.has_policies && kept.is_none()) {
            return Err(AuthFailure::TokenInvalid);
        }
        let partition = self.partition().as_str();
        let mut principal = principal_of(directory, claims, partition).ok_or(AuthFailure::TokenInvalid)?;
        principal.access_key_id = Some(SmolStr::new(access_key_id));
        if claims.has_policies {
            principal.authority.session = kept.map(|kept| kept.policies);
        }
        Ok(principal)
    }
}

fn verify_with(asked: &Admission<'_>, key: &SigningKey) -> Result<Verified, AuthFailure> {
    asked.presented.verify_with(asked.request, asked.payload, Some(key), asked.now.as_secs(), asked.expect)
}

/// The failure of a request whose key is not ours, after the work a key of ours would have cost.
fn verify_unknown(asked: &Admission<'_>) -> AuthFailure {
    let outcome = asked.presented.verify(asked.request, asked.payload, None, asked.now.as_secs(), asked.expect);
    outcome.err().unwrap_or(AuthFailure::UnknownKey)
}

/// The principal a session stands for, without key and session policies; `None` when its user or role is gone.
pub(crate) fn principal_of(directory: &Directory, claims: &Claims, partition: &str) -> Option<Principal> {
    let dir = directory.account(&claims.account)?;
    let mut principal = match &claims.issuer {
        Issuer::Root => Principal::root(claims.account.clone(), partition),
        Issuer::User(folded, id) => {
            let user = dir.users.get(folded).filter(|user| user.entity.id == *id)?;
            user_principal(directory, &claims.account, &user.entity.name.to_lowercase())?
        }
        Issuer::Role(folded, id, session) => {
            let role = dir.roles.get(folded).filter(|role| role.entity.id == *id)?;
            let kind = PrincipalKind::RoleSession {
                role_arn: SmolStr::new(&role.arn),
                role_name: SmolStr::new(&role.entity.name),
                role_id: SmolStr::new(id),
                session_name: SmolStr::new(session),
            };
            let arn = format!("arn:{partition}:sts::{}:assumed-role/{}/{session}", claims.account, role.entity.name);
            let unique_id = SmolStr::new(format!("{id}:{session}"));
            let mut principal = Principal::bare(claims.account.clone(), kind, SmolStr::new(arn), unique_id);
            let mut tags: std::collections::BTreeMap<SmolStr, SmolStr> =
                role.entity.tags.iter().map(|tag| ((&tag.key).into(), (&tag.value).into())).collect();
            for (key, value) in &claims.tags {
                // A session tag replaces the role's tag of the same name, whatever its case.
                tags.retain(|known, _| known.to_lowercase() != key.to_lowercase());
                tags.insert(key.into(), value.into());
            }
            principal.tags = Arc::new(tags);
            principal.authority = dir.role_authority(folded)?.clone();
            principal
        }
    };
    principal.session_started = Some(Timestamp::from_secs(claims.began));
    principal.mfa_at = claims.mfa_at.map(Timestamp::from_secs);
    principal.source_identity = claims.source_identity.as_deref().map(SmolStr::new);
    principal.transitive = claims.transitive.iter().map(SmolStr::new).collect();
    if !claims.facts.is_empty() {
        let mut facts = ConditionValues::new();
        for (key, value) in &claims.facts {
            facts.set(key, value.as_str());
        }
        principal.session_facts = Arc::new(facts);
    }
    Some(principal)
}
