//! One component's life as a pure state machine (CR 2.1-2.7). Time comes in, effects come out.
//!
//! | state | does | goes to |
//! | --- | --- | --- |
//! | NEW | `install`, when something is desired and the back-off is over | INSTALLED; ERRORED `INSTALL_*`; FINISHED when only that is desired |
//! | INSTALLED | waits for HARD dependencies and the back-off | STARTING; NEW or FINISHED when desired |
//! | STARTING | `startup`, or `run` when there is none or it was skipped | RUNNING; ERRORED `STARTUP_*`; STOPPING when there is neither |
//! | RUNNING | waits | STOPPING when something else is desired or `run` ended with 0; ERRORED `RUN_*` |
//! | STOPPING | `shutdown`, then the end of all processes | what is desired, else FINISHED; ERRORED `SHUTDOWN_*` first when that failed |
//! | ERRORED | counts, `recover` | NEW from NEW; STOPPING and a retry from STARTING, RUNNING; onwards from STOPPING; BROKEN after too many, or when files were changed |
//! | BROKEN | `shutdown` once, the end of all processes | only reinstall, uninstall, or an operator's restart leads out (deviates on purpose: CR 2.5) |
//! | FINISHED | waits | NEW, INSTALLED when desired; UNINSTALLING |
//! | UNINSTALLING | `uninstall` | UNINSTALLED, the end |
//!
//! INVARIANT: every script and kill that is under way has the number in `activity`; answers with another number are of
//! something abandoned and change nothing. INVARIANT: after `advance` the machine is idle only where no rule of the table
//! applies (the property test holds it to that).
//!
//! Not here: processes (`marram-supervisor`), which component waits for which ([`crate::graph`]).

mod codes;
mod errors;

use std::collections::VecDeque;
use std::time::Duration;

use marram_edge_ports::{ComponentState as State, ReportedState};

pub use codes::{Failure, StatusCode};
pub use errors::{Backoff, RestartPolicy, SETTLING_MS};

use errors::ErrorLog;

/// A lifecycle script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Before the first start.
    Install,
    /// Must end with 0 to become RUNNING.
    Startup,
    /// Runs as long as the component.
    Run,
    /// While stopping.
    Shutdown,
    /// After an error.
    Recover,
    /// After removal.
    Uninstall,
    /// During a deployment, before activation.
    Bootstrap,
}

impl Step {
    /// The key in a recipe.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Startup => "startup",
            Self::Run => "run",
            Self::Shutdown => "shutdown",
            Self::Recover => "recover",
            Self::Uninstall => "uninstall",
            Self::Bootstrap => "bootstrap",
        }
    }

    /// Seconds a script may take unless the recipe says otherwise (CR 1.7); none is unlimited.
    pub fn default_timeout_secs(self) -> Option<u64> {
        match self {
            Self::Run => None,
            Self::Shutdown => Some(15),
            Self::Recover => Some(60),
            Self::Install | Self::Startup | Self::Uninstall | Self::Bootstrap => Some(120),
        }
    }
}

/// How a script went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptEnd {
    /// The component has none, or its `Skipif` holds.
    Absent,
    /// `run` only: the process is there.
    Spawned,
    /// Exit code 0.
    Done,
    /// Anything else.
    Failed(Failure),
}

/// What happens to a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Should run.
    Start,
    /// Down and up again.
    Restart,
    /// An operator's restart: also leaves BROKEN, and does not wait for the back-off.
    OperatorRestart,
    /// Install and run anew.
    Reinstall,
    /// Down until told otherwise.
    Stop,
    /// Down and away.
    Uninstall,
    /// Its HARD dependencies became ready, or stopped being so.
    Dependencies {
        /// All of them are ready.
        ready: bool,
    },
    /// A script of this number was started or ended.
    Script {
        /// From [`Effect::Run`].
        number: u64,
        /// How.
        end: ScriptEnd,
    },
    /// All processes are gone, or could not be ended.
    Killed {
        /// From [`Effect::Kill`].
        number: u64,
    },
    /// Its own word.
    Reported(ReportedState),
    /// A deployment waits for it to come up.
    Trial,
    /// The moment of [`Lifecycle::wake_at`] has come.
    Tick,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run a script and report its end with `number`.
    Run {
        /// Which.
        step: Step,
        /// Comes back in [`Input::Script`].
        number: u64,
    },
    /// End every process of the component, thawed if paused, and report with `number`.
    Kill {
        /// Comes back in [`Input::Killed`].
        number: u64,
    },
    /// The state changed.
    Changed {
        /// Before.
        from: State,
        /// After.
        to: State,
        /// Why, for error states.
        failure: Option<Failure>,
    },
    /// A report did not fit the state and was dropped (CR 2.4).
    ReportDropped,
    /// `recover` failed, which is only logged.
    RecoverFailed(Failure),
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Idle,
    Script(Step, u64),
    Killing(u64),
}

/// One component.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    state: State,
    desired: VecDeque<State>,
    activity: Activity,
    /// `startup` or `run` whose end still means something.
    process: Option<(Step, u64)>,
    next_number: u64,
    dependencies_ready: bool,
    startup_timeout_ms: i64,
    startup_deadline: Option<i64>,
    not_before: i64,
    running_since: i64,
    /// A deployment waits for it to settle.
    on_trial: bool,
    policy: RestartPolicy,
    errors: ErrorLog,
    /// Where the present ERRORED or BROKEN came from.
    error_from: State,
    failure: Option<Failure>,
    /// STOPPING because of an error: dependents may not take it for an orderly end.
    stopping_after_error: bool,
    /// Stages of STOPPING, BROKEN, ERRORED that are done.
    script_done: bool,
    killed: bool,
    broken_until: Option<i64>,
}

impl Lifecycle {
    /// In NEW, with nothing desired.
    pub fn new(policy: RestartPolicy, dependencies_ready: bool) -> Self {
        Self {
            state: State::New,
            desired: VecDeque::new(),
            activity: Activity::Idle,
            process: None,
            next_number: 1,
            dependencies_ready,
            startup_timeout_ms: 120_000,
            startup_deadline: None,
            not_before: 0,
            running_since: 0,
            on_trial: false,
            policy,
            errors: ErrorLog::default(),
            error_from: State::New,
            failure: None,
            stopping_after_error: false,
            script_done: false,
            killed: false,
            broken_until: None,
        }
    }

    /// Takes other settings; they count from the next error and start on.
    pub fn configure(&mut self, policy: RestartPolicy, startup_timeout_ms: i64) {
        self.policy = policy;
        self.startup_timeout_ms = startup_timeout_ms;
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.state
    }

    /// The failure that led to the present state, if one did.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether what is desired is reached.
    pub fn is_reached(&self) -> bool {
        self.desired.is_empty() && !matches!(self.state, State::Errored | State::Broken | State::Stopping)
    }

    /// When it counts as come up although its process, which may die at once, is all that tells (CR 4.9); none while it does not run,
    /// and where nothing runs that could die: `startup` has ended well.
    pub fn settles_at(&self) -> Option<i64> {
        let runs = self.state == State::Running && self.process.is_some();
        runs.then(|| self.running_since.saturating_add(SETTLING_MS))
    }

    fn is_settled(&self, now: i64) -> bool {
        let up = matches!(self.state, State::Running | State::Finished);
        up && self.settles_at().is_none_or(|at| at <= now)
    }

    /// Whether dependents may run (CR 2.6).
    pub fn is_ready(&self) -> bool {
        match self.state {
            State::Running | State::Finished => true,
            State::Stopping => !self.stopping_after_error,
            _ => false,
        }
    }

    /// Whether a dependency of this one may be closed (CR 2.6).
    pub fn is_closable(&self) -> bool {
        matches!(self.state, State::Errored | State::Broken | State::Finished | State::New | State::Uninstalled)
    }

    /// Whether nothing more happens to it by itself: BROKEN, with its processes ended.
    pub fn is_given_up(&self) -> bool {
        self.state == State::Broken && self.activity == Activity::Idle
    }

    /// When the next [`Input::Tick`] is due.
    pub fn wake_at(&self) -> Option<i64> {
        let backoff = match (self.state, self.activity) {
            (State::New | State::Installed, Activity::Idle) if !self.desired.is_empty() => {
                Some(self.not_before).filter(|at| *at > 0)
            }
            (State::Broken, Activity::Idle) => self.broken_until,
            _ => None,
        };
        [backoff, self.startup_deadline].into_iter().flatten().min()
    }

    /// Whether `restart` would do something (CR 2.2): not when NEW with nothing pending, nor when it is being removed.
    pub fn can_restart(&self) -> bool {
        let removed = self.desired.contains(&State::Uninstalled)
            || matches!(self.state, State::Uninstalling | State::Uninstalled);
        let idle = self.state == State::New && self.desired.is_empty();
        !removed && !idle
    }

    /// The script of this number waits for something that is not its own time: the limit of STARTING does not run meanwhile.
    pub fn hold(&mut self, number: u64) {
        if self.is_starting(number) {
            self.startup_deadline = None;
        }
    }

    /// Whether the script of this number is still wanted, and begins now.
    pub fn begin_held(&mut self, number: u64, now: i64) -> bool {
        if self.is_starting(number) {
            self.startup_deadline = Some(now.saturating_add(self.startup_timeout_ms));
            return true;
        }
        matches!(self.activity, Activity::Script(_, running) if running == number)
    }

    fn is_starting(&self, number: u64) -> bool {
        self.state == State::Starting && self.process.is_some_and(|(_, process)| process == number)
    }

    /// The machine's one door.
    pub fn step(&mut self, input: Input, now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.not_before <= now {
            self.not_before = 0;
        }
        if self.is_settled(now) {
            self.on_trial = false;
        }
        match input {
            Input::Start => self.command(&[State::Running], &mut effects),
            Input::Restart => self.command(&[State::Installed, State::Running], &mut effects),
            Input::OperatorRestart => self.operator_restart(&mut effects),
            Input::Reinstall => self.reinstall(&mut effects),
            Input::Stop => self.command(&[State::Finished], &mut effects),
            Input::Uninstall => self.uninstall(&mut effects),
            Input::Dependencies { ready } => self.dependencies(ready),
            Input::Script { number, end } => self.script(number, end, now, &mut effects),
            Input::Killed { number } => {
                if self.activity == Activity::Killing(number) {
                    self.activity = Activity::Idle;
                    self.killed = true;
                    self.process = None;
                }
            }
            Input::Reported(report) => self.reported(report, now, &mut effects),
            Input::Trial => self.on_trial = !self.is_settled(now),
            Input::Tick => self.tick(now, &mut effects),
        }
        self.advance(now, &mut effects);
        effects
    }

    fn command(&mut self, desired: &[State], effects: &mut Vec<Effect>) {
        if self.desired.contains(&State::Uninstalled)
            || matches!(self.state, State::Uninstalling | State::Uninstalled | State::Broken)
        {
            return;
        }
        self.desired = desired.iter().copied().collect();
        self.abandon_install(effects);
    }

    /// A running `install` is cut short when its component is not wanted any more.
    fn abandon_install(&mut self, effects: &mut Vec<Effect>) {
        let installing = self.state == State::New && matches!(self.activity, Activity::Script(Step::Install, _));
        if installing && self.desired.front() == Some(&State::Finished) {
            self.kill(effects);
        }
    }

    fn operator_restart(&mut self, effects: &mut Vec<Effect>) {
        if self.state == State::Broken {
            self.leave_broken(effects);
        } else {
            self.command(&[State::Installed, State::Running], effects);
        }
        self.not_before = 0;
    }

    fn leave_broken(&mut self, effects: &mut Vec<Effect>) {
        self.errors.clear_all();
        self.broken_until = None;
        let to = if self.error_from == State::New { State::New } else { State::Installed };
        self.desired = [State::Running].into();
        // The processes of the broken run end first; `advance` goes on from here.
        self.error_from = to;
        if self.activity == Activity::Idle {
            self.enter(to, None, effects);
        }
    }

    fn reinstall(&mut self, effects: &mut Vec<Effect>) {
        if self.desired.contains(&State::Uninstalled) || matches!(self.state, State::Uninstalling | State::Uninstalled)
        {
            return;
        }
        self.errors.clear_all();
        self.not_before = 0;
        self.broken_until = None;
        self.desired = [State::New, State::Running].into();
        if self.state == State::New && matches!(self.activity, Activity::Script(Step::Install, _)) {
            // The running `install` is of the old recipe.
            self.kill(effects);
        }
    }

    fn uninstall(&mut self, effects: &mut Vec<Effect>) {
        self.broken_until = None;
        match self.state {
            State::Uninstalling | State::Uninstalled => {}
            State::Broken => self.desired = [State::Uninstalled].into(),
            _ => self.desired = [State::Finished, State::Uninstalled].into(),
        }
        self.abandon_install(effects);
    }

    fn dependencies(&mut self, ready: bool) {
        let lost = self.dependencies_ready && !ready;
        self.dependencies_ready = ready;
        let running = matches!(self.state, State::Starting | State::Running);
        let wanted = self.desired.front().is_none_or(|front| *front == State::Running);
        if lost && running && wanted {
            self.desired = [State::Installed, State::Running].into();
        }
    }

    fn script(&mut self, number: u64, end: ScriptEnd, now: i64, effects: &mut Vec<Effect>) {
        if self.process.is_some_and(|(_, process)| process == number) {
            return self.process_event(end, now, effects);
        }
        let Activity::Script(step, running) = self.activity else { return };
        if running != number {
            return;
        }
        self.activity = Activity::Idle;
        match (step, end) {
            (Step::Install, ScriptEnd::Failed(failure)) => self.fail(failure, now, effects),
            (Step::Install, _) => {
                self.errors.clear(State::New);
                self.enter(State::Installed, None, effects);
            }
            (Step::Recover, ScriptEnd::Failed(failure)) => {
                effects.push(Effect::RecoverFailed(failure));
                self.script_done = true;
            }
            (Step::Shutdown, ScriptEnd::Failed(failure)) => {
                self.failure.get_or_insert(failure);
                self.script_done = true;
            }
            (Step::Uninstall, end) => {
                if let ScriptEnd::Failed(failure) = end {
                    self.failure = Some(failure);
                }
                self.script_done = true;
            }
            _ => self.script_done = true,
        }
    }

    /// News of `startup` or `run`.
    fn process_event(&mut self, end: ScriptEnd, now: i64, effects: &mut Vec<Effect>) {
        let Some((step, _)) = self.process else { return };
        let ended = end != ScriptEnd::Spawned;
        if ended {
            self.process = None;
        }
        if !matches!(self.state, State::Starting | State::Running) {
            return;
        }
        match (step, end) {
            (Step::Startup, ScriptEnd::Absent) => {
                let number = self.number();
                self.process = Some((Step::Run, number));
                effects.push(Effect::Run { step: Step::Run, number });
            }
            (Step::Startup, ScriptEnd::Done) if self.state == State::Starting => self.run(now, effects),
            (Step::Run, ScriptEnd::Spawned) if self.state == State::Starting => self.run(now, effects),
            (Step::Run, ScriptEnd::Absent | ScriptEnd::Done) => {
                self.errors.clear(self.state);
                if self.desired.front() == Some(&State::Running) {
                    self.desired.pop_front();
                }
                self.enter(State::Stopping, None, effects);
            }
            (_, ScriptEnd::Failed(failure)) => self.fail(failure, now, effects),
            _ => {}
        }
    }

    fn run(&mut self, now: i64, effects: &mut Vec<Effect>) {
        self.errors.clear(State::Starting);
        self.running_since = now;
        self.enter(State::Running, None, effects);
    }

    fn reported(&mut self, report: ReportedState, now: i64, effects: &mut Vec<Effect>) {
        match (self.state, report) {
            (State::Starting, ReportedState::Running) => self.run(now, effects),
            (State::New | State::Starting | State::Running | State::Stopping, ReportedState::Errored) => {
                let code = match self.state {
                    State::New => StatusCode::InstallError,
                    State::Starting => StatusCode::StartupError,
                    State::Running => StatusCode::RunError,
                    _ => StatusCode::ShutdownError,
                };
                let failure = Failure::reported(code);
                if self.state == State::Stopping {
                    self.failure.get_or_insert(failure);
                } else {
                    self.fail(failure, now, effects);
                }
            }
            _ => effects.push(Effect::ReportDropped),
        }
    }

    fn tick(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if self.startup_deadline.is_some_and(|at| at <= now) {
            self.startup_deadline = None;
            if self.state == State::Starting {
                let limit = Duration::from_millis(self.startup_timeout_ms.unsigned_abs());
                self.fail(Failure::timeout(Step::Startup, limit), now, effects);
            }
        }
        if self.state == State::Broken
            && self.activity == Activity::Idle
            && self.broken_until.is_some_and(|at| at <= now)
        {
            self.leave_broken(effects);
        }
    }

    /// An error in NEW, STARTING or RUNNING (CR 2.5).
    fn fail(&mut self, failure: Failure, now: i64, effects: &mut Vec<Effect>) {
        let from = self.state;
        // An `install` that reported an error of itself may still run.
        self.activity = Activity::Idle;
        let count = self.errors.add(from, now, self.policy.window_ms);
        let broken = failure.is_final || count >= self.policy.max_errors.max(1) as usize;
        self.not_before = self.policy.backoff.retry_at(now, count, self.on_trial);
        self.error_from = from;
        if self.desired.is_empty() {
            self.desired = [State::Running].into();
        }
        self.enter(State::Errored, Some(failure.clone()), effects);
        if broken && !self.desired.contains(&State::Uninstalled) {
            self.desired.clear();
            self.on_trial = false;
            self.broken_until = self.policy.broken_retry_ms.map(|pause| now + pause);
            self.enter(State::Broken, Some(failure), effects);
        }
    }

    /// Follows the table until something has to be waited for.
    fn advance(&mut self, now: i64, effects: &mut Vec<Effect>) {
        while self.activity == Activity::Idle && self.advance_once(now, effects) {}
    }

    /// One transition or one activity begun; false when there is nothing to do.
    fn advance_once(&mut self, now: i64, effects: &mut Vec<Effect>) -> bool {
        if self.desired.front() == Some(&self.state) && self.state != State::Stopping {
            self.desired.pop_front();
            return true;
        }
        let front = self.desired.front().copied();
        match (self.state, front) {
            (State::New, None) | (State::Installed, None) | (State::Finished, None) => false,
            (State::New, Some(State::Finished)) => self.enter(State::Finished, None, effects),
            (State::New, Some(_)) if now < self.not_before => false,
            (State::New, Some(_)) => self.begin(Step::Install, effects),
            (State::Installed, Some(State::New | State::Finished)) => {
                self.enter(front.unwrap_or(State::Finished), None, effects)
            }
            (State::Installed, Some(_)) if !self.dependencies_ready || now < self.not_before => false,
            (State::Installed, Some(_)) => self.start(now, effects),
            (State::Starting, Some(State::Running)) | (State::Starting | State::Running, None) => false,
            (State::Starting | State::Running, Some(_)) => {
                self.errors.clear(self.state);
                self.enter(State::Stopping, None, effects)
            }
            (State::Stopping, _) => self.advance_stopping(effects),
            (State::Errored, _) if !self.script_done => self.begin(Step::Recover, effects),
            (State::Errored, _) => self.leave_errored(effects),
            (State::Broken, _) if !self.script_done => self.begin(Step::Shutdown, effects),
            (State::Broken, _) if !self.killed => self.kill(effects),
            // An operator asked for a restart while the processes were being ended.
            (State::Broken, Some(State::New | State::Running)) => {
                let to = if front == Some(State::New) { State::New } else { self.error_from };
                self.enter(to, None, effects)
            }
            (State::Broken, Some(State::Uninstalled)) => self.enter(State::Uninstalling, None, effects),
            (State::Broken, _) => false,
            (State::Finished, Some(State::Uninstalled)) => self.enter(State::Uninstalling, None, effects),
            (State::Finished, Some(State::New)) => self.enter(State::New, None, effects),
            (State::Finished, Some(_)) => self.enter(State::Installed, None, effects),
            (State::Uninstalling, _) if !self.script_done => self.begin(Step::Uninstall, effects),
            (State::Uninstalling, _) if !self.killed => self.kill(effects),
            (State::Uninstalling, _) => {
                let failure = self.failure.take();
                self.enter(State::Uninstalled, failure, effects)
            }
            (State::Uninstalled, _) => false,
        }
    }

    fn start(&mut self, now: i64, effects: &mut Vec<Effect>) -> bool {
        self.enter(State::Starting, None, effects);
        self.startup_deadline = Some(now.saturating_add(self.startup_timeout_ms));
        let number = self.number();
        self.process = Some((Step::Startup, number));
        effects.push(Effect::Run { step: Step::Startup, number });
        false
    }

    fn advance_stopping(&mut self, effects: &mut Vec<Effect>) -> bool {
        if !self.script_done {
            return self.begin(Step::Shutdown, effects);
        }
        if !self.killed {
            return self.kill(effects);
        }
        if let Some(failure) = self.failure.take_if(|_| !self.stopping_after_error) {
            self.error_from = State::Stopping;
            return self.enter(State::Errored, Some(failure), effects);
        }
        self.settle(effects)
    }

    fn leave_errored(&mut self, effects: &mut Vec<Effect>) -> bool {
        match self.error_from {
            // What a failed `install` left running must not meet the next one.
            State::New if !self.killed => self.kill(effects),
            State::New => self.enter(State::New, None, effects),
            State::Stopping => self.settle(effects),
            _ => {
                self.enter(State::Stopping, None, effects);
                self.stopping_after_error = true;
                true
            }
        }
    }

    /// From STOPPING to what is desired, else FINISHED.
    fn settle(&mut self, effects: &mut Vec<Effect>) -> bool {
        let to = match self.desired.front() {
            Some(State::New) => State::New,
            Some(State::Running | State::Installed) => State::Installed,
            _ => State::Finished,
        };
        self.enter(to, None, effects)
    }

    fn begin(&mut self, step: Step, effects: &mut Vec<Effect>) -> bool {
        let number = self.number();
        self.activity = Activity::Script(step, number);
        effects.push(Effect::Run { step, number });
        true
    }

    fn kill(&mut self, effects: &mut Vec<Effect>) -> bool {
        let number = self.number();
        self.activity = Activity::Killing(number);
        self.process = None;
        effects.push(Effect::Kill { number });
        true
    }

    fn enter(&mut self, to: State, failure: Option<Failure>, effects: &mut Vec<Effect>) -> bool {
        let from = std::mem::replace(&mut self.state, to);
        self.stopping_after_error = false;
        self.script_done = false;
        self.killed = false;
        self.startup_deadline = None;
        self.failure.clone_from(&failure);
        if to == State::Finished {
            self.not_before = 0;
        }
        effects.push(Effect::Changed { from, to, failure });
        true
    }

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

#[cfg(test)]
mod tests;
