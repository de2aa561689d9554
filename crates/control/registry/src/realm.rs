//! Where a call happens: partition, account and region, and the ARNs of that place.

use std::fmt;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_types::{AccountId, Arn, Partition, Region};

/// One account in one region. Every key of the registry's tables starts with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Realm {
    /// Partition of its ARNs.
    pub partition: Partition,
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Realm {
    /// Where a call is executed.
    pub fn of(ctx: &CallContext) -> Self {
        Self { partition: ctx.partition.clone(), account: ctx.account.clone(), region: ctx.region.clone() }
    }

    /// The place a tenant of the broker is; `None` when its name is not one that [`Realm::tenant`] makes.
    pub fn of_tenant(partition: &Partition, tenant: &marram_broker::Tenant) -> Option<Self> {
        let (account, region) = tenant.as_str().split_once('/')?;
        Some(Self { partition: partition.clone(), account: account.parse().ok()?, region: region.parse().ok()? })
    }

    /// The `iot` ARN of a resource such as `thing/press-7`.
    pub fn arn(&self, resource: impl fmt::Display) -> String {
        format!("arn:{}:iot:{}:{}:{resource}", self.partition, self.region, self.account)
    }

    /// The resource part of an `iot` ARN of this realm.
    ///
    /// # Errors
    /// `InvalidRequestException` for any other text.
    pub(crate) fn resource(&self, arn: &str) -> Result<String, ApiError> {
        arn.parse::<Arn>()
            .ok()
            .filter(|arn| arn.is_in("iot", &self.account, Some(&self.region)))
            .filter(|arn| arn.partition() == self.partition.as_str())
            .map(|arn| arn.resource().to_owned())
            .ok_or_else(|| ApiError::invalid_request(format!("Invalid ARN: {}", shown(arn))))
    }
}

/// A caller's text in a message: bounded, control characters escaped.
pub fn shown(text: &str) -> String {
    text.chars().take(256).flat_map(char::escape_debug).collect()
}
