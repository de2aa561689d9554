//! One deployment at work: an actor that owns its executions, its journal, its timers and its triggers.
//!
//! Each turn takes what is waiting, feeds the engine, writes the journal once, and only then lets effects out: at once
//! when surviving the process is enough, after the next group commit when power may fail ([`crate::Durability`]). Nothing is
//! shared with other deployments but the connectors.

mod arm;
mod sync;
mod turn;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use marram_flow::trigger::Watch;
use marram_flow::{Execution, Fault, Program, Quiet, Reply, Request, TaskId, Time};
use serde_json::{Map, Value as Json};
use smol_str::SmolStr;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::connector::{Bus, Connectors, Lane};
use crate::journal::{Journal, JournalError, Position, Record};
use crate::metrics::{FlowMeters, FlowMetrics};
use crate::port::{FlowPrincipal, HistorySink, Subscription};
use crate::runtime::RuntimeOptions;
use crate::spec::{DeployError, Deployment, DeploymentStatus, StartError};
use crate::throttle::TokenBucket;

/// Commands and occurrences a deployment may have waiting; occurrences beyond are dropped and counted.
pub(crate) const QUEUE: usize = 8_192;

/// What a deployment is asked.
pub(crate) enum Command {
    /// A message arrived for the watched filter `source` of `generation`.
    Occurrence { generation: u32, source: u16, payload: Bytes },
    /// A request got somewhere.
    Progress { number: u64, task: TaskId, stage: marram_flow::Stage },
    /// Start by hand.
    Start { role: SmolStr, params: Map<String, Json>, reply: oneshot::Sender<Result<SmolStr, StartError>> },
    /// Abort one execution; answers whether it ran.
    Abort { execution: SmolStr, reason: SmolStr, reply: oneshot::Sender<bool> },
    /// Deploy, or redeploy.
    Deploy { deployment: Box<Deployment>, reply: oneshot::Sender<Result<(), DeployError>> },
    /// Abort everything and end.
    Undeploy { reply: oneshot::Sender<Result<(), DeployError>> },
    /// How it is.
    Status { reply: oneshot::Sender<DeploymentStatus> },
    /// End without touching the executions: they go on at the next start.
    Stop { reply: oneshot::Sender<()> },
}

/// What all deployments of a runtime share.
pub(crate) struct Shared {
    pub options: RuntimeOptions,
    pub connectors: Connectors,
    pub history: Option<Arc<dyn HistorySink>>,
    pub metrics: FlowMetrics,
    pub clock: Clock,
}

/// How far the journal may be read by the history index.
#[derive(Debug, Default)]
pub(crate) struct Readable {
    /// Segment in the upper 24 bits, offset in the lower 40.
    packed: AtomicU64,
    pub changed: Notify,
}

impl Readable {
    const OFFSET_BITS: u32 = 40;

    pub fn set(&self, position: Position) {
        let packed = position.segment << Self::OFFSET_BITS | position.offset;
        self.packed.store(packed, Ordering::Release);
        self.changed.notify_one();
    }

    pub fn get(&self) -> Position {
        let packed = self.packed.load(Ordering::Acquire);
        Position { segment: packed >> Self::OFFSET_BITS, offset: packed & ((1 << Self::OFFSET_BITS) - 1) }
    }
}

/// A deployed document: the programs its executions run on.
pub(crate) struct Generation {
    pub number: u32,
    pub deployed: Time,
    pub deployment: Deployment,
    pub principal: Arc<FlowPrincipal>,
    pub http_allow: Arc<[SmolStr]>,
    pub programs: Vec<Program>,
    pub meters: Vec<FlowMeters>,
}

impl Generation {
    pub fn new(number: u32, deployed: Time, deployment: Deployment, metrics: &FlowMetrics) -> Self {
        let system = &deployment.snapshot.site.system;
        let flows = deployment.snapshot.flows.iter();
        Self {
            number,
            deployed,
            principal: Arc::new(deployment.principal.clone()),
            http_allow: deployment.http_allow.clone().into(),
            programs: deployment.snapshot.programs(),
            meters: flows.map(|flow| metrics.flow(&flow.flow, system, deployment.metrics_enabled)).collect(),
            deployment,
        }
    }
}

/// A live execution.
struct Live {
    exec: Execution,
    generation: Arc<Generation>,
    flow: u16,
    /// Its entry in `timers`.
    deadline: Option<Time>,
}

/// A dispatch that waits for its journal records to be safe.
struct Waiting {
    /// Number of the write that carries its records.
    write: u64,
    number: u64,
    task: TaskId,
    request: Arc<Request>,
}

/// A start by hand that is confirmed once its record is safe.
struct Confirmation {
    /// Number of the write that carries its record.
    write: u64,
    execution: SmolStr,
    reply: oneshot::Sender<Result<SmolStr, StartError>>,
}

/// A sync of the journal on a thread that may block: the write and the position it covers, and how long it took.
struct Syncing {
    write: u64,
    position: Position,
    done: JoinHandle<(std::io::Result<()>, Duration)>,
}

/// What a journal said.
#[derive(Default)]
pub(crate) struct Recovered {
    generations: Vec<(u32, Time, Box<Deployment>)>,
    live: HashMap<u64, (Execution, u32, u16)>,
    watch: Option<Box<Watch>>,
    next: u64,
    pub closed: bool,
}

/// Executions are numbered by ourselves, so their hash need not resist anybody: one multiplication spreads them.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte) ^ self.0);
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
}

/// Random bytes for execution ids, drawn from the system's generator by the page.
#[derive(Default)]
struct RandomPool {
    bytes: Vec<u8>,
}

impl RandomPool {
    const PAGE: usize = 4_096;

    fn uuid(&mut self) -> [u8; 16] {
        if self.bytes.len() < 16 {
            self.bytes.resize(Self::PAGE, 0);
            marram_types::random_fill(&mut self.bytes);
        }
        let uuid = self.bytes.last_chunk().copied().unwrap_or_default();
        self.bytes.truncate(self.bytes.len() - 16);
        uuid
    }
}

type Done = (u64, TaskId, Result<Reply, Fault>);

/// The actor.
pub(crate) struct Host {
    shared: Arc<Shared>,
    dir: PathBuf,
    journal: Journal,
    readable: Arc<Readable>,
    commands: mpsc::Receiver<Command>,
    /// For the senders it hands out; does not keep the host alive.
    sender: mpsc::WeakSender<Command>,
    current: Arc<Generation>,
    older: Vec<(Arc<Generation>, Time)>,
    live: HashMap<u64, Box<Live>, BuildHasherDefault<NumberHasher>>,
    next: u64,
    random: RandomPool,
    started: u64,
    // triggers
    watch: Watch,
    buckets: Vec<TokenBucket>,
    /// Watched events per subscribed filter.
    sources: Vec<Vec<u16>>,
    subscriptions: Vec<Subscription>,
    clocks: Vec<arm::ClockTrigger>,
    rearm: Option<Time>,
    dropped: Arc<AtomicU64>,
    // timers
    timers: BTreeSet<(Time, u64)>,
    touched: Vec<u64>,
    // effects
    sink: Quiet,
    waiting: VecDeque<Waiting>,
    confirmations: VecDeque<Confirmation>,
    // journal
    writes: u64,
    syncing: Option<Syncing>,
    synced: u64,
    /// When what nobody waits for is synced at the latest.
    sync_due: Option<Instant>,
    /// What a sync takes here lately.
    sync_time: Duration,
    tasks: JoinSet<Done>,
    handles: HashMap<(u64, TaskId), AbortHandle>,
    /// Response topics and Modbus servers in use: held, so that they stay subscribed and connected between requests.
    lanes: HashMap<SmolStr, Arc<Lane>>,
    buses: HashMap<SmolStr, Arc<Bus>>,
    // authority
    decisions: HashMap<SmolStr, bool>,
    decisions_version: u64,
}

impl Recovered {
    /// Takes the next record of the journal.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Deploy { generation, at, deployment } => self.generations.push((generation, at, deployment)),
            Record::Create(create) => {
                self.next = self.next.max(create.number + 1);
                let Some(program) = self.program(create.generation, create.flow) else { return };
                let deployment = self.deployment(create.generation).expect("the program came from it");
                let mut exec = Execution::new(&program, create.origin(deployment), create.at);
                marram_flow::step_into(
                    &program,
                    &mut exec,
                    marram_flow::Input::Start,
                    create.at,
                    &mut Quiet::default(),
                );
                if exec.status() == marram_flow::Status::Running {
                    self.live.insert(create.number, (exec, create.generation, create.flow));
                }
            }
            Record::Input { number, at, input } => {
                let Some((mut exec, generation, flow)) = self.live.remove(&number) else { return };
                let Some(program) = self.program(generation, flow) else { return };
                marram_flow::step_into(&program, &mut exec, input, at, &mut Quiet::default());
                if exec.status() == marram_flow::Status::Running {
                    self.live.insert(number, (exec, generation, flow));
                }
            }
            Record::Checkpoint { number, generation, flow, execution } => {
                self.live.insert(number, (*execution, generation, flow));
            }
            Record::Watch(watch) => self.watch = Some(watch),
            Record::Complete { next } => self.next = self.next.max(next),
            Record::Close => self.closed = true,
        }
    }

    fn deployment(&self, generation: u32) -> Option<&Deployment> {
        self.generations.iter().rev().find(|(number, ..)| *number == generation).map(|(.., deployment)| &**deployment)
    }

    fn program(&self, generation: u32, flow: u16) -> Option<Program> {
        let snapshot = &self.deployment(generation)?.snapshot;
        let flow = snapshot.flows.get(usize::from(flow))?;
        Some(Program::new(Arc::clone(&flow.flow), Arc::clone(&snapshot.site)))
    }

    /// The deployment document in force.
    pub fn current(&self) -> Option<&Deployment> {
        self.generations.last().map(|(.., deployment)| &**deployment)
    }
}

/// The way to a host.
#[derive(Clone)]
pub(crate) struct HostHandle {
    pub commands: mpsc::Sender<Command>,
    pub dir: PathBuf,
    pub readable: Arc<Readable>,
}

impl Host {
    /// A host of a new deployment: nothing is armed before the first turn. The caller runs [`Host::run`].
    pub async fn create(
        shared: Arc<Shared>,
        dir: PathBuf,
        deployment: Deployment,
    ) -> Result<(Self, HostHandle), DeployError> {
        deployment.check()?;
        let journal = Journal::create(&dir)?;
        let now = shared.clock.now();
        let generation = Arc::new(Generation::new(1, now, deployment, &shared.metrics));
        let (mut host, handle) = Self::new(shared, dir, journal, generation);
        if let Err(error) = host.arm(&Arc::clone(&host.current)).await {
            drop(std::fs::remove_dir_all(&host.dir));
            return Err(error);
        }
        host.rotate()?;
        Ok((host, handle))
    }

    /// A host that goes on where a journal ends.
    pub fn recover(
        shared: Arc<Shared>,
        dir: PathBuf,
        journal: Journal,
        recovered: Recovered,
    ) -> Option<(Self, HostHandle)> {
        let mut generations: Vec<Arc<Generation>> = recovered
            .generations
            .into_iter()
            .map(|(number, deployed, deployment)| {
                Arc::new(Generation::new(number, deployed, *deployment, &shared.metrics))
            })
            .collect();
        let current = generations.pop()?;
        let now = shared.clock.now();
        let (mut host, handle) = Self::new(shared, dir, journal, current);
        host.next = recovered.next;
        if let Some(watch) = recovered.watch {
            host.watch = *watch;
        }
        let grace = host.shared.options.redeploy_grace.as_millis() as u64;
        host.older = generations.into_iter().map(|generation| (generation, now.plus(grace))).collect();
        for (number, (exec, generation, flow)) in recovered.live {
            let found = std::iter::once(&host.current).chain(host.older.iter().map(|(generation, _)| generation));
            let Some(generation) = found.into_iter().find(|known| known.number == generation).cloned() else {
                continue;
            };
            generation.meters[usize::from(flow)].started();
            host.live.insert(number, Box::new(Live { exec, generation, flow, deadline: None }));
            host.touched.push(number);
        }
        host.retire_idle();
        host.rearm = Some(now);
        Some((host, handle))
    }

    fn new(shared: Arc<Shared>, dir: PathBuf, journal: Journal, current: Arc<Generation>) -> (Self, HostHandle) {
        let (sender, commands) = mpsc::channel(QUEUE);
        let readable = Arc::new(Readable::default());
        readable.set(Position { segment: journal.segment(), offset: journal.length() });
        let handle = HostHandle { commands: sender, dir: dir.clone(), readable: Arc::clone(&readable) };
        let host = Self {
            shared,
            dir,
            journal,
            readable,
            commands,
            sender: handle.commands.downgrade(),
            current,
            older: Vec::new(),
            live: HashMap::default(),
            next: 0,
            random: RandomPool::default(),
            started: 0,
            watch: Watch::default(),
            buckets: Vec::new(),
            sources: Vec::new(),
            subscriptions: Vec::new(),
            clocks: Vec::new(),
            rearm: None,
            dropped: Arc::default(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            sink: Quiet::default(),
            waiting: VecDeque::new(),
            confirmations: VecDeque::new(),
            writes: 0,
            syncing: None,
            synced: 0,
            sync_due: None,
            sync_time: Duration::ZERO,
            tasks: JoinSet::new(),
            handles: HashMap::new(),
            lanes: HashMap::new(),
            buses: HashMap::new(),
            decisions: HashMap::new(),
            decisions_version: 0,
        };
        (host, handle)
    }

    /// Drops generations nothing runs on any more.
    fn retire_idle(&mut self) {
        let live = &self.live;
        self.older.retain(|(generation, _)| live.values().any(|entry| Arc::ptr_eq(&entry.generation, generation)));
    }

    /// Begins a segment that says everything that still matters.
    fn rotate(&mut self) -> Result<(), JournalError> {
        // What is not written yet goes to the old segment, and counts as a write to those who wait for it.
        self.writes += u64::from(self.journal.is_dirty());
        let mut generations: Vec<&Arc<Generation>> = self.older.iter().map(|(generation, _)| generation).collect();
        generations.push(&self.current);
        let (live, watch) = (&self.live, &self.watch);
        self.journal.rotate(self.next, |push| {
            for generation in generations {
                push(Record::Deploy {
                    generation: generation.number,
                    at: generation.deployed,
                    deployment: Box::new(generation.deployment.clone()),
                });
            }
            push(Record::Watch(Box::new(watch.clone())));
            for (number, entry) in live {
                push(Record::Checkpoint {
                    number: *number,
                    generation: entry.generation.number,
                    flow: entry.flow,
                    execution: Box::new(entry.exec.clone()),
                });
            }
        })?;
        // The new head is synced, and with it everything it repeats.
        self.synced = self.writes;
        self.sync_due = None;
        self.readable.set(self.position());
        if self.shared.history.is_none() {
            self.remove_older_segments();
        }
        Ok(())
    }

    fn remove_older_segments(&self) {
        let current = self.journal.segment();
        for number in crate::journal::segments(&self.dir).unwrap_or_default() {
            if number < current
                && let Err(error) = crate::journal::remove_segment(&self.dir, number)
            {
                tracing::warn!(%error, "an old journal segment stays");
            }
        }
    }

    fn position(&self) -> Position {
        Position { segment: self.journal.segment(), offset: self.journal.length() }
    }

    fn status(&self) -> DeploymentStatus {
        DeploymentStatus {
            generation: self.current.number,
            triggers: self.current.deployment.snapshot.triggers.len(),
            running: self.live.len(),
            started: self.started,
            events_dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}
