//! The console's questions about device certificates, answered by the registry.

use marram_authz::Decision;
use marram_aws_api::ApiError;
use marram_console::{Devices, SurveyedDevices};
use marram_registry::DeviceAuthority;
use marram_types::{AccountId, Region};

/// Certificates and policies of the registry.
pub struct RegisteredDevices(pub DeviceAuthority);

impl Devices for RegisteredDevices {
    fn survey(
        &self,
        account: &AccountId,
        region: &Region,
        action: &str,
        resource: &str,
        limit: usize,
    ) -> Result<SurveyedDevices, ApiError> {
        let (found, more) = self.0.survey(account, region, action, resource, limit)?;
        let devices =
            found.into_iter().map(|one| (one.arn, one.decision.is_allowed(), because(&one.decision))).collect();
        Ok(SurveyedDevices { devices, more })
    }

    fn documents(
        &self,
        account: &AccountId,
        region: &Region,
        certificate_arn: &str,
    ) -> Result<Option<Vec<(String, String)>>, ApiError> {
        Ok(self.0.documents_of(account, region, certificate_arn)?)
    }
}

fn because(decision: &Decision) -> Vec<(String, String)> {
    decision.matched.iter().map(|one| (one.policy.to_string(), one.statement.to_string())).collect()
}
