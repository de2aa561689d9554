//! Who makes a call, once the signature (or the certificate) has proven it.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_types::{AccountId, Timestamp};
use smol_str::SmolStr;

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
        }
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
        }
    }
}
