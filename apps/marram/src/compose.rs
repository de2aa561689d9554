//! Composition: settings become a running control plane. The only place that knows every crate.
//!
//! Order of birth: data directory (lock) -> store -> audit -> identity -> registry -> broker -> flow runtime -> things-graph
//! -> front door -> listeners. Order of death is the reverse.

mod console;
pub(crate) mod greengrass;
mod objects;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use marram_audit::Audit;
use marram_broker::{Broker, BrokerOptions, FileStore};
use marram_cloudtrail::CloudTrail;
use marram_console::{Console, ConsoleOptions, Embedded, Endpoints as ConsoleEndpoints};
use marram_flow_runtime::{BrokerPort, FlowPrincipal, History, RuntimeHandle, RuntimeOptions};
use marram_front::{ApiListener, DeviceDoor, FrontDoor, FrontMetrics, FrontOptions, IdentityGate};
use marram_greengrass::StatusTopics;
use marram_identity::{IamService, Identity, IdentityOptions, Service, StsService};
use marram_jobs::{JobTopics, Jobs, JobsDataService, JobsService};
use marram_mqtt_net::{listen_tls, serve_stream};
use marram_objects::Objects;
use marram_obs::Metrics;
use marram_provisioning::{JustInTime, Provisioning, ProvisioningService, ProvisioningTopics};
use marram_registry::{CredentialsService, DataService, DeviceAuthority, Endpoints, Outbox, Registry, RegistryOptions};
use marram_secrets::SecretsService;
use marram_shadows::{ShadowTopics, Shadows, ShadowsOptions, ShadowsService};
use marram_store::{Store, StoreOptions};
use marram_things_graph::{CoreTopics, IdentityRoles, Network, Parts, RegistryThings, ThingsGraph};
use marram_tls::{
    Accepted, Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, Plane, ServerCertificate,
};
use marram_types::{AccountId, Partition, Region, SystemClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::adapter::authority::RoleAuthority;
use crate::adapter::certificates::RegisteredCertificates;
use crate::adapter::desk::RegisteredDevices;
use crate::adapter::flow_target::{FlowCores, GreengrassFlows};
use crate::adapter::language::NamespaceLanguage;
use crate::adapter::pages::StatusPages;
use crate::adapter::reserved::{ReservedServices, ReservedTopics};
use crate::admin;
use crate::administrator::{self, Administrator, CoreDesk};
use crate::command::UsageError;
use crate::core_policy;
use crate::core_role;
use crate::data_dir::DataDir;
use crate::demo::Caller;
use crate::provision::CoreEndpoints;
use crate::settings::Settings;

/// Where clients look that are told no port.
const HTTPS_PORT: u16 = 443;

/// A running control plane.
pub struct Stack {
    /// Where everything is kept.
    pub data: DataDir,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where device HTTPS listens.
    pub device_api: SocketAddr,
    /// Where MQTT listens.
    pub mqtt: SocketAddr,
    /// The first account's administrator.
    pub administrator: Administrator,
    /// For calls from inside, in the name of a principal.
    pub identity: Identity,
    /// Every service, for calls from inside.
    pub services: Vec<Arc<dyn Service>>,
    /// The web console.
    pub console: Console,
    /// The object store, which is no [`Service`].
    pub objects: Objects,
    broker: Broker,
    runtime: RuntimeHandle,
    audit: Audit,
    shutdown: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Calls from inside, in the name of an account's administrator.
pub fn first_administrator(
    identity: &Identity,
    account: &AccountId,
    region: &Region,
    services: &[Arc<dyn Service>],
) -> anyhow::Result<Caller> {
    let principal = identity
        .user_principal(account, marram_identity::ADMINISTRATOR)
        .context("the first account has no administrator")?;
    Ok(Caller::new(identity.clone(), principal, region.clone(), services.to_vec()))
}

impl Stack {
    /// Starts everything; when it returns, every listener accepts.
    ///
    /// # Errors
    /// One clear line: port in use, data directory locked or damaged, disk full, unusable settings.
    pub async fn start(settings: &Settings) -> anyhow::Result<Stack> {
        let region: Region =
            settings.region.parse().map_err(|_| UsageError(format!("`{}` is not a region", settings.region)))?;
        let account: AccountId =
            settings.account.parse().map_err(|_| UsageError(format!("`{}` is not an account id", settings.account)))?;
        let clock = SystemClock::shared();
        let data = DataDir::open(&settings.data)?;
        // The lock comes first: whatever follows is ours alone.
        let store = Store::open(data.root(), StoreOptions::default())
            .with_context(|| format!("cannot open the data directory {}", data.root().display()))?;
        let device_socket = bind(settings.device_api, "device API").await?;
        let mqtt_socket = bind(settings.mqtt, "MQTT").await?;
        let pki = data.pki(&settings.server_names())?;
        let authority = Arc::new(pki.authority);
        let root_pem = authority.certificate_pem();
        let certificate = ServerCertificate::from_pem(&pki.server_chain_pem, &pki.server_key_pem)
            .context("the server certificate cannot be used")?;
        let metrics = Metrics::new();

        let audit = Audit::open(store.clone(), data.root(), clock.clone()).context("cannot open the audit log")?;
        let options = IdentityOptions {
            partition: Partition::aws(),
            regions: vec![region.clone()],
            ..IdentityOptions::default()
        };
        let identity = Identity::open(store.clone(), audit.clone(), clock.clone(), options)
            .context("cannot open the identities")?;
        let administrator = administrator::ensure(&identity, &data, &account).await?;

        store.migrate(marram_registry::MIGRATIONS).context("cannot prepare the registry's tables")?;
        store.migrate(marram_shadows::MIGRATIONS).context("cannot prepare the tables of shadows")?;
        store.migrate(marram_jobs::MIGRATIONS).context("cannot prepare the tables of jobs")?;
        store.migrate(marram_provisioning::MIGRATIONS).context("cannot prepare the tables of provisioning")?;
        store.migrate(marram_secrets::MIGRATIONS).context("cannot prepare the tables of secrets")?;
        store.migrate(marram_flow_runtime::history::MIGRATIONS).context("cannot prepare the history's tables")?;
        store.migrate(marram_things_graph::MIGRATIONS).context("cannot prepare the things-graph tables")?;
        store.migrate(marram_logs::MIGRATIONS).context("cannot prepare the tables of logs and metrics")?;
        let mut endpoints = Endpoints::single(settings.public_host());
        // Clients of the credentials provider put the answer into a URL: with the port where it really is (CP 4.3).
        let device_port = device_socket.local_addr()?.port();
        if device_port != HTTPS_PORT {
            endpoints.credential_provider = format!("{}:{device_port}", endpoints.credential_provider);
        }
        let registry = Registry::new(RegistryOptions::new(Arc::clone(&authority), endpoints));
        let devices = DeviceAuthority::new(
            &registry,
            store.clone(),
            identity.partition().clone(),
            clock.clone(),
            Some(audit.clone()),
        );
        let reserved = Arc::new(ReservedTopics::default());
        let broker = start_broker(settings, &data, devices.clone(), reserved.clone())?;
        let certificates = Arc::new(RegisteredCertificates(devices.clone()));
        let watching = {
            let sessions = Arc::new(broker.clone());
            let devices = devices.clone();
            tokio::spawn(async move { devices.watch(sessions).await })
        };
        let history = History::new(store.clone());
        let runtime =
            start_runtime(&data, &history, &identity, &broker, &metrics, settings.flow_events_per_second, &root_pem)
                .await?;
        let things_graph = ThingsGraph::open(Parts {
            store: store.clone(),
            identity: identity.clone(),
            things: Arc::new(RegistryThings),
            roles: Arc::new(IdentityRoles(identity.clone())),
            runtime: runtime.clone(),
            history: history.clone(),
            network: Network { http_allow: settings.flow_allow_hosts.iter().map(Into::into).collect() },
            page_secret: authority.key_pem().into_bytes(),
            quotas: marram_things_graph::Quotas::default(),
        })
        .await
        .context("cannot open the things-graph service")?;
        things_graph.recover().await.context("cannot take up unfinished work")?;

        let messages = Arc::new(marram_registry::BrokerMessages::new(broker.clone()));
        let outbox = Outbox::start(messages.clone());
        let shadows = Shadows::new(identity.clone(), outbox.clone(), ShadowsOptions::default());
        let objects =
            objects::open(settings, &data, &store, &identity, (&region, &clock), authority.key_pem().into_bytes())?;
        let jobs = Jobs::new(identity.clone(), outbox.clone(), objects.clone());
        registry.watch_memberships(Arc::new(jobs.clone()));
        let clockwork = {
            let jobs = jobs.clone();
            tokio::spawn(async move { jobs.run().await })
        };
        let provisioning = Provisioning::new(identity.clone(), registry.clone());
        devices.greet(JustInTime::new(provisioning.clone(), outbox.clone()));
        let sweeper = {
            let provisioning = provisioning.clone();
            tokio::spawn(async move { provisioning.run().await })
        };
        let greengrass = greengrass::open(&data, &store, &identity, &jobs, &shadows, &objects).await?;
        let status = StatusTopics::start(greengrass.clone(), ShadowTopics::start(shadows.clone()));
        let flows = GreengrassFlows::new(identity.clone(), greengrass.clone(), objects.clone());
        things_graph.serve_greengrass(Arc::new(flows));
        registry.watch_memberships(Arc::new(things_graph.clone()));
        greengrass.watch_cores(Arc::new(FlowCores(things_graph.clone())));
        reserved.serve(ReservedServices {
            flows: CoreTopics::start(things_graph.clone()),
            shadows: status.clone(),
            status,
            jobs: JobTopics::start(jobs.clone()),
            provisioning: ProvisioningTopics::start(provisioning.clone()),
        });
        let services: Vec<Arc<dyn Service>> = vec![
            Arc::new(greengrass),
            Arc::new(ShadowsService::new(shadows)),
            Arc::new(JobsService::new(jobs.clone())),
            Arc::new(JobsDataService::new(jobs)),
            Arc::new(ProvisioningService::new(provisioning)),
            Arc::new(SecretsService::new()),
            Arc::new(IamService::new(identity.clone())),
            Arc::new(StsService::new(identity.clone())),
            Arc::new(DataService::new(&registry, messages)),
            Arc::new(CredentialsService::new(identity.clone())),
            Arc::new(registry),
            Arc::new(things_graph.clone()),
            Arc::new(CloudTrail::new()),
            Arc::new(marram_logs::LogsService),
            Arc::new(marram_logs::MetricsService),
        ];
        let front_metrics = FrontMetrics::new(&metrics);
        let front = || {
            let mut front = FrontOptions::new(region.clone(), clock.clone());
            if settings.aws_quotas {
                front.quotas = marram_front::Quotas::aws();
            }
            front.metrics = front_metrics.clone();
            front
        };
        let gate = Arc::new(IdentityGate::new(identity.clone()));
        let device_door = FrontDoor::new(gate.clone(), services.clone(), front());
        let device_door = Arc::new(DeviceDoor::new(device_door, certificates));
        let mut api = front();
        let console = console::open(
            &store,
            &identity,
            ConsoleOptions {
                home: account.clone(),
                region: region.clone(),
                secret: authority.key_pem().into_bytes(),
                files: Arc::new(Embedded),
                broker: broker.clone(),
                history,
                language: Arc::new(NamespaceLanguage::new(things_graph, identity.partition().clone())),
                devices: Arc::new(RegisteredDevices(devices.clone())),
                metrics: metrics.clone(),
            },
        )?;
        // First come, first asked: where the host names a bucket, no path is the console's.
        api.streams = vec![Arc::new(objects.clone()), Arc::new(console.clone())];
        api.pages = Arc::new(StatusPages::new(metrics, broker.clone(), store.clone(), audit.clone()));
        let door = Arc::new(FrontDoor::new(gate, services.clone(), api));
        console.call_through(&door);

        let (shutdown, stopped) = watch::channel(false);
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = |listener| Acceptor::new(listener, &certificate, AcceptorOptions::default(), Arc::clone(&gate));
        let handover = {
            let (broker, door) = (broker.clone(), Arc::clone(&device_door));
            Arc::new(move |accepted: Accepted<TcpStream>, address| {
                let (broker, door) = (broker.clone(), Arc::clone(&door));
                tokio::spawn(async move {
                    if accepted.plane == Plane::DeviceMqtt {
                        serve_stream(accepted.stream, address, accepted.peer, accepted.permit, &broker).await;
                    } else {
                        door.serve(accepted, address).await;
                    }
                });
            })
        };
        let api_listener = ApiListener::bind(settings.api, acceptor(Listener::Api), door, Some(handover))
            .await
            .with_context(|| format!("cannot listen at {} (API)", settings.api))?;
        let device_api = device_socket.local_addr()?;
        let (api, mqtt) = (api_listener.local_addr()?, mqtt_socket.local_addr()?);
        let desk = CoreDesk {
            caller: first_administrator(&identity, &account, &region, &services)?,
            root_pem,
            endpoints: CoreEndpoints {
                region: settings.region.clone(),
                host: settings.public_host().to_owned(),
                mqtt_port: mqtt.port(),
                device_port: device_api.port(),
                api_port: api.port(),
                deployment_key: greengrass::public_key(&data)?,
            },
            console: console.clone(),
        };
        core_policy::keep_current_and_tell(&desk.caller).await;
        core_role::keep_current_and_tell(&desk.caller).await;
        let at = |address: SocketAddr| format!("{}:{}", settings.public_host(), address.port());
        console.set_endpoints(ConsoleEndpoints { api: at(api), mqtt: at(mqtt), device: at(device_api) });
        let sessions = {
            let console = console.clone();
            tokio::spawn(async move { console.run().await })
        };
        objects.set_base_url(format!("https://{}:{}", settings.public_host(), api.port()));
        let tasks = vec![
            tokio::spawn(api_listener.run(stopped.clone())),
            tokio::spawn(listen_tls(mqtt_socket, acceptor(Listener::DeviceMqtt), broker.clone(), {
                let mut stopped = stopped.clone();
                async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                }
            })),
            tokio::spawn(device_door.listen(device_socket, acceptor(Listener::DeviceHttps), stopped.clone())),
            watching,
            clockwork,
            sweeper,
            sessions,
            admin::listen(&data.admin_socket(), administrator::admin_handler(identity.clone(), desk))?,
        ];
        Ok(Stack {
            data,
            api,
            device_api,
            mqtt,
            administrator,
            identity,
            services,
            console,
            objects,
            broker,
            runtime,
            audit,
            shutdown,
            tasks,
        })
    }

    /// Stops in reverse order: listeners, connections, flows, log.
    pub async fn stop(self, patience: Duration) {
        let _ = self.shutdown.send(true);
        self.broker.shut_down(patience).await;
        self.runtime.shutdown().await;
        for task in self.tasks {
            task.abort();
        }
        if let Err(error) = self.identity.flush_usage().await {
            tracing::warn!(%error, "when keys were last used could not be written down");
        }
        let _ = std::fs::remove_file(self.data.admin_socket());
        // The last checkpoint is made on the way out.
        self.audit.close();
    }
}

/// Binds a listener; the error names it and its address.
async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address} ({what})"))
}

fn start_broker(
    settings: &Settings,
    data: &DataDir,
    devices: DeviceAuthority,
    reserved: Arc<ReservedTopics>,
) -> anyhow::Result<Broker> {
    let options =
        BrokerOptions { quotas: settings.aws_quotas.then(marram_broker::Quotas::default), ..BrokerOptions::default() };
    let kept = FileStore::open(&data.folder("mqtt")?).context("cannot open the kept MQTT sessions")?;
    let ports = marram_broker::Ports {
        authenticator: Arc::new(devices),
        interceptor: Some(reserved),
        store: Some(Arc::new(kept)),
    };
    Broker::start(options, ports).context("cannot open the kept MQTT sessions")
}

/// The broker's worlds are named as the device authority names them: account and region.
fn tenant_of(principal: &FlowPrincipal) -> marram_broker::Tenant {
    marram_broker::Tenant::new(&format!("{}/{}", principal.account, principal.region))
}

async fn start_runtime(
    data: &DataDir,
    history: &History,
    identity: &Identity,
    broker: &Broker,
    metrics: &Metrics,
    events_per_second: u32,
    root_pem: &str,
) -> anyhow::Result<RuntimeHandle> {
    let ports = marram_flow_runtime::Ports {
        messages: Arc::new(BrokerPort::new(broker.clone(), tenant_of)),
        authority: Arc::new(RoleAuthority::new(identity.clone())),
        history: Some(Arc::new(history.clone())),
    };
    let mut options = RuntimeOptions { events_per_second, ..RuntimeOptions::new(data.folder("flows")?) };
    // Web services of this installation are known by its own root, others by the system's.
    root_pem.clone_into(&mut options.http.roots_pem);
    RuntimeHandle::open(options, ports, metrics).await.context("cannot open the flow journals")
}
