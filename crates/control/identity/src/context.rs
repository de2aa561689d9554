//! One call: who, what for, from where, and the only doors to storage.

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use marram_audit::{AuditRecord, Decision as Recorded, EventType, Resource, Tls};
use marram_authz::{ConditionValues, Decision, Layer, Layers, Outcome, Request};
use marram_aws_api::redact::redact;
use marram_aws_api::{ApiError, Operation, Protocol, ServiceId};
use marram_store::{Snapshot, Tx};
use marram_types::{AccountId, Partition, Region, RequestId, Timestamp};
use serde_json::Value;
use smol_str::SmolStr;
use zeroize::Zeroizing;

use crate::error::CallError;
use crate::facts::CallFactsView;
use crate::identity::Identity;
use crate::keyring::Purpose;
use crate::page::Listing;
use crate::principal::{COMPONENT_KEY, Principal, PrincipalKind};

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
    pub version: SmolStr,
    /// `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: SmolStr,
    /// The `Host` the client asked for.
    pub host: SmolStr,
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
    pub principal: Arc<Principal>,
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
struct Trail {
    /// `{policy}#{statement}` of every statement that decided.
    matched: Vec<String>,
    /// ARNs that were asked for, `*` left out.
    resources: Vec<String>,
    decision: Option<Recorded>,
    /// The record has been appended.
    recorded: bool,
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
    pub(crate) fn new(identity: Identity, principal: Arc<Principal>, facts: CallFacts) -> CallContext {
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

    /// As [`CallContext::authorize`], for a resource with a policy of its own; `policy` comes with the account that owns
    /// the resource.
    ///
    /// # Errors
    /// As [`CallContext::authorize`].
    pub fn authorize_with_policy(
        &self,
        action: &str,
        resource: &str,
        policy: Option<(&marram_authz::Policy, &str)>,
        conditions: impl FnOnce(&mut ConditionValues),
    ) -> Result<Grant, ApiError> {
        let mut values = ConditionValues::new();
        conditions(&mut values);
        self.conclude(action, resource, self.evaluate_against(action, resource, &values, policy))?;
        Ok(Grant { request_id: self.request_id })
    }

    /// As [`CallContext::may`], for a resource with a policy of its own.
    pub fn may_with_policy(&self, action: &str, resource: &str, policy: Option<(&marram_authz::Policy, &str)>) -> bool {
        self.evaluate_against(action, resource, &ConditionValues::new(), policy).is_allowed()
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

    /// As [`CallContext::authorize`] where each of several names of one resource may carry the permission: one must be
    /// allowed, none denied explicitly (a named shadow, CP 5.6).
    ///
    /// # Errors
    /// `AccessDeniedException` naming the first resource, or the one that is denied.
    pub fn authorize_any(&self, action: &str, resources: &[&str]) -> Result<Grant, ApiError> {
        let values = ConditionValues::new();
        let mut allowed = resources.first().copied().unwrap_or("*");
        for resource in resources {
            match self.evaluate(action, resource, &values).outcome {
                Outcome::Allowed => allowed = resource,
                Outcome::ExplicitDeny(_) => {
                    allowed = resource;
                    break;
                }
                Outcome::ImplicitDeny(_) => {}
            }
        }
        self.decide(action, allowed, &values)?;
        Ok(Grant { request_id: self.request_id })
    }

    /// Asks whether the caller may hand `role_arn` over to `service` (`iotthingsgraph.amazonaws.com`): `iam:PassRole` with
    /// `iam:PassedToService`, on a role of the caller's own account (control-plane-api.md section 3.5).
    ///
    /// # Errors
    /// `AccessDeniedException`; also for roles of other accounts, whatever the policies say.
    pub fn authorize_pass_role(&self, role_arn: &str, service: &str) -> Result<(), ApiError> {
        const PASS_ROLE: &str = "iam:PassRole";
        let fields: Vec<&str> = role_arn.splitn(6, ':').collect();
        let own = matches!(
            fields.as_slice(),
            ["arn", _, "iam", "", account, role] if *account == self.account.as_str() && role.starts_with("role/")
        );
        if !own {
            self.note(role_arn, Recorded::ImplicitDeny, Vec::new());
            return Err(ApiError::not_authorized(&self.principal.arn, PASS_ROLE, role_arn, false));
        }
        let mut values = ConditionValues::new();
        values.set("iam:PassedToService", service);
        self.decide(PASS_ROLE, role_arn, &values)
    }

    /// Whether the caller could do `action` on `resource`, without a refusal and without a trace: for listings that show
    /// only what the caller may see.
    pub fn may(&self, action: &str, resource: &str, conditions: impl FnOnce(&mut ConditionValues)) -> bool {
        let mut values = ConditionValues::new();
        conditions(&mut values);
        self.evaluate(action, resource, &values).is_allowed()
    }

    /// Runs a mutation and appends the audit record of this call in the same transaction. Resolves when both are durable.
    /// When `T` is a JSON value it becomes the record's `responseElements`, sensitive members hidden.
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
        // One call, one record: a second commit of the same call adds none.
        let record = if self.trail().recorded { None } else { Some(self.record().prepare()) };
        let output = self.operation.output;
        let write = move |tx: &mut Tx<'_>| {
            let done = mutation(tx)?;
            if let Some(record) = record {
                let answer = (&done as &dyn Any).downcast_ref::<Value>();
                let response = output.zip(answer).map(|(shape, value)| redact(shape, value));
                marram_audit::append_prepared(tx, record, response)?;
            }
            Ok::<T, CallError>(done)
        };
        let done = self.identity.store().write(write).await.map_err(ApiError::from)?;
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

    /// Ends the call: hands the record of a call that committed nothing to the audit log. The front door calls this once.
    /// Reads of the data plane leave a record only when they fail.
    pub fn finish(&self, result: &Result<Value, ApiError>) {
        if std::mem::replace(&mut self.trail().recorded, true) {
            return;
        }
        if result.is_ok() && !self.is_management() {
            return;
        }
        let mut record = self.record();
        match result {
            Err(error) => record.error = Some((error.code.to_string(), error.message.clone())),
            Ok(output) => {
                if let Some(shape) = self.operation.output.filter(|_| !self.operation.read_only) {
                    record.response_elements = redact(shape, output);
                }
            }
        }
        self.identity.audit().enqueue(record);
    }

    /// As [`CallContext::finish`], for a call that a page may repeat: reads that succeed again and again are counted, not
    /// recorded one by one ([`marram_audit::Audit::enqueue_repeatable`]). Reads of secrets are no such reads.
    pub fn finish_repeatable(&self, result: &Result<Value, ApiError>) {
        let counts = result.is_ok()
            && self.operation.read_only
            && self.is_management()
            && !matches!(self.operation.service, ServiceId::SecretsManager | ServiceId::Sts);
        if !counts {
            return self.finish(result);
        }
        if !std::mem::replace(&mut self.trail().recorded, true) {
            self.identity.audit().enqueue_repeatable(self.record());
        }
    }

    /// A token with which this listing, under the same `filter`, goes on after `last_key`.
    pub fn page_token(&self, filter: &str, last_key: &str) -> String {
        self.listing(filter).seal(self.identity.keyring(), last_key, self.now)
    }

    /// The last key inside a token that [`CallContext::page_token`] made for this very listing.
    ///
    /// # Errors
    /// The service's own word for a token that is not one: `InvalidRequestException`, `ValidationException`, ..
    pub fn open_page_token(&self, filter: &str, token: &str) -> Result<String, ApiError> {
        self.listing(filter).open(self.identity.keyring(), token, self.now).ok_or_else(|| {
            match (self.operation.service.protocol(), self.operation.service) {
                (Protocol::Query, _) => ApiError::validation("Invalid Marker."),
                (_, ServiceId::GreengrassV2) => ApiError::new("ValidationException", 400, "invalid nextToken"),
                (_, ServiceId::CloudTrail) => ApiError::new("InvalidNextTokenException", 400, "invalid nextToken"),
                _ => ApiError::invalid_request("invalid nextToken"),
            }
        })
    }

    /// Seals a value that a service keeps, with a key derived from the installation's master key. `bound` names its place:
    /// elsewhere it does not open.
    pub fn seal_secret(&self, bound: &[u8], plain: &[u8]) -> Vec<u8> {
        self.identity.keyring().seal(Purpose::Secret, bound, plain)
    }

    /// Opens what [`CallContext::seal_secret`] made for the same place; none for anything else.
    pub fn open_secret(&self, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.identity.keyring().open_sealed(Purpose::Secret, bound, sealed)
    }

    /// A grant for operations that decide by themselves: the decision has been noted already.
    pub(crate) fn granted(&self) -> Grant {
        Grant { request_id: self.request_id }
    }

    /// Where identities are.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    fn listing<'a>(&'a self, filter: &'a str) -> Listing<'a> {
        Listing {
            service: self.operation.service.as_str(),
            operation: self.operation.name,
            account: self.account.as_str(),
            region: self.region.as_str(),
            filter,
        }
    }

    fn decide(&self, action: &str, resource: &str, values: &ConditionValues) -> Result<(), ApiError> {
        self.conclude(action, resource, self.evaluate(action, resource, values))
    }

    fn conclude(&self, action: &str, resource: &str, decision: Decision) -> Result<(), ApiError> {
        let recorded = match decision.outcome {
            Outcome::Allowed => Recorded::Allowed,
            Outcome::ExplicitDeny(_) => Recorded::ExplicitDeny,
            Outcome::ImplicitDeny(_) => Recorded::ImplicitDeny,
        };
        let matched = decision.matched.iter().map(|m| format!("{}#{}", m.policy, m.statement)).collect();
        self.note(resource, recorded, matched);
        match decision.outcome {
            Outcome::Allowed => Ok(()),
            refused => Err(denial(&self.principal.arn, action, resource, refused)),
        }
    }

    fn evaluate(&self, action: &str, resource: &str, values: &ConditionValues) -> Decision {
        self.evaluate_against(action, resource, values, None)
    }

    /// Decides with the policy of a resource and the account that owns it.
    pub(crate) fn evaluate_against(
        &self,
        action: &str,
        resource: &str,
        values: &ConditionValues,
        resource_policy: Option<(&marram_authz::Policy, &str)>,
    ) -> Decision {
        if let Some(device) = &self.principal.device {
            return device.decide(action, resource, values);
        }
        if self.is_barred_session(action) {
            let outcome = Outcome::ImplicitDeny(Layer::Session);
            return Decision { outcome, matched: Vec::new(), missing: Vec::new() };
        }
        let facts = CallFactsView {
            values,
            principal: &self.principal,
            region: &self.region,
            now: self.now,
            source_ip: Some(self.source_ip),
            user_agent: &self.user_agent,
            resource,
            called_via: None,
        };
        let authority = &self.principal.authority;
        let layers = Layers {
            identity: &authority.identity,
            boundary: authority.boundary.as_deref(),
            session: authority.session.as_deref(),
            guardrail: None,
            resource: resource_policy,
        };
        let strict_variables = self.identity.strict_variables();
        Request { requester: self.principal.requester(), action, resource, facts: &facts, strict_variables }
            .decide(&layers)
    }

    /// Sessions from GetSessionToken without multi-factor authentication may not touch IAM, and of STS only AssumeRole.
    fn is_barred_session(&self, action: &str) -> bool {
        let of_user = matches!(self.principal.kind, PrincipalKind::User { .. } | PrincipalKind::Root);
        let weak = of_user && self.principal.session_started.is_some() && self.principal.mfa_at.is_none();
        let sts = action.starts_with("sts:") && action != "sts:AssumeRole" && action != "sts:GetCallerIdentity";
        weak && (sts || action.starts_with("iam:"))
    }

    pub(crate) fn note(&self, resource: &str, decision: Recorded, matched: Vec<String>) {
        let mut trail = self.trail();
        if resource != "*" && !trail.resources.iter().any(|known| known == resource) {
            trail.resources.push(resource.to_owned());
        }
        // A later refusal outweighs earlier permissions, and keeps only its own reasons.
        if decision != Recorded::Allowed {
            trail.matched.clear();
        }
        if trail.decision.is_none_or(|known| known == Recorded::Allowed) {
            trail.decision = Some(decision);
            trail.matched.extend(matched);
        }
    }

    fn is_management(&self) -> bool {
        match self.operation.service {
            ServiceId::IotData | ServiceId::IotJobsData => false,
            // Objects are data, buckets are management (CP 10.2); so are log events and data points.
            ServiceId::S3 => !self.operation.path.contains("{Key+}"),
            ServiceId::Logs => !matches!(self.operation.name, "PutLogEvents" | "GetLogEvents" | "FilterLogEvents"),
            ServiceId::CloudWatch => self.operation.name != "PutMetricData",
            _ => true,
        }
    }

    /// The record of this call as far as it is known.
    fn record(&self) -> AuditRecord {
        let table = self.operation.service.table();
        let mut record = AuditRecord::new(
            self.account.clone(),
            self.region.clone(),
            self.now,
            table.event_source,
            self.operation.name,
            self.principal.user_identity(),
        );
        record.source_ip_address = self.source_ip.to_canonical().to_string();
        record.user_agent = self.user_agent.clone();
        record.request_parameters = self.request_parameters.clone();
        record.request_id = Some(self.request_id);
        record.read_only = self.operation.read_only;
        record.event_type = EventType::ApiCall;
        record.management = self.is_management();
        let tls = &self.tls;
        record.tls =
            Some(Tls { version: tls.version.clone(), cipher_suite: tls.cipher_suite.clone(), host: tls.host.clone() });
        if let PrincipalKind::Device { certificate_id, .. } = &self.principal.kind {
            record.additional.insert("certificateId".to_owned(), certificate_id.as_str().into());
        }
        if let Some(component) = self.principal.component() {
            record.additional.insert(COMPONENT_KEY.to_owned(), component.as_str().into());
        }
        let trail = self.trail();
        record.resources = trail.resources.iter().map(|arn| Resource { arn: arn.clone(), kind: None }).collect();
        record.decision = trail.decision.unwrap_or(Recorded::NotEvaluated);
        record.matched_statements = trail.matched.clone();
        record
    }

    fn trail(&self) -> std::sync::MutexGuard<'_, Trail> {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal clients search for (control-plane-api.md section 1.4, SEC-62).
pub(crate) fn denial(principal: &str, action: &str, resource: &str, outcome: Outcome) -> ApiError {
    let (explicit, layer) = match outcome {
        Outcome::ExplicitDeny(layer) => (true, layer),
        Outcome::ImplicitDeny(layer) => (false, layer),
        Outcome::Allowed => (false, Layer::Identity),
    };
    let policy = match layer {
        Layer::Identity => return ApiError::not_authorized(principal, action, resource, explicit),
        Layer::Resource => "a resource-based policy",
        Layer::Boundary => "a permissions boundary",
        Layer::Session => "a session policy",
        Layer::Guardrail => "a service control policy",
    };
    let why = if explicit {
        format!("with an explicit deny in {policy}")
    } else {
        format!("because no {} allows the {action} action", policy.trim_start_matches("a "))
    };
    ApiError::access_denied(format!(
        "User: {principal} is not authorized to perform: {action} on resource: {resource} {why}"
    ))
}
