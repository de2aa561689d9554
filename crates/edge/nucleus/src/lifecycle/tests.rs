//! The tables of CR 2.2-2.5 as tests, and the promise that nothing gets stuck.

use marram_edge_ports::ComponentState::{
    Broken, Errored, Finished, Installed, New, Running, Starting, Stopping, Uninstalled, Uninstalling,
};
use proptest::prelude::*;

use super::*;

/// A component whose scripts end as told; everything is answered at once unless a test says otherwise.
struct Component {
    machine: Lifecycle,
    now: i64,
    steps: Vec<Step>,
    states: Vec<State>,
    waiting: Vec<Effect>,
}

fn ok(step: Step) -> ScriptEnd {
    if step == Step::Run { ScriptEnd::Spawned } else { ScriptEnd::Done }
}

fn failed(step: Step) -> ScriptEnd {
    ScriptEnd::Failed(Failure::exit(step, 1))
}

impl Component {
    fn new() -> Self {
        Self {
            machine: Lifecycle::new(RestartPolicy::default(), true),
            now: 1_000_000,
            steps: Vec::new(),
            states: vec![New],
            waiting: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) {
        for effect in self.machine.step(input, self.now) {
            match effect {
                Effect::Changed { to, .. } => self.states.push(to),
                Effect::Run { step, .. } => {
                    self.steps.push(step);
                    self.waiting.push(effect);
                }
                Effect::Kill { .. } => self.waiting.push(effect),
                Effect::ReportDropped | Effect::RecoverFailed(_) => {}
            }
        }
    }

    /// Answers what waits, with `end` for each script, until nothing waits or `most` were answered.
    fn answer(&mut self, most: usize, end: impl Fn(Step) -> ScriptEnd) {
        for _ in 0..most {
            if self.waiting.is_empty() {
                return;
            }
            self.answer_one(&end);
        }
        assert!(self.waiting.is_empty(), "it goes on for ever: {:?}", self.states);
    }

    fn answer_one(&mut self, end: impl Fn(Step) -> ScriptEnd) {
        match self.waiting.remove(0) {
            Effect::Run { step, number } => self.input(Input::Script { number, end: end(step) }),
            Effect::Kill { number } => self.input(Input::Killed { number }),
            _ => {}
        }
    }

    fn started(ends: impl Fn(Step) -> ScriptEnd) -> Self {
        let mut component = Self::new();
        component.input(Input::Start);
        component.answer(50, ends);
        component
    }

    fn wait_for_backoff(&mut self) {
        if let Some(at) = self.machine.wake_at() {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
    }

    /// Ends the present `run` process.
    fn process_ends(&mut self, end: ScriptEnd) {
        let number = self.machine.process.expect("a process runs").1;
        self.input(Input::Script { number, end });
    }
}

fn no_startup(step: Step) -> ScriptEnd {
    if step == Step::Startup { ScriptEnd::Absent } else { ok(step) }
}

/// CR 2.3: the states a component goes through, by what its scripts do.
#[test]
fn components_follow_the_state_table() {
    let only = |has: &'static [Step]| move |step: Step| if has.contains(&step) { ok(step) } else { ScriptEnd::Absent };
    for (has, states, steps) in [
        (&[Step::Install, Step::Run][..], &[New, Installed, Starting, Running][..], 3),
        (&[Step::Startup], &[New, Installed, Starting, Running], 2),
        (&[], &[New, Installed, Starting, Stopping, Finished], 4),
    ] {
        let component = Component::started(only(has));
        assert_eq!(component.states, states, "{has:?}");
        assert_eq!(component.steps.len(), steps, "{has:?}: {:?}", component.steps);
        assert!(component.machine.is_reached());
    }
}

/// CR 2.2, 2.3: what each command does to a running component.
#[test]
fn commands_lead_where_they_should() {
    for (command, states) in [
        (Input::Restart, &[Stopping, Installed, Starting, Running][..]),
        (Input::Reinstall, &[Stopping, New, Installed, Starting, Running]),
        (Input::Stop, &[Stopping, Finished]),
        (Input::Uninstall, &[Stopping, Finished, Uninstalling, Uninstalled]),
        (Input::Start, &[]),
        (Input::Dependencies { ready: false }, &[Stopping, Installed]),
        (Input::Reported(ReportedState::Errored), &[Errored, Stopping, Installed, Starting, Running]),
        (Input::Reported(ReportedState::Running), &[]),
    ] {
        let mut component = Component::started(no_startup);
        component.states.clear();
        component.input(command.clone());
        component.answer(50, no_startup);
        assert_eq!(component.states, states, "{command:?}");
    }
}

/// CR 2.3, 2.4: shutdown comes before the kill, and `run` that ends with 0 finishes the component.
#[test]
fn the_end_of_run_finishes_the_component() {
    let mut component = Component::started(no_startup);
    component.steps.clear();
    component.process_ends(ScriptEnd::Done);
    assert_eq!(component.steps, [Step::Shutdown]);
    assert!(matches!(component.waiting[..], [Effect::Run { .. }]), "the kill waits for the script");
    component.answer(50, no_startup);
    assert_eq!(component.machine.state(), Finished);
    assert!(component.machine.is_reached() && component.machine.is_ready());
}

/// CR 2.4: a component that reported RUNNING while `startup` ran fails when that script fails later.
#[test]
fn startup_may_report_running_early() {
    let mut component = Component::new();
    component.input(Input::Start);
    component.answer_one(ok);
    component.input(Input::Reported(ReportedState::Running));
    assert_eq!(component.machine.state(), Running);
    assert_eq!(component.machine.wake_at(), None, "the startup time limit is over");
    component.process_ends(failed(Step::Startup));
    assert_eq!(component.machine.failure().unwrap().code, StatusCode::StartupError);
}

/// CR 2.3: 120 s to start, then ERRORED with the timeout's code.
#[test]
fn a_start_that_hangs_times_out() {
    let mut component = Component::new();
    component.input(Input::Start);
    component.answer_one(ok);
    assert_eq!(component.machine.wake_at(), Some(component.now + 120_000));
    component.now += 120_000;
    component.input(Input::Tick);
    let failure = component.machine.failure().unwrap();
    assert_eq!(failure.code, StatusCode::StartupTimeout);
    assert!(failure.reason.ends_with("The startup script did not end within 120 s."), "{}", failure.reason);
    assert_eq!(component.machine.state(), Errored);
}

/// CR 2.5: three errors, each within the window of the one before, make it BROKEN; the first retry is immediate, the second
/// waits; an old error is forgotten.
#[test]
fn errors_are_counted_within_the_window() {
    for (pauses_ms, broken) in [([1, 1, 1], true), ([1, 3_599_000, 3_599_000], true), ([1, 3_600_001, 1], false)] {
        let mut component = Component::started(no_startup);
        for pause in pauses_ms {
            component.now += pause;
            component.process_ends(failed(Step::Run));
            component.answer(50, no_startup);
            component.wait_for_backoff();
            component.answer(50, no_startup);
        }
        assert_eq!(component.machine.state() == Broken, broken, "{pauses_ms:?}: {:?}", component.states);
    }
}

/// CR 2.5: the first retry comes at once, the second after one second.
#[test]
fn retries_back_off() {
    let mut component = Component::started(no_startup);
    component.process_ends(failed(Step::Run));
    component.answer(50, no_startup);
    assert_eq!(component.machine.state(), Running);
    component.process_ends(failed(Step::Run));
    component.answer(50, no_startup);
    assert_eq!(component.machine.state(), Installed);
    assert_eq!(component.machine.wake_at(), Some(component.now + 1000));
}

/// CR 4.9: what has a process counts as up after a second of RUNNING, anew after each death; what has none at once.
#[test]
fn a_process_has_to_stay() {
    let mut component = Component::started(no_startup);
    assert_eq!(component.machine.settles_at(), Some(component.now + SETTLING_MS));
    component.now += SETTLING_MS - 1;
    component.process_ends(failed(Step::Run));
    component.answer(50, no_startup);
    assert_eq!(component.states.last(), Some(&Running));
    assert_eq!(component.machine.settles_at(), Some(component.now + SETTLING_MS));
    component.process_ends(ScriptEnd::Done);
    component.answer(50, no_startup);
    assert_eq!((component.machine.state(), component.machine.settles_at()), (Finished, None));
    let started = Component::started(ok);
    assert_eq!((started.machine.state(), started.machine.settles_at()), (Running, None), "`startup` is over");
    let mut early = Component::new();
    early.input(Input::Start);
    early.answer_one(ok);
    early.input(Input::Reported(ReportedState::Running));
    assert_eq!(early.machine.settles_at(), Some(early.now + SETTLING_MS), "`startup` may still fail");
}

/// CR 2.5, 4.9: while a deployment waits, the third error does not wait for a long back-off; once the component has been up, or when no
/// deployment waits, it does.
#[test]
fn a_deployment_does_not_wait_for_the_back_off() {
    let backoff = Backoff { initial_ms: 60_000, max_ms: 60_000, factor: 1.0 };
    for (on_trial, up_ms, pause) in [(true, 10, 1000), (false, 10, 60_000), (true, SETTLING_MS, 60_000)] {
        let mut component = Component::new();
        component.machine.configure(RestartPolicy { max_errors: 5, backoff, ..RestartPolicy::default() }, 120_000);
        component.input(Input::Start);
        if on_trial {
            component.input(Input::Trial);
        }
        component.answer(50, no_startup);
        for _ in 0..2 {
            component.now += up_ms;
            component.process_ends(failed(Step::Run));
            component.answer(50, no_startup);
        }
        assert_eq!(component.machine.wake_at(), Some(component.now + pause), "on trial {on_trial}, up {up_ms} ms");
        component.wait_for_backoff();
        component.answer(50, no_startup);
        component.process_ends(failed(Step::Run));
        component.answer(50, no_startup);
        assert_eq!(component.machine.wake_at(), Some(component.now + 60_000), "a fourth try waits");
    }
}

/// CR 2.5, 10.3 (3): only an operator, a reinstall or the removal leads out of BROKEN, without a deployment.
#[test]
fn broken_is_left_on_request() {
    let broken = || {
        let mut component = Component::started(no_startup);
        for _ in 0..3 {
            component.process_ends(failed(Step::Run));
            component.answer(50, no_startup);
            component.wait_for_backoff();
            component.answer(50, no_startup);
        }
        assert_eq!(component.machine.state(), Broken);
        assert_eq!(component.steps.last(), Some(&Step::Shutdown));
        component.states.clear();
        component
    };
    for (command, states) in [
        (Input::OperatorRestart, &[Installed, Starting, Running][..]),
        (Input::Reinstall, &[New, Installed, Starting, Running]),
        (Input::Uninstall, &[Uninstalling, Uninstalled]),
        (Input::Start, &[]),
        (Input::Restart, &[]),
        (Input::Stop, &[]),
    ] {
        let mut component = broken();
        component.input(command.clone());
        component.answer(50, no_startup);
        assert_eq!(component.states, states, "{command:?}");
    }
}

/// CR 2.3: a failing shutdown is told, and does not keep the component from its goal.
#[test]
fn a_failed_shutdown_is_reported_and_passed() {
    let mut component = Component::started(no_startup);
    component.states.clear();
    component.input(Input::Stop);
    component.answer(50, |step| if step == Step::Shutdown { failed(step) } else { ok(step) });
    assert_eq!(component.states, [Stopping, Errored, Finished]);
}

/// CR 2.6: nothing starts before its dependencies are ready.
#[test]
fn installed_waits_for_dependencies() {
    let mut component = Component::new();
    component.input(Input::Dependencies { ready: false });
    component.input(Input::Start);
    component.answer(50, no_startup);
    assert_eq!(component.machine.state(), Installed);
    component.input(Input::Dependencies { ready: true });
    component.answer(50, no_startup);
    assert_eq!(component.machine.state(), Running);
}

/// CR 2.2: a restart is refused while nothing is pending in NEW and once the component is to be removed.
#[test]
fn restart_is_refused_where_it_means_nothing() {
    let mut component = Component::new();
    assert!(!component.machine.can_restart());
    component.input(Input::Start);
    assert!(component.machine.can_restart());
    component.input(Input::Uninstall);
    assert!(!component.machine.can_restart());
}

fn any_input() -> impl Strategy<Value = (u8, u8, i64)> {
    (0u8..15, 0u8..8, prop_oneof![Just(1i64), Just(5_000), Just(4_000_000)])
}

/// CR 1.6: changed files make a component BROKEN at the first try; an operator who mended them leads it out.
#[test]
fn changed_files_break_at_once() {
    for (step, lead) in [(Step::Install, &[New][..]), (Step::Startup, &[New, Installed, Starting])] {
        let mut component = Component::new();
        component.input(Input::Start);
        let refused = |of| if of == step { ScriptEnd::Failed(Failure::changed(of, "it")) } else { ok(of) };
        component.answer(20, refused);
        assert_eq!(component.states, [lead, &[Errored, Broken]].concat());
        assert!(component.steps.iter().all(|step| *step != Step::Recover), "{:?}", component.steps);
        component.input(Input::OperatorRestart);
        component.answer(20, ok);
        assert_eq!(component.machine.state(), Running);
    }
}

/// CR 1.7, 1.6: the time in which files are looked at is not that of `startup`; what was stopped meanwhile does not begin.
#[test]
fn a_start_that_is_held_has_all_its_time() {
    let held = || {
        let mut component = Component::new();
        component.input(Input::Start);
        component.answer_one(ok);
        let Some(Effect::Run { step: Step::Startup, number }) = component.waiting.last().cloned() else {
            panic!("{:?}", component.waiting)
        };
        component.machine.hold(number);
        (component, number)
    };
    let (mut component, number) = held();
    component.now += 500_000;
    component.input(Input::Tick);
    assert_eq!(component.machine.state(), Starting);
    assert!(component.machine.begin_held(number, component.now));
    component.now += 119_999;
    component.input(Input::Tick);
    assert_eq!(component.machine.state(), Starting);
    component.now += 1;
    component.input(Input::Tick);
    assert!(component.states.contains(&Errored), "{:?}", component.states);
    let (mut component, number) = held();
    component.input(Input::Stop);
    assert!(!component.machine.begin_held(number, component.now));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// CR 2.1-2.6: whatever happened, once scripts succeed, dependencies are ready and time passes, a component reaches what
    /// is desired of it; and a script or kill is under way exactly while the machine waits for one.
    #[test]
    fn nothing_gets_stuck(script in proptest::collection::vec(any_input(), 0..60)) {
        let mut component = Component::new();
        for (what, how, later) in script {
            component.now += later;
            match what {
                0 => component.input(Input::Start),
                1 => component.input(Input::Restart),
                2 => component.input(Input::OperatorRestart),
                3 => component.input(Input::Reinstall),
                4 => component.input(Input::Stop),
                5 if how == 0 => component.input(Input::Uninstall),
                6 => component.input(Input::Dependencies { ready: how % 2 == 0 }),
                7 => component.input(Input::Reported(ReportedState::Errored)),
                8 => component.input(Input::Reported(ReportedState::Running)),
                9 => component.input(Input::Tick),
                10 => component.input(Input::Trial),
                _ => {
                    if !component.waiting.is_empty() {
                        let place = usize::from(how) % component.waiting.len();
                        match component.waiting.remove(place) {
                            Effect::Run { step, number } => {
                                let end = match how { 0 | 1 => failed(step), 2 => ScriptEnd::Absent, _ => ok(step) };
                                component.input(Input::Script { number, end });
                            }
                            Effect::Kill { number } => component.input(Input::Killed { number }),
                            _ => {}
                        }
                    } else if let Some((step, number)) = component.machine.process {
                        let end = if how % 2 == 0 { ScriptEnd::Done } else { failed(step) };
                        component.input(Input::Script { number, end });
                    }
                }
            }
        }
        component.input(Input::Dependencies { ready: true });
        for _ in 0..6 {
            component.answer(60, no_startup);
            component.now += 61_000;
            component.input(Input::Tick);
        }
        component.answer(60, no_startup);
        let machine = &component.machine;
        prop_assert!(machine.is_reached() || machine.state() == Broken, "{machine:?}");
        prop_assert!(machine.wake_at().is_none_or(|at| at > component.now), "{machine:?}");
    }
}
