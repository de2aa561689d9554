//! The permissions of one connection.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use marram_audit::{AuditRecord, Decision as AuditDecision, EventType, Resource, UserIdentity};
use marram_authz::{
    ConditionValues, Decision as Answer, DeviceAction, DevicePolicies, Layers, Outcome, Policy, Request, Requester,
};
use marram_broker::{ConnectAttributes, Decision, Denied, SessionAuthority, Tenant};
use marram_identity::{CallError, DeviceDecisions};
use marram_pki::Certificate;
use marram_store::Snapshot;
use marram_types::CertificateId;
use smol_str::SmolStr;

use super::Inner;
use super::facts::{CallFacts, ConnectionFacts, QuestionFacts, certificate_facts};
use super::principal::LivePrincipal;
use super::standing::{self, Standing};
use crate::realm::Realm;

/// Denials of one session that reach the audit log; a device that keeps asking must not fill it.
const MAX_AUDITED_DENIALS: u32 = 100;

/// What a connected device may do. Answers from memory; bound anew when the registry changes.
pub struct DeviceSession {
    authority: Arc<Inner>,
    principal: Arc<LivePrincipal>,
    tenant: Tenant,
    certificate_id: Box<str>,
    /// As the device sent it: what thing variables are looked up by.
    asked_client_id: SmolStr,
    /// As the broker settled on.
    client_id: OnceLock<SmolStr>,
    source: IpAddr,
    /// An HTTPS call: there is no client id.
    is_https: bool,
    /// The thing of an exclusive attachment when the session began.
    exclusive_thing: Option<SmolStr>,
    bound: ArcSwap<Bound>,
    version: AtomicU64,
    denials: AtomicU32,
}

/// A standing bound to a connection.
#[derive(Debug)]
struct Bound {
    /// The certificate is known and ACTIVE.
    active: bool,
    not_before: i64,
    not_after: i64,
    facts: ConnectionFacts,
    policies: Arc<DevicePolicies>,
    standing: Option<Arc<Standing>>,
}

impl fmt::Debug for DeviceSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceSession({})", self.certificate_id)
    }
}

/// Opens a session for a proved certificate.
pub(super) fn open(
    authority: &Arc<Inner>,
    certificate: &CertificateId,
    client_id: Option<&str>,
    source: IpAddr,
) -> Result<Arc<DeviceSession>, Denied> {
    let is_https = client_id.is_none();
    let client_id = client_id.unwrap_or_default();
    let unavailable = |error: CallError| {
        tracing::error!(%error, "the registry cannot be read");
        Denied::Unavailable
    };
    let home = authority
        .store
        .read(|snapshot| standing::home(snapshot, &authority.partition, certificate))
        .map_err(unavailable)?;
    let Some(realm) = home else {
        tracing::info!(certificate = %certificate, "unknown certificate refused");
        return Err(Denied::NotAuthorized);
    };
    // Entered before the registry is read: a change that comes meanwhile finds the entry and waits for its lock.
    let principal = authority.live.enter(&realm, certificate);
    let mut state = principal.lock();
    let id = certificate.to_string();
    let asked = SmolStr::new(client_id);
    let (standing, bound) = authority
        .store
        .read(|snapshot| {
            let standing = standing::read(snapshot, &authority.policies, &realm, &id)?.map(Arc::new);
            let bound = bind(snapshot, &realm, &id, standing.as_ref(), &asked, source, is_https)?;
            Ok((standing, bound))
        })
        .map_err(unavailable)?;
    let session = Arc::new(DeviceSession {
        authority: Arc::clone(authority),
        tenant: realm.tenant(),
        certificate_id: id.into(),
        asked_client_id: asked,
        client_id: OnceLock::new(),
        source,
        is_https,
        exclusive_thing: standing.as_ref().and_then(|standing| standing.exclusive_thing.clone()),
        bound: ArcSwap::from_pointee(bound),
        version: AtomicU64::new(1),
        denials: AtomicU32::new(0),
        principal: Arc::clone(&principal),
    });
    if !session.is_usable() {
        session.audit_denial("Connect", &session.arn(DeviceAction::Connect, client_id), AuditDecision::ImplicitDeny);
        return Err(Denied::NotAuthorized);
    }
    state.standing = standing;
    state.sessions.push(Arc::downgrade(&session));
    drop(state);
    Ok(session)
}

fn bind(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    id: &str,
    standing: Option<&Arc<Standing>>,
    client_id: &SmolStr,
    source: IpAddr,
    is_https: bool,
) -> Result<Bound, CallError> {
    let prefix = realm.arn("");
    let bare = ConnectionFacts { client_id: client_id.clone(), source, thing: None, certificate: None };
    let Some(standing) = standing else {
        let policies = Arc::new(DevicePolicies::bind(&[], &prefix, &bare, true));
        return Ok(Bound { active: false, not_before: 0, not_after: 0, facts: bare, policies, standing: None });
    };
    let client_id = (!is_https).then_some(client_id.as_str());
    let thing = standing::thing_of(snapshot, realm, id, standing, client_id)?;
    let certificate = match standing.policies.reads_certificate() {
        true => standing::der(snapshot, realm, id)?.and_then(|der| Certificate::from_der(&der).ok()),
        false => None,
    };
    let facts = ConnectionFacts { thing, certificate: certificate.as_ref().map(certificate_facts), ..bare };
    Ok(Bound {
        active: standing.active,
        not_before: standing.not_before,
        not_after: standing.not_after,
        policies: standing.policies.bind(&prefix, &facts),
        facts,
        standing: Some(Arc::clone(standing)),
    })
}

impl DeviceSession {
    /// The account and region the certificate belongs to.
    pub fn realm(&self) -> &Realm {
        &self.principal.realm
    }

    /// The certificate id, 64 hex digits.
    pub fn certificate_id(&self) -> &str {
        &self.certificate_id
    }

    /// The thing whose variables this connection sees.
    pub fn thing(&self) -> Option<SmolStr> {
        self.bound.load().facts.thing.as_ref().map(|thing| thing.name.clone())
    }

    /// Whether the device may do `action` on the resource `kind/name` of its realm. A refusal is recorded.
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        let arn = self.realm().arn(resource);
        let decision = match DeviceDecisions::decide(self, action, &arn, &ConditionValues::new()).outcome {
            Outcome::Allowed => return true,
            Outcome::ExplicitDeny(_) => AuditDecision::ExplicitDeny,
            Outcome::ImplicitDeny(_) => AuditDecision::ImplicitDeny,
        };
        self.audit_denial(action.rsplit(':').next().unwrap_or(action), &arn, decision);
        false
    }

    /// Binds a newer standing; the version moves on so that remembered decisions are dropped. The caller holds the
    /// principal's lock.
    pub(super) fn rebind(&self, snapshot: &Snapshot<'_>, standing: Option<&Arc<Standing>>) -> Result<(), CallError> {
        let client_id = SmolStr::new(self.broker_client_id());
        let is_https = self.is_https;
        let bound = bind(snapshot, self.realm(), &self.certificate_id, standing, &client_id, self.source, is_https)?;
        self.bound.store(Arc::new(bound));
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Gives the policies a client id that the broker assigned. No thing goes by it.
    fn adopt(&self, client_id: &str) {
        // The lock keeps a change of the registry from being bound without the client id.
        let _state = self.principal.lock();
        let old = self.bound.load_full();
        let Some(standing) = &old.standing else { return };
        let facts = ConnectionFacts { client_id: client_id.into(), ..old.facts.clone() };
        self.bound.store(Arc::new(Bound {
            active: old.active,
            not_before: old.not_before,
            not_after: old.not_after,
            policies: standing.policies.bind(&self.realm().arn(""), &facts),
            facts,
            standing: Some(Arc::clone(standing)),
        }));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Closes the session for good: what the registry says cannot be read, and unknown means no.
    pub(super) fn close(&self) {
        let old = self.bound.load_full();
        let facts = ConnectionFacts {
            client_id: self.asked_client_id.clone(),
            source: self.source,
            thing: None,
            certificate: None,
        };
        self.bound.store(Arc::new(Bound {
            active: false,
            not_before: old.not_before,
            not_after: old.not_after,
            policies: Arc::clone(&old.policies),
            facts,
            standing: None,
        }));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The client id the broker knows this connection by.
    pub(super) fn broker_client_id(&self) -> &str {
        self.client_id.get().unwrap_or(&self.asked_client_id)
    }

    fn is_usable(&self) -> bool {
        self.is_usable_in(&self.bound.load())
    }

    fn is_usable_in(&self, bound: &Bound) -> bool {
        let now = self.authority.clock.now().as_secs();
        bound.active && (bound.not_before..=bound.not_after).contains(&now)
    }

    fn question<'a>(&self, bound: &'a Bound, connect: Option<ConnectAttributes>) -> QuestionFacts<'a> {
        QuestionFacts { connection: &bound.facts, now: self.authority.clock.now(), connect }
    }

    fn decide(&self, action: DeviceAction, name: &str, connect: Option<ConnectAttributes>) -> Decision {
        let bound = self.bound.load();
        let outcome = if self.is_usable_in(&bound) {
            bound.policies.decide(action, name, &self.question(&bound, connect))
        } else {
            Outcome::ImplicitDeny(marram_authz::Layer::Identity)
        };
        let decision = match outcome {
            Outcome::Allowed => return Decision::Allow,
            Outcome::ExplicitDeny(_) => AuditDecision::ExplicitDeny,
            Outcome::ImplicitDeny(_) => AuditDecision::ImplicitDeny,
        };
        let event = action.name().rsplit(':').next().unwrap_or_default();
        self.audit_denial(event, &self.arn(action, name), decision);
        Decision::Deny
    }

    fn arn(&self, action: DeviceAction, name: &str) -> String {
        self.realm().arn(format_args!("{}{name}", action.resource_type()))
    }

    /// Records a denial as a data event, at most [`MAX_AUDITED_DENIALS`] times per session.
    fn audit_denial(&self, event: &str, resource: &str, decision: AuditDecision) {
        tracing::info!(certificate = %self.certificate_id, event, resource, "device denied");
        let Some(audit) = &self.authority.audit else { return };
        if self.denials.fetch_add(1, Ordering::Relaxed) >= MAX_AUDITED_DENIALS {
            return;
        }
        let realm = self.realm();
        let identity = UserIdentity {
            kind: SmolStr::new_static("Unknown"),
            principal_id: Some(SmolStr::new(&*self.certificate_id)),
            arn: Some(realm.certificate_arn(&self.certificate_id).into()),
            account_id: Some(SmolStr::new(realm.account.as_str())),
            ..UserIdentity::default()
        };
        let mut record = AuditRecord::new(
            realm.account.clone(),
            realm.region.clone(),
            self.authority.clock.now(),
            "iot.amazonaws.com",
            event,
            identity,
        );
        record.event_type = EventType::ServiceEvent;
        record.management = false;
        record.source_ip_address = self.source.to_string();
        record.decision = decision;
        record.error = Some(("AccessDenied".to_owned(), format!("iot:{event} on {resource} is not allowed")));
        record.resources = vec![Resource { arn: resource.to_owned(), kind: None }];
        record.additional.insert("certificateId".to_owned(), (*self.certificate_id).into());
        record.additional.insert("clientId".to_owned(), self.broker_client_id().into());
        audit.enqueue(record);
    }
}

/// Actions of the Greengrass data plane: policies of groups and variables of things do not count there (CP 5.6).
const GREENGRASS: &str = "greengrass:";
/// IAM's prefix of the jobs data plane; policies of devices say `iot:` (CP 3.7).
const JOBS_DATA: &str = "iotjobsdata:";

impl DeviceDecisions for DeviceSession {
    fn decide(&self, action: &str, resource: &str, values: &ConditionValues) -> Answer {
        let bound = self.bound.load();
        let nobody = Answer {
            outcome: Outcome::ImplicitDeny(marram_authz::Layer::Identity),
            matched: Vec::new(),
            missing: Vec::new(),
        };
        let (Some(standing), true) = (&bound.standing, self.is_usable_in(&bound)) else { return nobody };
        let renamed = action.strip_prefix(JOBS_DATA).map(|name| format!("iot:{name}"));
        let action = renamed.as_deref().unwrap_or(action);
        let question = self.question(&bound, None);
        let is_greengrass = action.starts_with(GREENGRASS);
        let facts = CallFacts { question: &question, values, without_thing: is_greengrass };
        let own: Vec<_>;
        let policies = if is_greengrass {
            let policies = standing.policies.policies().iter();
            let attached = |policy: &&Arc<Policy>| standing.own_policies.iter().any(|name| *name == policy.id());
            own = policies.filter(attached).cloned().collect();
            &own[..]
        } else {
            standing.policies.policies()
        };
        let certificate_arn = self.realm().certificate_arn(&self.certificate_id);
        let request = Request {
            requester: Requester::user(self.realm().account.as_str(), &certificate_arn),
            action,
            resource,
            facts: &facts,
            strict_variables: true,
        };
        request.decide(&Layers { identity: policies, ..Layers::default() })
    }
}

impl SessionAuthority for DeviceSession {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn principal(&self) -> &str {
        &self.certificate_id
    }

    fn version(&self) -> u64 {
        let version = self.version.load(Ordering::Acquire);
        if self.bound.load().policies.depends_on_time() {
            // Decisions of such policies are good for a second.
            return version << 32 | (self.authority.clock.now().as_secs() as u64 & 0xffff_ffff);
        }
        version << 32
    }

    fn thing_name(&self) -> Option<&str> {
        self.exclusive_thing.as_deref()
    }

    fn valid_until(&self) -> Option<SystemTime> {
        let end = u64::try_from(self.bound.load().not_after).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(end))
    }

    fn connect(&self, client_id: &str, attributes: ConnectAttributes) -> Decision {
        let first = self.client_id.set(SmolStr::new(client_id)).is_ok();
        if first && self.asked_client_id.is_empty() {
            self.adopt(client_id);
        }
        self.decide(DeviceAction::Connect, client_id, Some(attributes))
    }

    fn publish(&self, topic: &str, retain: bool) -> Decision {
        let decision = self.decide(DeviceAction::Publish, topic, None);
        if retain && decision.is_allow() {
            return self.decide(DeviceAction::RetainPublish, topic, None);
        }
        decision
    }

    fn subscribe(&self, filter: &str) -> Decision {
        self.decide(DeviceAction::Subscribe, filter, None)
    }

    fn receive(&self, topic: &str) -> Decision {
        self.decide(DeviceAction::Receive, topic, None)
    }
}
