//! The SigV4 gate: from a request to a proven [`Principal`].
//!
//! Keys, tokens and policies come from memory. Whatever is wrong with a key (unknown, inactive, its user gone) looks the
//! same from outside and costs the same time.

use std::net::IpAddr;
use std::sync::Arc;

use marram_audit::{AuditRecord, Decision, UserIdentity};
use marram_authz::ConditionValues;
use marram_aws_api::ApiError;
use marram_sigv4::{AuthFailure, ErrorStyle, Expectation, Payload, Presented, Request, Verified};
use marram_types::{AccountId, RequestId, Timestamp};
use smol_str::SmolStr;

use crate::directory::Directory;
use crate::identity::{Identity, user_principal};
use crate::principal::{Principal, PrincipalKind};
use crate::session::{Claims, Issuer};

/// Regions that clients of the global services sign for, whatever their profile says (control-plane-api.md 1.8).
const GLOBAL_REGIONS: [&str; 2] = ["us-east-1", "aws-global"];
/// Signing names of the global services.
const GLOBAL_SERVICES: [&str; 2] = ["iam", "sts"];

/// A request to be authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Credentialed<'a> {
    /// As it arrived.
    pub request: &'a Request<'a>,
    /// Its body.
    pub payload: Payload<'a>,
    /// Signing names that may have been signed for: those of the service the request is routed to.
    pub services: &'a [&'a str],
    /// The operation's model marks the body unsigned.
    pub unsigned_payload: bool,
    /// Address of the peer.
    pub source_ip: IpAddr,
}

/// A request whose signature holds.
#[derive(Debug)]
pub struct Authenticated {
    /// Who signed.
    pub principal: Principal,
    /// What is left to do for the body.
    pub verified: Verified,
    /// Region that was signed for.
    pub region: String,
}

/// A request that was refused at the gate.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: RefusedReason,
    /// The account of the key, when the key is one of ours: its audit log gets a record.
    pub account: Option<AccountId>,
    /// The key id the request named.
    pub access_key_id: Option<String>,
}

/// Why the gate refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedReason {
    /// The signature, or what belongs to it.
    Failure(AuthFailure),
    /// Too many failures from this address; try again after so many seconds.
    Throttled(u32),
}

impl Refused {
    /// The answer in the codes of a protocol.
    pub fn to_error(&self, style: ErrorStyle) -> ApiError {
        match &self.reason {
            RefusedReason::Throttled(secs) => ApiError::throttling(*secs),
            RefusedReason::Failure(failure) => {
                let refusal = failure.refusal(style);
                ApiError::new(refusal.code, refusal.status, refusal.message)
            }
        }
    }
}

/// What is known about a refused request besides its key.
#[derive(Clone, Debug)]
pub struct RefusedFacts<'a> {
    /// `iot.amazonaws.com`.
    pub event_source: &'a str,
    /// The operation asked for, when the request was routed; else `Unknown`.
    pub event_name: &'a str,
    /// Answered in the response header.
    pub request_id: RequestId,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// As sent.
    pub user_agent: &'a str,
}

impl Identity {
    /// Authenticates a request.
    ///
    /// # Errors
    /// [`Refused`], to be answered with [`Refused::to_error`] and told to [`Identity::note_refused`].
    pub fn authenticate(&self, asked: &Credentialed<'_>) -> Result<Authenticated, Refused> {
        let now = self.now();
        let refuse = |reason, account, id: Option<&str>| Refused {
            reason,
            account,
            access_key_id: id.map(str::to_owned),
        };
        if let Some(secs) = self.throttle().wait_secs(asked.source_ip, now) {
            return Err(refuse(RefusedReason::Throttled(secs), None, None));
        }
        let presented = Presented::parse(asked.request).map_err(|failure| {
            if failure != AuthFailure::Missing {
                self.throttle().failed(asked.source_ip, now);
            }
            refuse(RefusedReason::Failure(failure), None, None)
        })?;
        let directory = self.directory();
        let id = presented.access_key_id();
        let (outcome, account) = if let Some(token) = presented.token() {
            let claims = Claims::open(self.keyring(), id, token);
            let account = claims.as_ref().map(|claims| claims.account.clone());
            (self.check_session(asked, &presented, claims, &directory, now), account)
        } else {
            let key = directory.keys.get(id).filter(|key| key.active);
            let account = directory.keys.get(id).map(|key| key.account.clone());
            let verified = match key {
                Some(key) => {
                    let signing = key.signing_key(presented.scope());
                    self.verify_with(asked, &presented, &signing, now)
                }
                None => self.verify_unknown(asked, &presented, now),
            };
            let outcome = verified.and_then(|verified| {
                let key = key.ok_or(AuthFailure::UnknownKey)?;
                let mut principal =
                    user_principal(&directory, &key.account, &key.user).ok_or(AuthFailure::UnknownKey)?;
                principal.access_key_id = Some(key.id.clone());
                key.usage.note(now, &presented.scope().service, &presented.scope().region);
                Ok((principal, verified))
            });
            (outcome, account)
        };
        match outcome {
            Ok((principal, verified)) => {
                Ok(Authenticated { principal, verified, region: presented.scope().region.clone() })
            }
            Err(failure) => {
                let clock = matches!(
                    failure,
                    AuthFailure::Expired { .. } | AuthFailure::NotYetValid { .. } | AuthFailure::TokenExpired
                );
                if !clock {
                    self.throttle().failed(asked.source_ip, now);
                }
                Err(refuse(RefusedReason::Failure(failure), account, Some(id)))
            }
        }
    }

    /// Writes down a refusal of a key that is ours; of others there is no log to write to.
    pub fn note_refused(&self, refused: &Refused, facts: &RefusedFacts<'_>) {
        let (Some(account), RefusedReason::Failure(failure)) = (&refused.account, &refused.reason) else { return };
        let identity = UserIdentity {
            kind: SmolStr::new_static("Unknown"),
            account_id: Some(SmolStr::new(account.as_str())),
            access_key_id: refused.access_key_id.as_deref().map(SmolStr::new),
            ..UserIdentity::default()
        };
        let mut record = AuditRecord::new(
            account.clone(),
            self.regions()[0].clone(),
            self.now(),
            facts.event_source,
            facts.event_name,
            identity,
        );
        let refusal = failure.refusal(ErrorStyle::RestJson);
        record.error = Some((refusal.code.to_owned(), refusal.message));
        record.source_ip_address = facts.source_ip.to_canonical().to_string();
        record.user_agent = facts.user_agent.to_owned();
        record.request_id = Some(facts.request_id);
        record.decision = Decision::Unauthenticated;
        self.audit().enqueue(record);
    }

    fn check_session(
        &self,
        asked: &Credentialed<'_>,
        presented: &Presented,
        claims: Option<Claims>,
        directory: &Directory,
        now: Timestamp,
    ) -> Result<(Principal, Verified), AuthFailure> {
        let id = presented.access_key_id();
        let Some(claims) = claims else {
            // The same work as for a token that opens.
            return match self.verify_unknown(asked, presented, now) {
                Err(AuthFailure::UnknownKey) | Ok(_) => Err(AuthFailure::TokenInvalid),
                Err(other) => Err(other),
            };
        };
        let secret = self.keyring().session_secret(id);
        let signing = marram_sigv4::SigningKey::derive(&secret, presented.scope());
        let verified = self.verify_with(asked, presented, &signing, now)?;
        let principal = self.session_principal(directory, id, &claims, now)?;
        Ok((principal, verified))
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

    fn verify_with(
        &self,
        asked: &Credentialed<'_>,
        presented: &Presented,
        key: &marram_sigv4::SigningKey,
        now: Timestamp,
    ) -> Result<Verified, AuthFailure> {
        self.expecting(asked, presented, |expect| {
            presented.verify_with(asked.request, asked.payload, Some(key), now.as_secs(), expect)
        })
    }

    fn verify_unknown(
        &self,
        asked: &Credentialed<'_>,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Verified, AuthFailure> {
        self.expecting(asked, presented, |expect| {
            presented.verify(asked.request, asked.payload, None, now.as_secs(), expect)
        })
    }

    fn expecting<T>(
        &self,
        asked: &Credentialed<'_>,
        presented: &Presented,
        run: impl FnOnce(&Expectation<'_>) -> T,
    ) -> T {
        let mut regions: Vec<&str> = self.regions().iter().map(|region| region.as_str()).collect();
        if GLOBAL_SERVICES.contains(&presented.scope().service.as_str()) {
            regions.extend(GLOBAL_REGIONS);
        }
        run(&Expectation {
            regions: &regions,
            services: asked.services,
            unsigned_payload: asked.unsigned_payload,
        })
    }
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
