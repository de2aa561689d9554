//! Where a call happens: partition, account, region; the URNs and ARNs of that place (TG 1.3).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_tdm::model::{Metatype, Namespace, Urn};
use marram_types::{AccountId, Partition, Region};

/// One account in one region: the owner of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Realm {
    /// Partition of its ARNs.
    pub partition: Partition,
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl From<&marram_registry::Realm> for Realm {
    fn from(place: &marram_registry::Realm) -> Self {
        Self { partition: place.partition.clone(), account: place.account.clone(), region: place.region.clone() }
    }
}

impl Realm {
    /// Where a call is executed.
    pub fn of(ctx: &CallContext) -> Self {
        Self { partition: ctx.partition.clone(), account: ctx.account.clone(), region: ctx.region.clone() }
    }

    /// The same place as the registry says it.
    pub(crate) fn registry(&self) -> marram_registry::Realm {
        marram_registry::Realm {
            partition: self.partition.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    /// The account's private namespace.
    pub fn namespace(&self) -> Namespace {
        Namespace::private(self.region.as_str(), self.account.as_str())
    }

    /// `arn:aws:iotthingsgraph:REGION:ACCOUNT`.
    pub fn namespace_arn(&self) -> String {
        format!("arn:{}:iotthingsgraph:{}:{}", self.partition, self.region, self.account)
    }

    /// The ARN of anything a URN names. A foreign URN answers a foreign ARN: the policies decide, existence stays hidden.
    pub fn arn(&self, urn: &Urn) -> String {
        let (owner, below) = split_namespace(urn.namespace());
        let path = urn.path();
        let resource = match urn.metatype() {
            metatype @ (Metatype::Workflow | Metatype::System | Metatype::Deployment) => {
                format!("{metatype}/{below}/{path}")
            }
            metatype => format!("entity/{below}/{metatype}/{path}"),
        };
        match owner {
            Some((region, account)) => format!("arn:{}:iotthingsgraph:{region}:{account}:{resource}", self.partition),
            None => format!("arn:{}:iotthingsgraph:{}::{resource}", self.partition, self.region),
        }
    }

    /// The URN of a `Deployment/default/NAME` ARN of this realm; `None` for any other text.
    pub fn deployment_of_arn(&self, arn: &str) -> Option<Urn> {
        let resource = arn.strip_prefix(&self.namespace_arn())?.strip_prefix(":Deployment/")?;
        // The namespace below the account and the path are both `/` separated; a deployment's path has one word in
        // every document the designer writes, so the last slash divides them.
        let (below, name) = resource.rsplit_once('/')?;
        let urn = format!("urn:tdm:{}/{}/{below}:Deployment:{name}", self.region, self.account);
        Urn::parse(&urn).ok().filter(|urn| urn.is_within(&self.namespace()))
    }

    /// A URN of this realm with this metatype.
    ///
    /// # Errors
    /// `InvalidRequestException` when the text is no URN, names something else or lies outside the namespace.
    pub fn own_urn(&self, text: &str, metatype: Metatype) -> Result<Urn, ApiError> {
        let urn = urn(text)?;
        if urn.metatype() != metatype {
            return Err(ApiError::invalid_request(format!("TDM3003: {urn} is not a {metatype}")));
        }
        Ok(urn)
    }
}

/// A URN in a request.
pub(crate) fn urn(text: &str) -> Result<Urn, ApiError> {
    Urn::parse(text).map_err(|error| ApiError::invalid_request(format!("TDM3002: {error}")))
}

/// `eu-local-1/100200300400/default/x` into its owner and `default/x`; `aws/examples` has no owner.
fn split_namespace(namespace: &str) -> (Option<(&str, &str)>, &str) {
    let owned = namespace.split_once('/').filter(|(region, _)| region.contains('-'));
    match owned.and_then(|(region, rest)| Some((region, rest.split_once('/')?))) {
        Some((region, (account, below))) => (Some((region, account)), below),
        None => (None, namespace),
    }
}
