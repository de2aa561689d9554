//! Who makes a call, once the signature (or the certificate) has proven it.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_audit::{SessionContext, SessionIssuer, UserIdentity};
use marram_authz::{ConditionValues, Decision, Facts, Requester};
use marram_types::{AccountId, Timestamp};
use smol_str::SmolStr;

use crate::directory::Authority;

/// Condition key of a session that a core asked for in the name of one of its components: the component. Sessions begun from it have
/// it too, so no chain of roles leads out of it. A session of the core itself has none.
pub const COMPONENT_KEY: &str = "marram:Component";

/// The proven caller of an operation.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The account it belongs to; its calls see this account only.
    pub account: AccountId,
    /// What it is.
    pub kind: PrincipalKind,
    /// `arn:aws:iam::{account}:user/anna`, `arn:aws:sts::{account}:assumed-role/Fleet/anna`, `…:root`.
    pub arn: SmolStr,
    /// `AIDA…`, `AROA…:session`, the account id for root, the host name for a service.
    pub unique_id: SmolStr,
    /// The key that signed, if a signature was involved.
    pub access_key_id: Option<SmolStr>,
    /// Tags of the user, or of the role overlaid with those of the session: `aws:PrincipalTag/…`.
    pub tags: Arc<BTreeMap<SmolStr, SmolStr>>,
    /// When multi-factor authentication took place, if it did.
    pub mfa_at: Option<Timestamp>,
    /// When the session began; `None` for long-term keys.
    pub session_started: Option<Timestamp>,
    /// `SourceIdentity` of a role session.
    pub source_identity: Option<SmolStr>,
    /// Keys of session tags that pass on to sessions begun from this one.
    pub(crate) transitive: Arc<[SmolStr]>,
    /// Keys the session brings along: `credentials-iot:ThingName` and its like.
    pub(crate) session_facts: Arc<ConditionValues>,
    /// The policies that speak for it.
    pub(crate) authority: Authority,
    /// For devices: whoever knows the policies of the certificate.
    pub(crate) device: Option<Arc<dyn DeviceDecisions>>,
}

/// The policies of one client certificate: the port through which a call of a device is decided (CP 5.6).
pub trait DeviceDecisions: Send + Sync + std::fmt::Debug {
    /// Decides over `action` on `resource` (a full ARN, or `*`); `values` are what the operation knows.
    fn decide(&self, action: &str, resource: &str, values: &ConditionValues) -> Decision;
}

/// The kinds of principal, and what each alone has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The account itself; limited by guardrails only.
    Root,
    /// An IAM user.
    User {
        /// Its name.
        name: SmolStr,
    },
    /// A session of a role.
    RoleSession {
        /// `arn:aws:iam::{account}:role/path/Fleet`.
        role_arn: SmolStr,
        /// `Fleet`.
        role_name: SmolStr,
        /// `AROA…` of the role.
        role_id: SmolStr,
        /// What the session was called when the role was assumed.
        session_name: SmolStr,
    },
    /// One of our own services acting for an account.
    Service {
        /// `iotthingsgraph.amazonaws.com`.
        host: SmolStr,
    },
    /// A registered device certificate whose key was proved in the handshake.
    Device {
        /// 64 hex digits.
        certificate_id: SmolStr,
        /// The things it is attached to, sorted.
        things: Arc<[SmolStr]>,
    },
}

impl Principal {
    /// The account's root.
    pub fn root(account: AccountId, partition: &str) -> Principal {
        let arn = SmolStr::new(format!("arn:{partition}:iam::{account}:root"));
        let unique_id = SmolStr::new(account.as_str());
        Principal::bare(account, PrincipalKind::Root, arn, unique_id)
    }

    /// One of our services, `host` as in `iotthingsgraph.amazonaws.com`.
    pub fn service(account: AccountId, host: &str) -> Principal {
        let host = SmolStr::new(host);
        Principal::bare(account, PrincipalKind::Service { host: host.clone() }, host.clone(), host)
    }

    /// A device that proved the key of a registered certificate; `decisions` answers for its policies.
    pub fn device(
        account: AccountId,
        certificate_arn: &str,
        certificate_id: &str,
        things: Arc<[SmolStr]>,
        decisions: Arc<dyn DeviceDecisions>,
    ) -> Principal {
        let certificate_id = SmolStr::new(certificate_id);
        let kind = PrincipalKind::Device { certificate_id: certificate_id.clone(), things };
        let mut principal = Principal::bare(account, kind, SmolStr::new(certificate_arn), certificate_id);
        principal.device = Some(decisions);
        principal
    }

    /// The things a device is attached to; `None` for callers that are no devices.
    pub fn device_things(&self) -> Option<&[SmolStr]> {
        match &self.kind {
            PrincipalKind::Device { things, .. } => Some(things),
            _ => None,
        }
    }

    /// A principal without key, tags or session.
    pub(crate) fn bare(account: AccountId, kind: PrincipalKind, arn: SmolStr, unique_id: SmolStr) -> Principal {
        Principal {
            account,
            kind,
            arn,
            unique_id,
            access_key_id: None,
            tags: Arc::default(),
            mfa_at: None,
            session_started: None,
            source_identity: None,
            transitive: Arc::default(),
            session_facts: Arc::default(),
            authority: Authority::default(),
            device: None,
        }
    }

    /// As the policy engine sees it.
    pub(crate) fn requester(&self) -> Requester<'_> {
        let account = self.account.as_str();
        match &self.kind {
            PrincipalKind::Root => Requester::root(account, &self.arn),
            PrincipalKind::User { .. } => Requester::user(account, &self.arn),
            PrincipalKind::RoleSession { role_arn, .. } => Requester::session(account, &self.arn, role_arn),
            PrincipalKind::Service { host } => Requester::service(account, host),
            PrincipalKind::Device { .. } => Requester::user(account, &self.arn),
        }
    }

    /// As it stands in audit records.
    pub(crate) fn user_identity(&self) -> UserIdentity {
        let mut identity = UserIdentity {
            kind: SmolStr::new_static(self.audit_type()),
            principal_id: Some(self.unique_id.clone()),
            arn: Some(self.arn.clone()),
            account_id: Some(SmolStr::new(self.account.as_str())),
            access_key_id: self.access_key_id.clone(),
            ..UserIdentity::default()
        };
        let issuer = match &self.kind {
            PrincipalKind::Service { host } => {
                return UserIdentity { kind: identity.kind, invoked_by: Some(host.clone()), ..UserIdentity::default() };
            }
            PrincipalKind::User { name } => {
                identity.user_name = Some(name.clone());
                None
            }
            PrincipalKind::RoleSession { role_arn, role_name, role_id, .. } => Some(SessionIssuer {
                principal_id: role_id.clone(),
                arn: role_arn.clone(),
                account_id: SmolStr::new(self.account.as_str()),
                user_name: role_name.clone(),
            }),
            PrincipalKind::Root | PrincipalKind::Device { .. } => None,
        };
        identity.session = self.session_started.map(|created| SessionContext {
            issuer,
            created,
            mfa: self.mfa_at.is_some(),
            source_identity: self.source_identity.clone(),
        });
        identity
    }

    /// The component of a core that the session was begun for, or a session before it in a chain of roles (SEC-134).
    pub fn component(&self) -> Option<SmolStr> {
        let fact = self.session_facts.get(&COMPONENT_KEY.to_ascii_lowercase())?;
        fact.values().first().map(SmolStr::new)
    }

    /// Whether this is the account's root.
    pub fn is_root(&self) -> bool {
        self.kind == PrincipalKind::Root
    }

    /// `userIdentity.type` of audit records and `aws:PrincipalType`'s basis (control-plane-api.md section 10.2).
    pub fn audit_type(&self) -> &'static str {
        match self.kind {
            PrincipalKind::Root => "Root",
            PrincipalKind::User { .. } => "IAMUser",
            PrincipalKind::RoleSession { .. } => "AssumedRole",
            PrincipalKind::Service { .. } => "AWSService",
            PrincipalKind::Device { .. } => "Unknown",
        }
    }
}
