//! The account as a whole: counts, quotas, aliases.

use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::iam::Iam;

impl Iam<'_> {
    pub(super) fn get_account_summary(&self) -> Result<Value, ApiError> {
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, "*", |_| {})?;
        let dir = &self.dir;
        let versions: usize = dir.policies.values().map(|held| held.entity.versions.len()).sum();
        Ok(json!({"SummaryMap": {
            "Users": dir.users.len(),
            "Groups": dir.groups.len(),
            "Roles": dir.roles.len(),
            "Policies": dir.policies.len(),
            "PolicyVersionsInUse": versions,
            "InstanceProfiles": 0,
            "ServerCertificates": 0,
            "MFADevices": 0,
            "MFADevicesInUse": 0,
            "AccountMFAEnabled": 0,
            "AccountAccessKeysPresent": 0,
            "AccountSigningCertificatesPresent": 0,
            "AccountPasswordPresent": 0,
            "Providers": 0,
            "AccessKeysPerUserQuota": 2,
            "AttachedPoliciesPerUserQuota": 10,
            "AttachedPoliciesPerGroupQuota": 10,
            "AttachedPoliciesPerRoleQuota": 10,
            "GroupsPerUserQuota": 10,
            "PolicySizeQuota": 6144,
            "VersionsPerPolicyQuota": 5,
            "UserPolicySizeQuota": 2048,
            "GroupPolicySizeQuota": 5120,
            "RolePolicySizeQuota": 10_240,
            "AssumeRolePolicySizeQuota": 2048,
        }}))
    }

    pub(super) fn list_account_aliases(&self) -> Result<Value, ApiError> {
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, "*", |_| {})?;
        Ok(json!({"AccountAliases": [], "IsTruncated": false}))
    }
}
