//! The runtime: deployments by id, each an actor of its own (TG 6, 7.5).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marram_types::{SharedClock, SystemClock};
use serde_json::{Map, Value as Json};
use smol_str::SmolStr;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::connector::{Connectors, HttpConnector, HttpOptions, ModbusConnector, MqttConnector};
use crate::host::{Command, Host, HostHandle, Recovered, Shared};
use crate::index::Indexer;
use crate::journal::{Journal, JournalError};
use crate::metrics::FlowMetrics;
use crate::port::{Authority, HistorySink, MessagePort};
use crate::spec::{DeployError, Deployment, DeploymentStatus, StartError};

/// What a transition must survive before its effect is let out (TG 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: effects wait for the group commit (`fdatasync`) of their transition.
    PowerLoss,
    /// The death of the process: effects wait until the operating system has the transition. After a power cut the
    /// last moments may be forgotten, so an actuator may be moved twice.
    ProcessDeath,
}

/// How a runtime runs.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// Where journals live; owner-only.
    pub dir: PathBuf,
    /// Default [`Durability::PowerLoss`].
    pub durability: Durability,
    /// Activities at work at a time (TG 6.3). Default 64.
    pub workers: usize,
    /// How long executions may go on after their deployment was replaced (TG 7.6). Default 60 s.
    pub redeploy_grace: Duration,
    /// Occurrences a second and role; 0 is unlimited (TG 11.6). Default [`RuntimeOptions::EVENTS_PER_SECOND`].
    pub events_per_second: u32,
    /// Size after which a journal begins a new segment, bytes. Default 16 MiB.
    pub segment_bytes: u64,
    /// What HTTPS trusts.
    pub http: HttpOptions,
    /// The machine is a core (TG 7.1): Modbus endpoints may be its serial lines and any address it reaches. Default no: what is
    /// public or listed.
    pub on_core: bool,
    /// Wall clock of executions and calendar triggers. Default the machine's.
    pub clock: SharedClock,
}

impl RuntimeOptions {
    /// Occurrences a second and role that a storm is cut down to, unless said otherwise (TG 11.6).
    pub const EVENTS_PER_SECOND: u32 = 50;

    /// The defaults, with journals in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::PowerLoss,
            workers: 64,
            redeploy_grace: Duration::from_secs(60),
            events_per_second: Self::EVENTS_PER_SECOND,
            segment_bytes: 16 * 1024 * 1024,
            http: HttpOptions::default(),
            on_core: false,
            clock: SystemClock::shared(),
        }
    }
}

/// What the host of a runtime provides.
pub struct Ports {
    /// The broker.
    pub messages: Arc<dyn MessagePort>,
    /// Permissions and credentials.
    pub authority: Arc<dyn Authority>,
    /// The history index; `None`: no history is kept.
    pub history: Option<Arc<dyn HistorySink>>,
}

/// Why a runtime did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The trusted roots cannot be read.
    #[error("trusted roots: {0}")]
    Roots(#[from] marram_tls::TlsError),
}

/// Runs deployments. A cheap clone; the deployments end when [`RuntimeHandle::shutdown`] is called or the last clone goes.
#[derive(Clone)]
pub struct RuntimeHandle {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// By lower-case deployment URN.
    hosts: Mutex<HashMap<SmolStr, HostHandle>>,
    /// One deploy or undeploy at a time.
    changing: tokio::sync::Mutex<()>,
    tasks: Mutex<JoinSet<()>>,
}

impl RuntimeHandle {
    /// Starts a runtime and everything its journals hold: deployments are armed, executions go on, what was in flight
    /// fails with `TG.RuntimeRestarted`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(options: RuntimeOptions, ports: Ports, metrics: &marram_obs::Metrics) -> Result<Self, OpenError> {
        Self::open_with(options, ports, metrics, &|_| true).await
    }

    /// As [`RuntimeHandle::open`], for deployments (lower-case ids) that `is_kept` knows. Others are undeployed before anything of them is
    /// armed or goes on: what ran is aborted.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_with(
        options: RuntimeOptions,
        ports: Ports,
        metrics: &marram_obs::Metrics,
        is_kept: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Self, OpenError> {
        let dir = options.dir.clone();
        prepare_dir(&dir)?;
        let metrics = FlowMetrics::new(metrics);
        let connectors = Connectors {
            mqtt: MqttConnector::new(ports.messages, metrics.dropped("unexpected")),
            modbus: ModbusConnector::new(options.on_core),
            http: HttpConnector::new(options.http.clone())?,
            authority: ports.authority,
            workers: Semaphore::new(options.workers),
        };
        let clock = Clock::start(Arc::clone(&options.clock));
        let shared = Arc::new(Shared { options, connectors, history: ports.history, metrics, clock });
        let inner =
            Inner { shared, hosts: Mutex::default(), changing: tokio::sync::Mutex::default(), tasks: Mutex::default() };
        let runtime = Self { inner: Arc::new(inner) };
        for path in journal_dirs(&dir)? {
            runtime.recover(path, is_kept)?;
        }
        Ok(runtime)
    }

    fn recover(&self, dir: PathBuf, is_kept: &dyn Fn(&str) -> bool) -> Result<(), OpenError> {
        let mut recovered = Recovered::default();
        let Some(journal) = Journal::open(&dir, |record| recovered.apply(record))? else {
            // Begun and never finished: nothing was deployed.
            return Ok(std::fs::remove_dir_all(&dir).map_err(|cause| JournalError::Io { path: dir, cause })?);
        };
        let shared = &self.inner.shared;
        if recovered.closed {
            match &shared.history {
                None => std::fs::remove_dir_all(&dir).map_err(|cause| JournalError::Io { path: dir, cause })?,
                Some(history) => {
                    let end = crate::journal::Position { segment: journal.segment(), offset: journal.length() };
                    let readable = Arc::new(crate::host::Readable::default());
                    readable.set(end);
                    self.spawn(Indexer::new(dir, readable, Arc::clone(history)).run());
                }
            }
            return Ok(());
        }
        let Some(id) = recovered.current().map(|deployment| key(deployment.id())) else { return Ok(()) };
        let Some((host, handle)) = Host::recover(Arc::clone(shared), dir, journal, recovered) else { return Ok(()) };
        if is_kept(&id) {
            self.launch(id, host, handle);
            return Ok(());
        }
        host.end()?;
        if let Some(history) = &shared.history {
            self.spawn(Indexer::new(handle.dir, handle.readable, Arc::clone(history)).run());
        }
        Ok(())
    }

    fn launch(&self, id: SmolStr, host: Host, handle: HostHandle) {
        if let Some(history) = &self.inner.shared.history {
            self.spawn(Indexer::new(handle.dir.clone(), Arc::clone(&handle.readable), Arc::clone(history)).run());
        }
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(id, handle);
        self.spawn(host.run());
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    fn host(&self, deployment: &str) -> Option<HostHandle> {
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(&key(deployment)).cloned()
    }

    async fn ask<T>(&self, deployment: &str, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let host = self.host(deployment)?;
        let (reply, answer) = oneshot::channel();
        host.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Deploys, or redeploys: triggers are armed when this returns. Deploying what is deployed already changes nothing;
    /// a different document replaces it, and executions of the old one may go on for the grace.
    ///
    /// # Errors
    /// [`DeployError`]; what was deployed before goes on.
    pub async fn deploy(&self, deployment: Deployment) -> Result<(), DeployError> {
        let _changing = self.inner.changing.lock().await;
        let id = key(deployment.id());
        if self.host(&id).is_some() {
            let deployment = Box::new(deployment);
            return self
                .ask(&id, |reply| Command::Deploy { deployment, reply })
                .await
                .unwrap_or(Err(DeployError::Closed));
        }
        let dir = self.inner.shared.options.dir.join(format!("{}.journal", marram_types::random_hex(16)));
        let (host, handle) = Host::create(Arc::clone(&self.inner.shared), dir, deployment).await?;
        self.launch(id, host, handle);
        Ok(())
    }

    /// Aborts the executions of a deployment and forgets it; answers whether it was deployed. History stays.
    ///
    /// # Errors
    /// [`DeployError::Journal`]: it is disarmed, but may be back after a restart.
    pub async fn undeploy(&self, deployment: &str) -> Result<bool, DeployError> {
        let _changing = self.inner.changing.lock().await;
        let answer = self.ask(deployment, |reply| Command::Undeploy { reply }).await;
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(deployment));
        answer.transpose().map(|answer| answer.is_some())
    }

    /// Starts an execution by hand; `params` by parameter name. Answers its id (TG 6.1).
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        &self,
        deployment: &str,
        flow_role: &str,
        params: Map<String, Json>,
    ) -> Result<SmolStr, StartError> {
        if self.host(deployment).is_none() {
            return Err(StartError::NoDeployment(deployment.into()));
        }
        let role = SmolStr::new(flow_role);
        self.ask(deployment, |reply| Command::Start { role, params, reply }).await.unwrap_or(Err(StartError::Closed))
    }

    /// Aborts an execution; answers whether it was running.
    pub async fn abort(&self, deployment: &str, execution: &str, reason: &str) -> bool {
        let (execution, reason) = (SmolStr::new(execution), SmolStr::new(reason));
        self.ask(deployment, |reply| Command::Abort { execution, reason, reply }).await.unwrap_or(false)
    }

    /// How a deployment is; `None`: it is not deployed here.
    pub async fn status(&self, deployment: &str) -> Option<DeploymentStatus> {
        self.ask(deployment, |reply| Command::Status { reply }).await
    }

    /// Ids of what is deployed, lower-case, sorted.
    pub fn deployments(&self) -> Vec<SmolStr> {
        let mut ids: Vec<SmolStr> =
            self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Stops all deployments where they stand; the next [`RuntimeHandle::open`] goes on from there.
    pub async fn shutdown(&self) {
        let hosts: Vec<HostHandle> =
            self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, host)| host).collect();
        for host in hosts {
            let (reply, answer) = oneshot::channel();
            if host.commands.send(Command::Stop { reply }).await.is_ok() {
                drop(answer.await);
            }
        }
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

/// URNs compare ignoring case (TG 1.1).
fn key(deployment: &str) -> SmolStr {
    SmolStr::from(deployment.to_ascii_lowercase())
}

/// Creates the directory with access for its owner only: journals hold what devices said.
fn prepare_dir(dir: &Path) -> Result<(), JournalError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.map_err(|cause| JournalError::Io { path: dir.to_owned(), cause })
}

fn journal_dirs(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let error = |cause| JournalError::Io { path: dir.to_owned(), cause };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
