//! The `greengrassv2` service: its parts and the table from operation to function.

use std::sync::{Arc, OnceLock};

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, Identity, Service};
use marram_jobs::{JobWatch, Jobs};
use marram_objects::Objects;
use marram_shadows::Shadows;
use serde_json::Value;

use crate::core::CoreWatch;
use crate::signature::DeploymentKey;
use crate::watch::ExecutionWatch;
use crate::{component, connectivity, core, deployment, service_role, tag};

/// The host name under which the service acts.
pub(crate) const ACTOR: &str = "greengrass.amazonaws.com";

/// What Greengrass stands on.
#[derive(Debug)]
pub struct Parts {
    /// For work without a caller.
    pub identity: Identity,
    /// Deployments to groups.
    pub jobs: Jobs,
    /// Deployments to things.
    pub shadows: Shadows,
    /// Artifacts.
    pub objects: Objects,
    /// Signs deployment documents.
    pub key: DeploymentKey,
    /// Artifacts in the object store are offered under `greengrass:` instead of `s3:` (control-plane-api 6.3).
    pub rewrite_s3_artifacts: bool,
}

/// Greengrass v2. A cheap clone.
#[derive(Clone, Debug)]
pub struct Greengrass {
    pub(crate) parts: Arc<Parts>,
    watch: Arc<OnceLock<Arc<dyn CoreWatch>>>,
}

impl Greengrass {
    /// The service; its tables must have been migrated ([`crate::MIGRATIONS`]).
    pub fn new(parts: Parts) -> Greengrass {
        Greengrass { parts: Arc::new(parts), watch: Arc::default() }
    }

    /// Who hears of core devices that are deleted; only the first call counts.
    pub fn watch_cores(&self, watch: Arc<dyn CoreWatch>) {
        // A second call would come from a second composition of the same service, and there is none.
        let _: Result<(), _> = self.watch.set(watch);
    }

    pub(crate) fn core_watch(&self) -> Option<Arc<dyn CoreWatch>> {
        self.watch.get().cloned()
    }

    /// The public key of the signatures of deployment documents, base64.
    pub fn deployment_public_key(&self) -> String {
        self.parts.key.public_key()
    }

    /// The signature of a payload that stays where it is: a DSSE envelope without it.
    pub fn sign_detached(&self, payload_type: &str, payload: &[u8]) -> Value {
        self.parts.key.envelope_of(payload_type, payload)
    }

    /// The bare signature of a message that says itself what it is for.
    pub fn sign_bare(&self, message: &[u8]) -> Vec<u8> {
        self.parts.key.bare(message)
    }

    /// What `Jobs::watch` is to be given.
    pub fn job_watch(&self) -> Arc<dyn JobWatch> {
        Arc::new(ExecutionWatch)
    }

    /// Hands out the deployments to things that a crash kept from their shadows.
    ///
    /// # Errors
    /// The store's.
    pub async fn recover(&self) -> Result<(), ApiError> {
        deployment::recover(self).await
    }
}

marram_identity::operations! {
    Greengrass, Value;
    "CreateComponentVersion" => component::create,
    "GetComponent" => component::get,
    "DescribeComponent" => component::describe,
    "ListComponents" => component::list,
    "ListComponentVersions" => component::list_versions,
    "DeleteComponent" => component::delete,
    "GetComponentVersionArtifact" => component::artifact,
    "ResolveComponentCandidates" => component::resolve,
    "CreateDeployment" => deployment::create,
    "GetDeployment" => deployment::get,
    "ListDeployments" => deployment::list,
    "CancelDeployment" => deployment::cancel,
    "DeleteDeployment" => deployment::delete,
    "GetDeploymentConfiguration" => deployment::configuration,
    "ListCoreDevices" => core::list,
    "GetCoreDevice" => core::get,
    "DeleteCoreDevice" => core::delete,
    "ListInstalledComponents" => core::installed,
    "ListEffectiveDeployments" => core::effective,
    "BatchAssociateClientDeviceWithCoreDevice" => core::associate,
    "BatchDisassociateClientDeviceFromCoreDevice" => core::disassociate,
    "ListClientDevicesAssociatedWithCoreDevice" => core::client_devices,
    "ListThingGroupsForCoreDevice" => core::thing_groups,
    "GetConnectivityInfo" => connectivity::get,
    "UpdateConnectivityInfo" => connectivity::update,
    "PutCertificateAuthorities" => connectivity::put_authorities,
    "Discover" => connectivity::discover,
    "VerifyClientDeviceIdentity" => core::verify_identity,
    "VerifyClientDeviceIoTCertificateAssociation" => core::verify_association,
    "AssociateServiceRoleToAccount" => service_role::associate,
    "GetServiceRoleForAccount" => service_role::get,
    "DisassociateServiceRoleFromAccount" => service_role::disassociate,
    "ListTagsForResource" => tag::list,
    "TagResource" => tag::add,
    "UntagResource" => tag::remove,
}

impl Service for Greengrass {
    fn id(&self) -> ServiceId {
        ServiceId::GreengrassV2
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == self.id() && OFFERED.contains(&operation.name)
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        answer(self, ctx, operation.name, input)
    }
}
