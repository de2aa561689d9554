//! The gate: from a presented signature to a principal, and from a finished call to its audit record.

use std::net::IpAddr;
use std::sync::Arc;

use marram_audit::AuditUnavailable;
use marram_aws_api::ApiError;
use marram_identity::{BoxFuture, CallContext, CallFacts, Identity, Principal, RefusedFacts};
use marram_sigv4::{AuthFailure, Expectation, Payload, Presented, Request};
use marram_types::{Region, RequestId, Timestamp};
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
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// The present moment.
    pub now: Timestamp,
}

/// Who is let in, and what is written down when they leave.
pub trait Gate: Send + Sync {
    /// The principal whose secret signed the request.
    ///
    /// # Errors
    /// Why not; in the same time whether or not the key exists.
    fn admit(&self, admission: &Admission<'_>) -> Result<Arc<Principal>, AuthFailure>;

    /// Whether the call's record will find room: `None` when that takes waiting.
    fn room_now(&self) -> Option<Result<(), AuditUnavailable>>;

    /// Waits until the call's record will find room.
    ///
    /// # Errors
    /// Nothing can be recorded, so nothing may be done (security 7.2).
    fn room(&self) -> BoxFuture<'_, Result<(), AuditUnavailable>>;

    /// Counts a call of an admitted principal that was refused because nothing can be recorded.
    fn unrecorded(&self, principal: &Principal, region: &Region);

    /// Begins the call of an admitted principal.
    fn begin(&self, principal: Arc<Principal>, facts: CallFacts) -> CallContext;

    /// Records a call that is over, unless its commit has done so.
    fn conclude(&self, ctx: &CallContext, outcome: &Result<Value, ApiError>);

    /// As [`Gate::conclude`], for a call that a page may repeat.
    fn conclude_repeatable(&self, ctx: &CallContext, outcome: &Result<Value, ApiError>) {
        self.conclude(ctx, outcome);
    }

    /// Records a request that was not authenticated though its key id is one of ours (control-plane-api 10.2).
    fn refused(&self, refusal: &Refused<'_>);
}

/// A request that was not authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// The key id it named.
    pub access_key_id: &'a str,
    /// The session token it brought.
    pub token: Option<&'a str>,
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

/// The gate of an installation: its identities, keys and sessions.
pub struct IdentityGate {
    identity: Identity,
}

impl IdentityGate {
    /// A gate in front of these identities.
    pub fn new(identity: Identity) -> IdentityGate {
        IdentityGate { identity }
    }
}

impl Gate for IdentityGate {
    fn admit(&self, admission: &Admission<'_>) -> Result<Arc<Principal>, AuthFailure> {
        let asked = marram_identity::Admission {
            presented: admission.presented,
            request: admission.request,
            payload: Payload::Bytes(admission.body),
            expect: admission.expect,
            source_ip: admission.source_ip,
            now: admission.now,
        };
        self.identity.admit(&asked).map(|(principal, _)| principal)
    }

    fn room_now(&self) -> Option<Result<(), AuditUnavailable>> {
        self.identity.audit().room_now()
    }

    fn room(&self) -> BoxFuture<'_, Result<(), AuditUnavailable>> {
        Box::pin(self.identity.audit().room())
    }

    fn unrecorded(&self, principal: &Principal, region: &Region) {
        self.identity.audit().note_unrecorded(&principal.account, region);
    }

    fn begin(&self, principal: Arc<Principal>, facts: CallFacts) -> CallContext {
        self.identity.context(principal, facts)
    }

    fn conclude_repeatable(&self, ctx: &CallContext, outcome: &Result<Value, ApiError>) {
        ctx.finish_repeatable(outcome);
    }

    fn conclude(&self, ctx: &CallContext, outcome: &Result<Value, ApiError>) {
        ctx.finish(outcome);
    }

    fn refused(&self, refused: &Refused<'_>) {
        let Some(account) = self.identity.account_of(refused.access_key_id, refused.token) else { return };
        let facts = RefusedFacts {
            event_source: refused.event_source,
            event_name: refused.event_name,
            region: refused.region,
            now: refused.now,
            request_id: refused.request_id,
            source_ip: refused.source_ip,
            user_agent: refused.user_agent,
        };
        self.identity.note_refused(account, refused.access_key_id, &facts, refused.error);
    }
}
