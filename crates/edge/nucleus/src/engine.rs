//! The actor that owns every component's life: it feeds the state machines and does what they ask for.
//!
//! Everything that happens comes through one queue: commands of the ports, ends of processes, ticks. After each step of a
//! machine its dependents learn whether their dependencies are ready, until nothing changes any more. Scripts and kills run
//! as tasks of their own and report back through the queue.
//!
//! Not here: the rules of one component ([`crate::lifecycle`]); what a script is started with (`run`).

mod run;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{BootstrapOutcome, ComponentState as State, FilesError, PortError, ReportedState, StateChange};
use marram_supervisor::{Level, StepEnd};
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::graph::Graph;
use crate::lifecycle::{Effect, Failure, Input, Lifecycle, ScriptEnd, Step};
use crate::plan;
use crate::reaction::{Reaction, dependencies, reaction};
use crate::settings;
use crate::shared::{Shared, Shown, is_builtin, is_own};

/// Components get this long to close when the core stops; then they are killed (CR 2.8).
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Tries to thaw a paused component before it is restarted (CR 2.11).
const RESUME_TRIES: usize = 3;

type Reply<T> = oneshot::Sender<T>;

/// What the actor is asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// Bring a component down and up.
    Restart { component: SmolStr, reply: Reply<Result<Option<String>, PortError>> },
    /// Bring it down.
    Stop { component: SmolStr, reply: Reply<Result<Option<String>, PortError>> },
    /// Install and run it anew.
    Reinstall { component: SmolStr, reply: Reply<Result<(), PortError>> },
    /// Freeze or thaw it.
    Freeze { component: SmolStr, frozen: bool, reply: Reply<Result<(), PortError>> },
    /// Its own word.
    Report { component: SmolStr, state: ReportedState },
    /// Follow the configuration tree. A deployment waits for what comes up anew.
    Reconcile { deployment: bool, reply: Reply<()> },
    /// Stop, uninstall, forget.
    Remove { component: SmolStr, reply: Reply<Result<(), PortError>> },
    /// Run a bootstrap step.
    Bootstrap { component: SmolStr, service: Value, reply: Reply<BootstrapOutcome> },
    /// The files of a component were looked at, and the script of this number may start or not.
    Verified { component: SmolStr, service: Arc<Value>, step: Step, number: u64, verdict: Result<(), FilesError> },
    /// A script was started or ended.
    Script { component: SmolStr, number: u64, end: ScriptEnd },
    /// A component's processes are gone.
    Killed { component: SmolStr, number: u64 },
    /// Close everything; the actor ends.
    Close { reply: Reply<()> },
}

struct Component {
    machine: Lifecycle,
    service: Arc<Value>,
    /// The tree at the last start: its `shutdown` belongs to the processes that run (CR 10.3 (12)).
    started: Arc<Value>,
    paused: bool,
    removal: Vec<Reply<Result<(), PortError>>>,
}

pub(crate) struct Engine {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
    components: BTreeMap<SmolStr, Component>,
    graph: Graph,
    /// Steps of machines that are due before the queue is looked at again.
    due: VecDeque<(SmolStr, Input)>,
    began: Instant,
    closing: Option<(Reply<()>, Instant)>,
    /// Components that were told to stop because the core closes.
    told: BTreeSet<SmolStr>,
}

impl Engine {
    pub(crate) fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Command>) -> Self {
        Self {
            shared,
            queue,
            components: BTreeMap::new(),
            graph: Graph::default(),
            due: VecDeque::new(),
            began: Instant::now(),
            closing: None,
            told: BTreeSet::new(),
        }
    }

    /// Runs until the core closes.
    pub(crate) async fn run(mut self) {
        loop {
            self.settle().await;
            if self.closing.is_some() && self.close_more().await {
                return;
            }
            let wake = self.next_wake();
            tokio::select! {
                command = self.queue.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => return,
                },
                () = async {
                    match wake {
                        Some(at) => sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => self.tick(),
            }
        }
    }

    /// Milliseconds since the actor began: no clock that people can set decides about windows and pauses.
    fn now(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn next_wake(&self) -> Option<Instant> {
        let machines = self.components.values().filter_map(|component| component.machine.wake_at()).min();
        let machines = machines.map(|at| self.began + Duration::from_millis(u64::try_from(at).unwrap_or(0)));
        let closing = self.closing.as_ref().map(|(_, until)| *until);
        [machines, closing].into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let now = self.now();
        let late = |component: &Component| component.machine.wake_at().is_some_and(|at| at <= now);
        let late = self.components.iter().filter(|(_, component)| late(component));
        let ticks: Vec<_> = late.map(|(name, _)| (name.clone(), Input::Tick)).collect();
        self.due.extend(ticks);
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Restart { component, reply } => {
                let answer = self.restart(&component);
                let _ = reply.send(answer);
            }
            Command::Stop { component, reply } => {
                let answer = match self.components.get(&component) {
                    Some(_) => {
                        self.due.push_back((component, Input::Stop));
                        Ok(None)
                    }
                    None => Err(self.not_mine(&component)),
                };
                let _ = reply.send(answer);
            }
            Command::Reinstall { component, reply } => {
                let answer = match self.components.get(&component) {
                    Some(_) => {
                        self.due.push_back((component.clone(), Input::Reinstall));
                        self.due.push_back((component, Input::Trial));
                        Ok(())
                    }
                    None if is_builtin(&component) => Ok(()),
                    None => Err(PortError::no_component(&component)),
                };
                // The caller may look at the state right after the answer.
                self.settle().await;
                let _ = reply.send(answer);
            }
            Command::Freeze { component, frozen, reply } => {
                let answer = self.freeze(&component, frozen);
                let _ = reply.send(answer);
            }
            Command::Report { component, state } => self.due.push_back((component, Input::Reported(state))),
            Command::Reconcile { deployment, reply } => {
                self.reconcile();
                self.shared.sets.send_replace(());
                if deployment {
                    self.due.extend(self.components.keys().map(|name| (name.clone(), Input::Trial)));
                }
                self.settle().await;
                let _ = reply.send(());
            }
            Command::Remove { component, reply } if is_own(&component) => {
                let _ = reply.send(Err(self.not_mine(&component)));
            }
            Command::Remove { component, reply } => match self.components.get_mut(&component) {
                Some(found) => {
                    found.removal.push(reply);
                    self.due.push_back((component, Input::Uninstall));
                }
                None => {
                    let answer = self.shared.forget(&component).await;
                    let _ = reply.send(answer);
                }
            },
            Command::Bootstrap { component, service, reply } => self.bootstrap(component, service, reply),
            Command::Verified { component, service, step, number, verdict } => {
                self.verified(&component, &service, step, number, verdict);
            }
            Command::Script { component, number, end } => {
                self.due.push_back((component, Input::Script { number, end }));
            }
            Command::Killed { component, number } => self.due.push_back((component, Input::Killed { number })),
            Command::Close { reply } => {
                self.closing = Some((reply, Instant::now() + CLOSE_PATIENCE));
            }
        }
    }

    fn not_mine(&self, component: &str) -> PortError {
        if is_builtin(component) || self.shared.store.read(&["services", component]).is_some() {
            PortError::InvalidArguments(format!("{component} is a part of the runtime"))
        } else {
            PortError::no_component(component)
        }
    }

    fn restart(&mut self, component: &SmolStr) -> Result<Option<String>, PortError> {
        let Some(found) = self.components.get(component) else { return Err(self.not_mine(component)) };
        if self.closing.is_some() {
            return Ok(Some("the core is shutting down".to_owned()));
        }
        if !found.machine.can_restart() {
            return Ok(Some(format!("component {component} is not installed or is being removed")));
        }
        self.due.push_back((component.clone(), Input::OperatorRestart));
        Ok(None)
    }

    fn freeze(&mut self, component: &SmolStr, frozen: bool) -> Result<(), PortError> {
        let not_mine = self.not_mine(component);
        let found = self.components.get_mut(component).ok_or(not_mine)?;
        if found.machine.state() != State::Running {
            return Err(PortError::InvalidArguments(format!("component {component} is not running")));
        }
        let tries = if frozen { 1 } else { RESUME_TRIES };
        let done = (0..tries).any(|_| self.shared.supervisor.set_frozen(component, frozen).is_ok());
        if done {
            found.paused = frozen;
            return Ok(());
        }
        if !frozen {
            self.due.push_back((component.clone(), Input::OperatorRestart));
        }
        Err(PortError::service(format!(
            "component {component} cannot be {}",
            if frozen { "paused" } else { "resumed" }
        )))
    }

    /// Makes the set of components equal to that of the tree, and asks of each what its change needs (CR 2.7).
    fn reconcile(&mut self) {
        let wanted = self.shared.components();
        self.shared.supervisor.logs().configure(settings::logging(&self.shared.store.tree(), &self.shared.root));
        for name in self.components.keys() {
            if !wanted.contains_key(name) {
                // Gone from the tree without a removal: a rollback took it back.
                self.due.push_back((name.clone(), Input::Uninstall));
            }
        }
        for (name, service) in &wanted {
            self.graph.set(name, dependencies(service));
        }
        for (name, service) in wanted {
            self.adopt(name, Arc::new(service));
        }
    }

    fn adopt(&mut self, name: SmolStr, service: Arc<Value>) {
        let policy = plan::restart_policy(&service);
        let startup = plan::step(&service, Step::Startup).ok().flatten().and_then(|step| step.timeout);
        let startup_ms = startup.map_or(120_000, |limit| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
        let ready = self.dependencies_ready(&name);
        match self.components.get_mut(&name) {
            Some(component) => {
                let reaction = reaction(&component.service, &service);
                component.service = service;
                component.machine.configure(policy, startup_ms);
                let broken = component.machine.state() == State::Broken;
                match reaction {
                    Reaction::Nothing => {}
                    Reaction::Limits => {
                        let limits = settings::limits(&self.shared.store.tree(), &component.service);
                        if let Err(error) = self.shared.supervisor.set_limits(&name, limits) {
                            tracing::warn!(component = %name, %error, "cannot apply resource limits");
                        }
                    }
                    Reaction::Restart if !broken => self.due.push_back((name, Input::Restart)),
                    Reaction::Restart | Reaction::Reinstall => self.due.push_back((name, Input::Reinstall)),
                }
            }
            None => {
                let mut machine = Lifecycle::new(policy, ready);
                machine.configure(policy, startup_ms);
                let started = Arc::clone(&service);
                let component = Component { machine, service, started, paused: false, removal: Vec::new() };
                self.shared.show(&name, Shown::of(&component.machine, self.began));
                self.components.insert(name.clone(), component);
                self.due.push_back((name, Input::Start));
            }
        }
    }

    /// Steps machines until none is due.
    async fn settle(&mut self) {
        while let Some((name, input)) = self.due.pop_front() {
            let now = self.now();
            let Some(component) = self.components.get_mut(&name) else { continue };
            let before = component.machine.is_ready();
            let effects = component.machine.step(input, now);
            let ready = component.machine.is_ready();
            self.shared.show(&name, Shown::of(&component.machine, self.began));
            let mut uninstalled = false;
            for effect in effects {
                uninstalled |= matches!(effect, Effect::Changed { to: State::Uninstalled, .. });
                self.effect(&name, effect);
            }
            if uninstalled {
                self.uninstalled(&name).await;
            }
            if before != ready || uninstalled {
                let dependents: Vec<SmolStr> = self.graph.dependents(&name).cloned().collect();
                for dependent in dependents {
                    let ready = self.dependencies_ready(&dependent);
                    self.due.push_back((dependent, Input::Dependencies { ready }));
                }
            }
        }
    }

    fn dependencies_ready(&self, name: &str) -> bool {
        self.graph.dependencies(name).all(|dependency| match self.components.get(dependency) {
            Some(component) => component.machine.is_ready(),
            None => self.shared.has_part(dependency),
        })
    }

    fn effect(&mut self, name: &SmolStr, effect: Effect) {
        match effect {
            Effect::Changed { from, to, failure } => self.changed(name, from, to, failure),
            Effect::Run { step, number } => self.run_step(name, step, number),
            Effect::Kill { number } => {
                if let Some(component) = self.components.get_mut(name) {
                    component.paused = false;
                }
                let (shared, component) = (Arc::clone(&self.shared), name.clone());
                tokio::spawn(async move {
                    if !shared.supervisor.stop(&component).await {
                        tracing::error!(%component, "processes that cannot be killed remain");
                    }
                    shared.tokens.revoke(&component);
                    shared.send(Command::Killed { component, number }).await;
                });
            }
            Effect::ReportDropped => {
                let text = "the component reported a state that does not fit its present one";
                self.shared.supervisor.logs().of(name).note(Level::Warn, "invalid-state-report", text);
            }
            Effect::RecoverFailed(failure) => {
                self.shared.supervisor.logs().of(name).note(Level::Warn, "recover-failed", &failure.reason);
            }
        }
    }

    fn changed(&self, name: &SmolStr, from: State, to: State, failure: Option<Failure>) {
        let log = self.shared.supervisor.logs().of(name);
        log.set_state(to.as_str());
        match &failure {
            Some(failure) => log.note(Level::Error, failure.code.as_str(), &failure.reason),
            None => log.note(Level::Info, "state-changed", &format!("{} to {}", from.as_str(), to.as_str())),
        }
        tracing::info!(component = %name, from = from.as_str(), to = to.as_str(), "state changed");
        let reached = self.components.get(name).is_some_and(|component| component.machine.is_reached());
        self.shared.announce(StateChange {
            component: name.clone(),
            from,
            to,
            codes: failure.iter().map(|failure| failure.code.as_str()).collect(),
            reason: failure.map(|failure| failure.reason),
            desired_reached: reached,
            at: crate::shared::wall_ms(),
        });
    }

    async fn uninstalled(&mut self, name: &SmolStr) {
        let Some(component) = self.components.remove(name) else { return };
        self.graph.remove(name);
        self.shared.supervisor.forget(name);
        let forgotten = self.shared.forget(name).await;
        for reply in component.removal {
            let _ = reply.send(forgotten.clone());
        }
    }

    fn bootstrap(&mut self, component: SmolStr, service: Value, reply: Reply<BootstrapOutcome>) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let launched = match run::verify(&shared, &component, &service).await {
                Ok(()) => run::launch(&shared, &component, &service, Step::Bootstrap),
                Err(error) => Err(run::refusal(Step::Bootstrap, &error)),
            };
            let process = match launched {
                Ok(Some(process)) => process,
                Ok(None) => {
                    let _ = reply.send(BootstrapOutcome::Done);
                    return;
                }
                Err(failure) => {
                    shared.supervisor.logs().of(&component).note(Level::Error, failure.code.as_str(), &failure.reason);
                    let _ = reply.send(BootstrapOutcome::Failed(-1));
                    return;
                }
            };
            let outcome = match process.wait().await {
                StepEnd::Exited(0) => BootstrapOutcome::Done,
                StepEnd::Exited(100) => BootstrapOutcome::RestartRuntime,
                StepEnd::Exited(101) => BootstrapOutcome::RebootDevice,
                StepEnd::Exited(code) => BootstrapOutcome::Failed(code),
                StepEnd::Signaled(signal) => BootstrapOutcome::Failed(128 + signal),
                StepEnd::OutOfMemory => BootstrapOutcome::Failed(137),
                StepEnd::TimedOut => BootstrapOutcome::TimedOut,
            };
            let _ = reply.send(outcome);
        });
    }

    /// Stops what no running dependent needs; true when all is closed.
    async fn close_more(&mut self) -> bool {
        let late = self.closing.as_ref().is_some_and(|(_, until)| Instant::now() >= *until);
        let is_down = |component: &Component| component.machine.is_reached() && component.machine.is_closable();
        loop {
            let closable = |dependent: &SmolStr| self.components.get(dependent).is_none_or(|c| c.machine.is_closable());
            let next: Vec<SmolStr> = self
                .components
                .iter()
                .filter(|(name, _)| !self.told.contains(*name) && self.graph.dependents(name).all(closable))
                .map(|(name, _)| name.clone())
                .collect();
            if next.is_empty() {
                break;
            }
            self.told.extend(next.iter().cloned());
            self.due.extend(next.into_iter().map(|name| (name, Input::Stop)));
            self.settle().await;
        }
        if !late && !self.components.values().all(|component| is_down(component) || component.machine.is_given_up()) {
            return false;
        }
        if late {
            tracing::warn!("components that did not close within 30 s are killed");
        }
        // Whatever a component may have left behind: nothing survives an orderly stop.
        let mut kills = tokio::task::JoinSet::new();
        for name in self.components.keys() {
            let (name, shared) = (name.clone(), Arc::clone(&self.shared));
            kills.spawn(async move { shared.supervisor.stop(&name).await });
        }
        kills.join_all().await;
        if let Some((reply, _)) = self.closing.take() {
            let _ = reply.send(());
        }
        true
    }
}
