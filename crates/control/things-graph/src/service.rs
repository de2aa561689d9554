//! The `iotthingsgraph` service: one table from operation to function.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_flow_runtime::{History, RuntimeHandle};
use marram_identity::{BoxFuture, CallContext, Identity, Service, SystemContext};
use marram_store::{Store, StoreError};
use marram_types::Timestamp;
use serde_json::Value;
use smol_str::SmolStr;

use crate::catalog::{self, Catalog};
use crate::page::Tokens;
use crate::ports::{GreengrassTarget, Roles, Things};
use crate::realm::Realm;
use crate::template::Kind;
use crate::{association, entity, execution, instance, namespace, tag, template};

/// The service principal flow roles must trust, and the actor of background work.
pub const SERVICE_PRINCIPAL: &str = "iotthingsgraph.amazonaws.com";

/// What the service is made of.
pub struct Parts {
    /// Tables, migrated with [`crate::MIGRATIONS`].
    pub store: Store,
    /// For work of the service itself.
    pub identity: Identity,
    /// The registry.
    pub things: Arc<dyn Things>,
    /// IAM roles.
    pub roles: Arc<dyn Roles>,
    /// Where CLOUD deployments run.
    pub runtime: RuntimeHandle,
    /// What the runtime writes of executions.
    pub history: History,
    /// What HTTP steps of every deployment may reach beyond public hosts.
    pub network: Network,
    /// Secret of the installation that page tokens are derived from.
    pub page_secret: Vec<u8>,
    /// Quotas.
    pub quotas: Quotas,
}

/// Most objects of an account (TG 9.5).
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Flows.
    pub flows: i64,
    /// Systems.
    pub systems: i64,
    /// Deployments.
    pub deployments: i64,
    /// Entities of a namespace version.
    pub entities: usize,
    /// Uploads in progress.
    pub uploads: i64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { flows: 1_000, systems: 1_000, deployments: 5_000, entities: 20_000, uploads: 10 }
    }
}

/// What the operator lets HTTP steps do (TG 10.4).
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Hosts (`host` or `host:port`) reachable although they are loopback, private or link-local.
    pub http_allow: Vec<SmolStr>,
}

/// The service; a cheap clone.
#[derive(Clone)]
pub struct ThingsGraph {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for ThingsGraph {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ThingsGraph").finish_non_exhaustive()
    }
}

/// Locks by what they guard; those nobody holds are dropped at the next question.
type Locks<K> = Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>;

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) things: Arc<dyn Things>,
    pub(crate) roles: Arc<dyn Roles>,
    pub(crate) runtime: RuntimeHandle,
    pub(crate) history: History,
    pub(crate) network: Network,
    pub(crate) tokens: Tokens,
    pub(crate) quotas: Quotas,
    pub(crate) catalog: Catalog,
    /// Filled in when cores are served, which starts later than flows.
    pub(crate) greengrass: OnceLock<Arc<dyn GreengrassTarget>>,
    namespace_locks: Locks<Realm>,
    instance_locks: Locks<(Realm, String)>,
}

impl ThingsGraph {
    /// Puts the service together and stores the shipped public namespace when it is new. Call [`Self::recover`] next.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn open(parts: Parts) -> Result<Self, StoreError> {
        let now = parts.identity.now();
        parts.store.write(move |tx| catalog::install_public(tx, now)).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                store: parts.store,
                identity: parts.identity,
                things: parts.things,
                roles: parts.roles,
                runtime: parts.runtime,
                history: parts.history,
                network: parts.network,
                tokens: Tokens::derived_from(&parts.page_secret),
                quotas: parts.quotas,
                catalog: Catalog::default(),
                greengrass: OnceLock::new(),
                namespace_locks: Mutex::default(),
                instance_locks: Mutex::default(),
            }),
        })
    }

    /// Lets deployments go to cores from now on; only the first call counts.
    pub fn serve_greengrass(&self, target: Arc<dyn GreengrassTarget>) {
        // A second call would come from a second composition of the same service, and there is none.
        let _: Result<(), _> = self.inner.greengrass.set(target);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.identity.now()
    }

    pub(crate) fn system(&self, realm: &Realm) -> SystemContext {
        self.inner.identity.system(SERVICE_PRINCIPAL, realm.account.clone(), realm.region.clone())
    }

    /// The lock that serialises changes of one namespace (TG 8).
    pub(crate) fn namespace_lock(&self, realm: &Realm) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.inner.namespace_locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(realm.clone()).or_default().clone()
    }

    /// The lock that serialises the steps of one deployment's status machine (TG 7.5).
    pub(crate) fn instance_lock(&self, realm: &Realm, urn_key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.inner.instance_locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry((realm.clone(), urn_key.to_owned())).or_default().clone()
    }

    async fn run(&self, ctx: &CallContext, operation: &'static Operation, input: Value) -> Result<Value, ApiError> {
        match operation.name {
            "UploadEntityDefinitions" => namespace::upload::upload(self, ctx, &input).await,
            "GetUploadStatus" => namespace::upload_status::get(self, ctx, &input),
            "DescribeNamespace" => namespace::describe::describe(self, ctx, &input),
            "DeleteNamespace" => namespace::delete::delete(self, ctx).await,
            "GetNamespaceDeletionStatus" => namespace::delete::status(self, ctx),
            "GetEntities" => entity::get(self, ctx, &input),
            "SearchEntities" => entity::search(self, ctx, &input),
            "CreateFlowTemplate" => template::create::create(self, ctx, Kind::Flow, &input).await,
            "CreateSystemTemplate" => template::create::create(self, ctx, Kind::System, &input).await,
            "UpdateFlowTemplate" => template::update::update(self, ctx, Kind::Flow, &input).await,
            "UpdateSystemTemplate" => template::update::update(self, ctx, Kind::System, &input).await,
            "GetFlowTemplate" => template::read::get(self, ctx, Kind::Flow, &input),
            "GetSystemTemplate" => template::read::get(self, ctx, Kind::System, &input),
            "GetFlowTemplateRevisions" => template::read::revisions(self, ctx, Kind::Flow, &input),
            "GetSystemTemplateRevisions" => template::read::revisions(self, ctx, Kind::System, &input),
            "SearchFlowTemplates" => template::read::search(self, ctx, Kind::Flow, &input),
            "SearchSystemTemplates" => template::read::search(self, ctx, Kind::System, &input),
            "DeprecateFlowTemplate" => template::delete::deprecate(self, ctx, Kind::Flow, &input).await,
            "DeprecateSystemTemplate" => template::delete::deprecate(self, ctx, Kind::System, &input).await,
            "DeleteFlowTemplate" => template::delete::delete(self, ctx, Kind::Flow, &input).await,
            "DeleteSystemTemplate" => template::delete::delete(self, ctx, Kind::System, &input).await,
            "CreateSystemInstance" => instance::create::create(self, ctx, &input).await,
            "GetSystemInstance" => instance::read::get(self, ctx, &input),
            "SearchSystemInstances" => instance::read::search(self, ctx, &input),
            "DeploySystemInstance" => instance::deploy::deploy(self, ctx, &input).await,
            "UndeploySystemInstance" => instance::undeploy::undeploy(self, ctx, &input).await,
            "DeleteSystemInstance" => instance::delete::delete(self, ctx, &input).await,
            "SearchFlowExecutions" => execution::read::search(self, ctx, &input),
            "ListFlowExecutionMessages" => execution::read::messages(self, ctx, &input),
            "AssociateEntityToThing" => association::associate(self, ctx, &input).await,
            "DissociateEntityFromThing" => association::dissociate(self, ctx, &input).await,
            "SearchThings" => association::search(self, ctx, &input),
            "TagResource" => tag::tag(self, ctx, &input).await,
            "UntagResource" => tag::untag(self, ctx, &input).await,
            "ListTagsForResource" => tag::list(self, ctx, &input),
            name => Err(ApiError::not_supported(name)),
        }
    }
}

impl Service for ThingsGraph {
    fn id(&self) -> ServiceId {
        ServiceId::ThingsGraph
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move { self.run(ctx, operation, input).await.map_err(|error| listed(operation, error)) })
    }
}

/// Modelled errors of the service; an operation answers only those it lists (TG 9.1).
const MODELLED: [&str; 5] = [
    "InvalidRequestException",
    "ResourceNotFoundException",
    "ResourceAlreadyExistsException",
    "ResourceInUseException",
    "LimitExceededException",
];

/// Longest error message, characters (TG 9.1).
const MAX_MESSAGE_CHARS: usize = 2048;

fn listed(operation: &Operation, mut error: ApiError) -> ApiError {
    if let Some((at, _)) = error.message.char_indices().nth(MAX_MESSAGE_CHARS) {
        error.message.truncate(at);
    }
    if MODELLED.contains(&&*error.code) && operation.error(&error.code).is_none() {
        let message = std::mem::take(&mut error.message);
        let known = operation.error("InvalidRequestException").is_some();
        return if known { ApiError::invalid_request(message) } else { ApiError::internal() };
    }
    if let Some(modelled) = operation.error(&error.code) {
        error.status = modelled.status;
    }
    error
}
