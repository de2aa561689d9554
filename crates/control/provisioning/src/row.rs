//! Templates and their versions, read.

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_registry::Realm;
use marram_store::{Snapshot, params};
use marram_types::Timestamp;
use serde_json::Value;

/// A template.
#[derive(Debug, Clone)]
pub(crate) struct TemplateRow {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) enabled: bool,
    pub(crate) role_arn: String,
    /// `FLEET_PROVISIONING` or `JITP`.
    pub(crate) kind: String,
    pub(crate) hook: Option<Value>,
    pub(crate) default_version: i64,
    pub(crate) last_version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
}

pub(crate) fn find_template(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
) -> Result<Option<TemplateRow>, CallError> {
    snapshot.query_opt(
        "SELECT name, description, enabled, role_arn, type, hook, default_version, last_version, created_at, modified_at
         FROM iot_provisioning_template WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
        |row| {
            Ok(TemplateRow {
                name: row.get(0)?,
                description: row.get(1)?,
                enabled: row.get(2)?,
                role_arn: row.get(3)?,
                kind: row.get(4)?,
                hook: row.get::<Option<String>>(5)?.and_then(|text| serde_json::from_str(&text).ok()),
                default_version: row.get(6)?,
                last_version: row.get(7)?,
                created_at: row.get(8)?,
                modified_at: row.get(9)?,
            })
        },
    )
}

pub(crate) fn get_template(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<TemplateRow, CallError> {
    find_template(snapshot, realm, name)?
        .ok_or_else(|| ApiError::not_found(format!("Provisioning template {name} cannot be found.")).into())
}

/// A version's body and age.
pub(crate) fn get_version(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
    version: i64,
) -> Result<(String, Timestamp), CallError> {
    snapshot
        .query_opt(
            "SELECT body, created_at FROM iot_provisioning_template_version
             WHERE account = $1 AND region = $2 AND template = $3 AND version = $4",
            params![realm.account, realm.region, name, version],
            |row| Ok::<_, CallError>((row.get(0)?, row.get(1)?)),
        )?
        .ok_or_else(|| {
            ApiError::not_found(format!("Version {version} of provisioning template {name} cannot be found.")).into()
        })
}
