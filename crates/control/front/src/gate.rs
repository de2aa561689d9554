//! The gate: from a presented signature to a principal, and from a finished call to its audit record.

use std::net::IpAddr;
use std::sync::Arc;

use marram_audit::{Audit, AuditRecord, Decision, EventType, Tls, UserIdentity};
use marram_aws_api::ApiError;
use marram_aws_api::redact::redact;
use marram_identity::{CallContext, CallFacts, Identity, Principal};
use marram_sigv4::{AuthFailure, Expectation, Payload, Presented, Request};
use marram_types::{AccountId, Region, RequestId, SecretString, Timestamp};
use serde_json::Value;

/// Everything a signature is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// What the request claims.
    pub presented: &'a Presented,
    /// The request as it arrived.
    pub request: &'a Request<'a>,
    /// Its whole body.
    pub body: &'a [u8],
    /// What is served here.
    pub expect: &'a Expectation<'a>,
    /// The present moment.
    pub now: Timestamp,
}

/// Who is let in, and what is written down when they leave.
pub trait Gate: Send + Sync {
    /// The principal whose secret signed the request.
    ///
    /// # Errors
    /// Why not; in the same time whether or not the key exists.
    fn admit(&self, admission: &Admission<'_>) -> Result<Principal, AuthFailure>;

    /// Begins the call of an admitted principal.
    fn begin(&self, principal: Principal, facts: CallFacts) -> CallContext;

    /// Records a call that is over, unless its commit has done so.
    fn conclude(&self, ctx: &CallContext, outcome: &Result<Value, ApiError>);

    /// Records a request that was not authenticated though its key id is one of ours (control-plane-api 10.2).
    fn refused(&self, refusal: &Refused<'_>);
}

/// A request that was not authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// The key id it named.
    pub access_key_id: &'a str,
    /// The service it was signed for.
    pub event_source: &'static str,
    /// The operation it asked for, where that is known.
    pub event_name: &'a str,
    /// Where the listener is.
    pub region: &'a Region,
    /// When.
    pub now: Timestamp,
    /// Answered to the client.
    pub request_id: RequestId,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// As sent.
    pub user_agent: &'a str,
    /// Code and message of the answer.
    pub error: &'a ApiError,
}

/// Where secrets are looked up.
pub trait KeyRing: Send + Sync {
    /// The principal and the secret behind a key id and session token; `Ok(None)` when the key id is unknown.
    ///
    /// # Errors
    /// [`AuthFailure::TokenInvalid`], [`AuthFailure::TokenExpired`].
    fn find(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<(Principal, SecretString)>, AuthFailure>;

    /// The account a key id belongs to, for the audit record of a failed authentication.
    fn account_of(&self, access_key_id: &str) -> Option<AccountId>;
}

/// The gate of an installation: keys from a ring, calls by [`Identity`], records to [`Audit`].
pub struct IdentityGate {
    identity: Identity,
    audit: Audit,
    keys: Arc<dyn KeyRing>,
}

impl IdentityGate {
    /// Puts the three together.
    pub fn new(identity: Identity, audit: Audit, keys: Arc<dyn KeyRing>) -> IdentityGate {
        IdentityGate { identity, audit, keys }
    }
}

impl Gate for IdentityGate {
    fn admit(&self, admission: &Admission<'_>) -> Result<Principal, AuthFailure> {
        let presented = admission.presented;
        let payload = Payload::Bytes(admission.body);
        let now = admission.now.as_secs();
        // A bad token is told only after the signature work, which takes its time for unknown keys too.
        let found = self.keys.find(presented.access_key_id(), presented.token(), admission.now);
        let secret = found.as_ref().ok().and_then(Option::as_ref).map(|(_, secret)| secret);
        let verified = presented.verify(admission.request, payload, secret, now, admission.expect);
        match found? {
            Some((principal, _)) => verified.map(|_| principal),
            None => Err(verified.err().unwrap_or(AuthFailure::UnknownKey)),
        }
    }

    fn begin(&self, principal: Principal, facts: CallFacts) -> CallContext {
        self.identity.context(principal, facts)
    }

    fn conclude(&self, ctx: &CallContext, outcome: &Result<Value, ApiError>) {
        let operation = ctx.operation;
        // A mutation that succeeded wrote its record in its own transaction.
        if outcome.is_ok() && !operation.read_only {
            return;
        }
        let event_source = operation.service.table().event_source;
        let mut record = AuditRecord::new(
            ctx.account.clone(),
            ctx.region.clone(),
            ctx.now,
            event_source,
            operation.name,
            user_identity(&ctx.principal),
        );
        record.source_ip_address = ctx.source_ip.to_string();
        record.user_agent = ctx.user_agent.clone();
        record.request_parameters = ctx.request_parameters.clone();
        record.request_id = Some(ctx.request_id);
        record.read_only = operation.read_only;
        record.event_type = EventType::ApiCall;
        record.tls = Some(Tls {
            version: ctx.tls.version.clone(),
            cipher_suite: ctx.tls.cipher_suite.clone(),
            host: ctx.tls.host.clone(),
        });
        match outcome {
            Ok(answer) if !operation.read_only => {
                record.response_elements = operation.output.map_or(Value::Null, |shape| redact(shape, answer));
            }
            Ok(_) => {}
            Err(error) => {
                record.decision = decision(error);
                record.error = Some((error.code.to_string(), error.message.clone()));
            }
        }
        self.audit.enqueue(record);
    }

    fn refused(&self, refused: &Refused<'_>) {
        let Some(account) = self.keys.account_of(refused.access_key_id) else { return };
        let identity = UserIdentity {
            kind: "Unknown".into(),
            account_id: Some(account.as_str().into()),
            access_key_id: Some(refused.access_key_id.into()),
            ..UserIdentity::default()
        };
        let mut record = AuditRecord::new(
            account,
            refused.region.clone(),
            refused.now,
            refused.event_source,
            refused.event_name,
            identity,
        );
        record.source_ip_address = refused.source_ip.to_string();
        record.user_agent = refused.user_agent.to_owned();
        record.request_id = Some(refused.request_id);
        record.error = Some((refused.error.code.to_string(), refused.error.message.clone()));
        record.decision = Decision::Unauthenticated;
        self.audit.enqueue(record);
    }
}

fn decision(error: &ApiError) -> Decision {
    match error.code.as_ref() {
        "AccessDeniedException" if error.message.contains("explicit deny") => Decision::ExplicitDeny,
        "AccessDeniedException" => Decision::ImplicitDeny,
        _ => Decision::NotEvaluated,
    }
}

fn user_identity(principal: &Principal) -> UserIdentity {
    UserIdentity {
        kind: principal.audit_type().into(),
        principal_id: Some(principal.unique_id.clone()),
        arn: Some(principal.arn.clone()),
        account_id: Some(principal.account.as_str().into()),
        access_key_id: principal.access_key_id.clone(),
        ..UserIdentity::default()
    }
}
