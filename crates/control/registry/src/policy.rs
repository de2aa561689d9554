//! IoT policies: documents in versions, attached to certificates and thing groups (CP 4.6).

mod attach;
mod create;
mod list;
mod version;

pub(crate) use attach::{attach_policy, attach_principal_policy, detach_policy, detach_principal_policy};
pub(crate) use create::{create_policy, delete_policy, get_policy};
pub(crate) use list::{
    list_attached_policies, list_policies, list_policy_principals, list_principal_policies, list_targets_for_policy,
};
pub(crate) use version::{
    create_policy_version, delete_policy_version, get_policy_version, list_policy_versions, set_default_policy_version,
};

use marram_authz::{Policy, PolicyKind};
use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues};
use marram_store::{Snapshot, params};
use marram_types::{PolicyName, Timestamp};

use crate::realm::{Realm, shown};
use crate::tag;

/// Versions a policy may have at a time (CP 4.6).
const MAX_VERSIONS: i64 = 5;
/// Policies of a certificate (CP 4.5).
const MAX_PER_CERTIFICATE: i64 = 10;
/// Policies of a thing group (CP 4.4).
const MAX_PER_GROUP: i64 = 2;

/// A policy's row without its name.
#[derive(Debug, Clone)]
pub(crate) struct PolicyRow {
    /// Number of the version in force.
    pub(crate) default_version: i64,
    /// Highest number ever given; numbers are never reused.
    last_version: i64,
    generation: String,
    created_at: Timestamp,
    modified_at: Timestamp,
}

impl Realm {
    /// `arn:…:policy/{name}`.
    pub(crate) fn policy_arn(&self, name: &str) -> String {
        self.arn(resource(name))
    }
}

fn resource(name: &str) -> String {
    format!("policy/{name}")
}

/// A policy, if there is one by that name.
fn find(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<PolicyRow>, CallError> {
    snapshot.query_opt(
        "SELECT default_version, last_version, generation, created_at, modified_at FROM iot_policy
         WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
        |row| {
            Ok(PolicyRow {
                default_version: row.get(0)?,
                last_version: row.get(1)?,
                generation: row.get(2)?,
                created_at: row.get(3)?,
                modified_at: row.get(4)?,
            })
        },
    )
}

/// A policy that must be there.
fn get(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<PolicyRow, CallError> {
    find(snapshot, realm, name)?
        .ok_or_else(|| ApiError::not_found(format!("Policy cannot be found (name={name})")).into())
}

/// The document of one version, and when it was made.
fn document(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
    version: i64,
) -> Result<(String, String, Timestamp), CallError> {
    snapshot
        .query_opt(
            "SELECT document, generation, created_at FROM iot_policy_version
             WHERE account = $1 AND region = $2 AND policy = $3 AND version = $4",
            params![realm.account, realm.region, name, version],
            |row| Ok::<_, CallError>((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?
        .ok_or_else(|| {
            ApiError::not_found(format!("Policy version cannot be found (name={name}, version={version})")).into()
        })
}

/// Refuses a document that is not an IoT policy or is longer than allowed.
fn check_document(name: &PolicyName, document: &str, max_chars: usize) -> Result<(), ApiError> {
    // Blanks do not count towards the quota (CP 4.6), so that formatting is free.
    if document.chars().filter(|c| !c.is_whitespace()).count() > max_chars {
        return Err(ApiError::malformed_policy(format!(
            "The policy document has more than {max_chars} non-blank characters"
        )));
    }
    Policy::parse(PolicyKind::Device, name.as_str(), document)
        .map(|_| ())
        .map_err(|error| ApiError::malformed_policy(format!("The policy document is not valid: {error}")))
}

/// A version id of a request: decimal digits.
fn parse_version(text: &str) -> Result<i64, ApiError> {
    text.parse::<i64>()
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| ApiError::invalid_request(format!("Invalid policy version: {}", shown(text))))
}

/// Tags of the policy at hand, for the authorizer.
fn conditions(ctx: &CallContext, realm: &Realm, name: &PolicyName) -> Result<ConditionValues, ApiError> {
    tag::resource_conditions(ctx, realm, &resource(name.as_str()))
}
