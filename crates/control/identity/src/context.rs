//! One call: who, what for, from where, and the only doors to storage.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use marram_authz::ConditionValues;
use marram_aws_api::{ApiError, Operation};
use marram_store::{Snapshot, Tx};
use marram_types::{AccountId, Partition, Region, RequestId, Timestamp};
use serde_json::Value;

use crate::error::CallError;
use crate::identity::Identity;
use crate::principal::{Principal, PrincipalKind};

/// What the front door knows of a request besides its signer.
#[derive(Clone, Debug)]
pub struct CallFacts {
    /// Region the call is executed in.
    pub region: Region,
    /// Answered in `x-amzn-RequestId`, noted in the audit record.
    pub request_id: RequestId,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// As sent, at most 1,024 bytes kept.
    pub user_agent: String,
    /// The moment the request was accepted; the whole call happens at this moment.
    pub now: Timestamp,
    /// What is called.
    pub operation: &'static Operation,
    /// The input with sensitive members hidden, for the audit record.
    pub request_parameters: Value,
    /// How the connection was protected.
    pub tls: TlsDetails,
}

/// `tlsDetails` of the audit record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsDetails {
    /// `TLSv1.3`.
    pub version: String,
    /// `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: String,
    /// The `Host` the client asked for.
    pub host: String,
}

/// One call of one operation by one principal.
#[derive(Debug)]
pub struct CallContext {
    /// Account the call is executed in: the principal's.
    pub account: AccountId,
    /// Region the call is executed in.
    pub region: Region,
    /// `aws` unless the installation says otherwise.
    pub partition: Partition,
    /// Who calls.
    pub principal: Principal,
    /// Answered in `x-amzn-RequestId`, noted in the audit record.
    pub request_id: RequestId,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// As sent.
    pub user_agent: String,
    /// The moment of the call.
    pub now: Timestamp,
    /// What is called.
    pub operation: &'static Operation,
    /// The input with sensitive members hidden.
    pub request_parameters: Value,
    /// How the connection was protected.
    pub tls: TlsDetails,
    identity: Identity,
    trail: Mutex<Trail>,
}

/// What the audit record will say of the decisions of a call.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// `{policy}#{statement}` of every statement that decided.
    pub matched: Vec<String>,
    /// Actions asked for, with their resources.
    pub resources: Vec<(String, String)>,
    /// A commit has appended the record.
    pub recorded: bool,
}

/// Proof that this call was authorized. Made by [`CallContext::authorize`] alone, spent by [`CallContext::commit`].
#[derive(Debug)]
#[must_use = "a grant is spent by commit; a read may drop it explicitly"]
pub struct Grant {
    request_id: RequestId,
}

/// One of several permissions that [`CallContext::authorize_all`] asks for.
#[derive(Clone, Debug)]
pub struct Need<'a> {
    /// `iot:AddThingToThingGroup`.
    pub action: &'a str,
    /// Full ARN, or `*`.
    pub resource: &'a str,
    /// Condition values of this resource.
    pub conditions: ConditionValues,
}

impl CallContext {
    /// Puts a call together; `Identity::context` is the public way.
    pub(crate) fn new(identity: Identity, principal: Principal, facts: CallFacts) -> CallContext {
        CallContext {
            account: principal.account.clone(),
            region: facts.region,
            partition: identity.partition().clone(),
            principal,
            request_id: facts.request_id,
            source_ip: facts.source_ip,
            user_agent: facts.user_agent,
            now: facts.now,
            operation: facts.operation,
            request_parameters: facts.request_parameters,
            tls: facts.tls,
            identity,
            trail: Mutex::default(),
        }
    }

    /// Decides whether the caller may do `action` on `resource` (a full ARN, or `*`). `conditions` adds what only the
    /// operation knows: tags of the resource, tags in the request, service keys.
    ///
    /// # Errors
    /// `AccessDeniedException` with the text clients search for (control-plane-api.md section 1.4).
    pub fn authorize(
        &self,
        action: &str,
        resource: &str,
        conditions: impl FnOnce(&mut ConditionValues),
    ) -> Result<Grant, ApiError> {
        let mut values = ConditionValues::new();
        conditions(&mut values);
        self.decide(action, resource, &values)?;
        Ok(Grant { request_id: self.request_id })
    }

    /// As [`CallContext::authorize`] for operations that need several permissions; all must be given.
    ///
    /// # Errors
    /// `AccessDeniedException` naming the first that is missing.
    pub fn authorize_all<'n>(&self, needs: impl IntoIterator<Item = Need<'n>>) -> Result<Grant, ApiError> {
        let mut asked = false;
        for need in needs {
            self.decide(need.action, need.resource, &need.conditions)?;
            asked = true;
        }
        if !asked {
            return Err(ApiError::not_authorized(&self.principal.arn, self.operation.iam_action, "*", false));
        }
        Ok(Grant { request_id: self.request_id })
    }

    /// Runs a mutation and appends the audit record of this call in the same transaction. Resolves when both are durable.
    /// When `T` is a JSON value it becomes the record's `responseElements`.
    ///
    /// # Errors
    /// What the closure answered (then nothing is stored, the front door records the refusal), or the store's failure.
    pub async fn commit<T, F>(&self, grant: Grant, mutation: F) -> Result<T, ApiError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, CallError> + Send + 'static,
        T: Send + 'static,
    {
        if grant.request_id != self.request_id {
            tracing::error!("a grant was spent in another call");
            return Err(ApiError::internal());
        }
        let done = self.identity.store().write(mutation).await.map_err(ApiError::from)?;
        self.trail().recorded = true;
        Ok(done)
    }

    /// Reads from one consistent snapshot. Callers filter by `self.account` and `self.region`.
    ///
    /// # Errors
    /// What the closure answered, or the store's failure.
    pub fn read<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T, CallError>) -> Result<T, CallError> {
        self.identity.store().read(read)
    }

    fn decide(&self, action: &str, resource: &str, _conditions: &ConditionValues) -> Result<(), ApiError> {
        self.trail().resources.push((action.to_owned(), resource.to_owned()));
        match self.principal.kind {
            PrincipalKind::Root => Ok(()),
            _ => Err(ApiError::not_authorized(&self.principal.arn, action, resource, false)),
        }
    }

    fn trail(&self) -> std::sync::MutexGuard<'_, Trail> {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

