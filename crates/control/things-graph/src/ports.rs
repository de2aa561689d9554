//! What the service needs of its neighbours: things and roles.

use std::collections::BTreeMap;
use std::fmt::Debug;

use marram_aws_api::ApiError;
use marram_identity::{BoxFuture, CallContext, CallError};
use marram_store::Snapshot;
use serde_json::Value;

use crate::realm::Realm;

/// A thing of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThingFacts {
    /// Its ARN.
    pub arn: String,
    /// Its attributes; `modbusTcp` = `host:port` makes a Modbus device reachable.
    pub attributes: BTreeMap<String, String>,
}

/// The registry, as far as things are looked up.
pub trait Things: Send + Sync + Debug {
    /// The thing called `name` in this realm, seen through the same snapshot as everything else of the call.
    ///
    /// # Errors
    /// The store's failure.
    fn find(&self, snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<ThingFacts>, CallError>;
}

/// Roles that flows act with.
pub trait Roles: Send + Sync + Debug {
    /// Whether the role exists in this account and its trust policy lets this service assume it on behalf of the
    /// deployment `source_arn`.
    fn trusts(&self, realm: &Realm, role_arn: &str, source_arn: &str) -> bool;
}

/// Where a GREENGRASS deployment goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTarget {
    /// `thinggroup/NAME` or `thing/NAME`.
    pub resource: String,
    /// Its ARN.
    pub arn: String,
    /// Id of the group.
    pub id: String,
}

/// What a deployment of the target says about the flow component.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowComponent {
    /// Name of the component.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Member of the component's configuration below `targets` that is replaced as a whole.
    pub member: String,
    /// What it becomes; `None`: it goes.
    pub value: Option<Value>,
}

/// A deployment was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// `greengrassDeploymentId`.
    pub deployment_id: String,
    /// Revision of the target's deployment: `greengrassGroupVersionId`.
    pub revision: String,
}

/// Cores and their deployments.
pub trait GreengrassTarget: Send + Sync + Debug {
    /// The target called `name`.
    ///
    /// # Errors
    /// The store's failure.
    fn resolve(&self, snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<FlowTarget>, CallError>;

    /// Whether deployments of `resource` are for the core `thing`.
    ///
    /// # Errors
    /// The store's failure.
    fn includes(&self, snapshot: &Snapshot<'_>, realm: &Realm, resource: &str, thing: &str) -> Result<bool, CallError>;

    /// Whether the caller may put an artifact there.
    ///
    /// # Errors
    /// What the object store answers.
    fn may_store(&self, ctx: &CallContext, bucket: &str, key: &str) -> Result<(), ApiError>;

    /// Puts an artifact into a bucket, as the caller.
    fn store<'a>(
        &'a self,
        ctx: &'a CallContext,
        bucket: &'a str,
        key: &'a str,
        bytes: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), ApiError>>;

    /// Removes an artifact, as the caller; one that is gone is no error.
    fn discard<'a>(
        &'a self,
        ctx: &'a CallContext,
        bucket: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<(), ApiError>>;

    /// The signature of an artifact's manifest by the deployment key: a DSSE envelope without its payload.
    fn sign(&self, manifest: &[u8]) -> Value;

    /// The deployment key's bare Ed25519 signature of a message that says itself what it is for.
    fn sign_package(&self, message: &[u8]) -> Vec<u8>;

    /// Makes a new deployment of `target`, as the caller: everything the latest one has stays, the flow component becomes
    /// what `component` says. `None`: there was nothing to take away.
    fn send<'a>(
        &'a self,
        ctx: &'a CallContext,
        target: &'a FlowTarget,
        component: FlowComponent,
    ) -> BoxFuture<'a, Result<Option<Sent>, ApiError>>;
}
