//! The services this endpoint answers for, and the dialect each of them speaks (control-plane-api 1.1).

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use crate::generated;
use crate::model::{DEFAULT_BODY_LIMIT, ErrorShape, Operation};

/// A service of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ServiceId {
    /// `iotthingsgraph`: models, flows, systems and their deployments.
    ThingsGraph,
    /// `iot`: the registry.
    Iot,
    /// `iot-data`: shadows, publishing, retained messages.
    IotData,
    /// `iot-jobs-data`: a thing's own view of its jobs.
    IotJobsData,
    /// `iam`: principals and policies.
    Iam,
    /// `sts`: temporary credentials.
    Sts,
    /// `cloudtrail`: the audit log, read.
    CloudTrail,
    /// `greengrassv2`: components, deployments, core devices.
    GreengrassV2,
    /// `greengrass` (first generation): known by name only.
    Greengrass,
    /// `s3`: the object store.
    S3,
    /// `logs`: what cores and components write down.
    Logs,
    /// `cloudwatch`: metrics.
    CloudWatch,
    /// `secretsmanager`: secrets, sealed at rest.
    SecretsManager,
}

impl ServiceId {
    /// Every service, in the order of the enum.
    pub const ALL: [ServiceId; 13] = [
        ServiceId::ThingsGraph,
        ServiceId::Iot,
        ServiceId::IotData,
        ServiceId::IotJobsData,
        ServiceId::Iam,
        ServiceId::Sts,
        ServiceId::CloudTrail,
        ServiceId::GreengrassV2,
        ServiceId::Greengrass,
        ServiceId::S3,
        ServiceId::Logs,
        ServiceId::CloudWatch,
        ServiceId::SecretsManager,
    ];

    /// The table of the service.
    pub fn table(self) -> &'static Service {
        match self {
            ServiceId::ThingsGraph => &generated::iotthingsgraph::SERVICE,
            ServiceId::Iot => &generated::iot::SERVICE,
            ServiceId::IotData => &generated::iot_data::SERVICE,
            ServiceId::IotJobsData => &generated::iot_jobs_data::SERVICE,
            ServiceId::Iam => &generated::iam::SERVICE,
            ServiceId::Sts => &generated::sts::SERVICE,
            ServiceId::CloudTrail => &generated::cloudtrail::SERVICE,
            ServiceId::GreengrassV2 => &generated::greengrassv2::SERVICE,
            ServiceId::Greengrass => &generated::greengrass::SERVICE,
            ServiceId::S3 => &crate::s3::SERVICE,
            ServiceId::Logs => &generated::logs::SERVICE,
            ServiceId::CloudWatch => &generated::cloudwatch::SERVICE,
            ServiceId::SecretsManager => &generated::secretsmanager::SERVICE,
        }
    }

    /// The botocore id: `iot-data`, `iam`, ...
    pub fn as_str(self) -> &'static str {
        self.table().name
    }

    /// The service with botocore id `name`.
    pub fn from_name(name: &str) -> Option<ServiceId> {
        Self::ALL.into_iter().find(|service| service.as_str() == name)
    }

    /// The operation called `name` (model casing).
    pub fn operation(self, name: &str) -> Option<&'static Operation> {
        let operations = self.table().operations;
        operations.binary_search_by(|operation| operation.name.cmp(name)).ok().map(|index| &operations[index])
    }

    /// Largest body any operation of the service takes, in bytes: what is worth reading before the operation is known.
    pub fn largest_body(self) -> usize {
        static LARGEST: LazyLock<HashMap<ServiceId, u32>> = LazyLock::new(|| {
            let largest = |service: ServiceId| service.table().operations.iter().map(|op| op.body_limit).max();
            ServiceId::ALL
                .into_iter()
                .map(|service| (service, largest(service).unwrap_or(DEFAULT_BODY_LIMIT)))
                .collect()
        });
        LARGEST.get(&self).copied().unwrap_or(DEFAULT_BODY_LIMIT) as usize
    }

    /// The dialect requests and answers are written in.
    pub fn protocol(self) -> Protocol {
        self.table().protocol
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How requests and answers are written (control-plane-api 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `POST /` with `X-Amz-Target`, `application/x-amz-json-1.0`.
    Json10,
    /// `POST /` with `X-Amz-Target`, `application/x-amz-json-1.1`.
    Json11,
    /// Modelled method and path, JSON bodies.
    RestJson,
    /// `Action=...&Version=...` forms, XML answers.
    Query,
    /// Methods, paths, query parameters and headers; XML or raw bodies.
    RestXml,
}

/// A service's facts, as the generated tables hold them.
#[derive(Debug)]
pub struct Service {
    /// Which service this is.
    pub id: ServiceId,
    /// The botocore id.
    pub name: &'static str,
    /// The dialect.
    pub protocol: Protocol,
    /// `2015-05-28`; the `Version` of a query request must equal it.
    pub api_version: &'static str,
    /// Names accepted in the SigV4 credential scope, the SDKs' own first.
    pub signing_names: &'static [&'static str],
    /// What stands before the dot in `X-Amz-Target`; empty for other protocols.
    pub target_prefix: &'static str,
    /// Namespace of XML answers; empty for other protocols.
    pub xml_namespace: &'static str,
    /// The `eventSource` of audit records: `iot.amazonaws.com`.
    pub event_source: &'static str,
    /// Sorted by name.
    pub operations: &'static [Operation],
    /// Sorted by code.
    pub errors: &'static [&'static ErrorShape],
}

impl Service {
    /// The modelled error with wire code `code`.
    pub fn error(&self, code: &str) -> Option<&'static ErrorShape> {
        self.errors.binary_search_by(|error| error.code.cmp(code)).ok().map(|index| self.errors[index])
    }
}
