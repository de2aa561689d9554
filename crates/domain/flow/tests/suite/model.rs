//! The engine against a naive model, and the laws of replay (TG 6.3, 6.5, 6.8).

use std::collections::BTreeMap;

use crate::support::{Build, S, START, flow};
use marram_flow::event::Join;
use marram_flow::program::{Activity, Selector};
use marram_flow::{Effect, Execution, Fault, Input, Origin, Program, Quiet, Status, TaskId, Time, step, step_into};
use proptest::prelude::*;

/// A small flow: up to six steps over four events; a step is a choice that emits, or a `ping` that may fail.
#[derive(Debug, Clone)]
struct Plan {
    steps: Vec<PlanStep>,
}

#[derive(Debug, Clone)]
struct PlanStep {
    when: Vec<usize>,
    out: Vec<usize>,
    is_call: bool,
    retries: u32,
    catches: Option<Vec<usize>>,
}

const EVENTS: [&str; 4] = ["e0", "e1", "e2", "e3"];

fn any_plan() -> impl Strategy<Value = Plan> {
    let events = || prop::collection::vec(0..EVENTS.len(), 0..3);
    let step = (events(), events(), any::<bool>(), 0..3_u32, prop::option::of(events())).prop_map(
        |(mut when, out, is_call, retries, catches)| {
            when.sort_unstable();
            when.dedup();
            PlanStep { when, out, is_call, retries, catches }
        },
    );
    prop::collection::vec(step, 1..6).prop_map(|steps| Plan { steps })
}

fn program(plan: &Plan) -> Program {
    let names: Vec<String> = (0..plan.steps.len()).map(|index| format!("s{index}")).collect();
    let mut build: Build = flow();
    for (step, name) in plan.steps.iter().zip(&names) {
        let pick = |events: &[usize]| events.iter().map(|event| EVENTS[*event]).collect::<Vec<_>>();
        let (when, out, caught) = (pick(&step.when).join(","), pick(&step.out), step.catches.as_deref().map(pick));
        let catches: Vec<(&[&str], &[&str])> =
            caught.iter().map(|events| (&["Caught"] as &[&str], events.as_slice())).collect();
        build = build.step(S {
            name,
            when: &when,
            out: if step.is_call { &out } else { &[] },
            default: if step.is_call { &[] } else { &out },
            action: if step.is_call { "ping" } else { "" },
            retries: &[(&["Caught"], 10, 1.0, step.retries)],
            // The builder borrows its texts for as long as it builds.
            catches: &catches,
            ..S::default()
        });
    }
    build.build()
}

/// What the outside does: finish the n-th attempt in flight well, fail it, let time pass, restart.
#[derive(Debug, Clone, Copy)]
enum Move {
    Succeed(usize),
    Fail(usize, bool),
    Wait,
    Restart,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => any::<usize>().prop_map(Move::Succeed),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, caught)| Move::Fail(n, caught)),
        1 => Just(Move::Wait),
        1 => Just(Move::Restart),
    ]
}

/// The rules told again, slowly: tokens in a map, all steps looked at after every end.
struct Naive<'p> {
    program: &'p Program,
    tokens: BTreeMap<(usize, u16), u32>,
    activations: Vec<u32>,
    /// Steps in flight: retries used, and whether it waits for a retry.
    running: BTreeMap<usize, (u32, bool)>,
    status: Status,
}

impl<'p> Naive<'p> {
    fn start(program: &'p Program) -> Self {
        let steps = program.flow.steps.len();
        let mut naive = Self {
            program,
            tokens: BTreeMap::new(),
            activations: vec![0; steps],
            running: BTreeMap::new(),
            status: Status::Running,
        };
        let first: Vec<usize> = (0..steps).filter(|step| program.flow.steps[*step].join == Join::Start).collect();
        naive.run(first);
        naive
    }

    /// Runs `ready` and everything that becomes ready, in order.
    fn run(&mut self, mut ready: Vec<usize>) {
        while !ready.is_empty() && self.status == Status::Running {
            let step = ready.remove(0);
            self.activations[step] += 1;
            if self.activations[step] > 1_000 || self.activations.iter().sum::<u32>() > 10_000 {
                self.status = Status::Failed;
                self.running.clear();
                return;
            }
            match &self.program.flow.steps[step].activity {
                Activity::Choice { default, .. } => {
                    let events = emitted(default);
                    let more = self.end(step, &events, &ready);
                    ready.extend(more);
                }
                _ => drop(self.running.insert(step, (0, false))),
            }
        }
        if self.status == Status::Running && self.running.is_empty() {
            self.status = Status::Succeeded;
        }
    }

    /// Hands out events and finds who becomes ready; `ready` are waiting already.
    fn end(&mut self, _step: usize, events: &[u16], ready: &[usize]) -> Vec<usize> {
        for event in events {
            for (index, consumer) in self.program.flow.steps.iter().enumerate() {
                if consumer.inlets.contains(event) {
                    *self.tokens.entry((index, *event)).or_default() += 1;
                }
            }
        }
        let mut more = Vec::new();
        for (index, consumer) in self.program.flow.steps.iter().enumerate() {
            let busy = self.running.contains_key(&index) || ready.contains(&index);
            let has_all = consumer.inlets.iter().all(|event| self.tokens.get(&(index, *event)).is_some_and(|n| *n > 0));
            if !busy && has_all && !consumer.inlets.is_empty() {
                consumer.inlets.iter().for_each(|event| *self.tokens.get_mut(&(index, *event)).unwrap() -= 1);
                more.push(index);
            }
        }
        more
    }

    fn succeed(&mut self, step: usize) {
        self.running.remove(&step);
        let events = self.program.flow.steps[step].out_events.clone();
        let ready = self.end(step, &events, &[]);
        self.run(ready);
    }

    fn fail(&mut self, step: usize, error: &str) {
        let definition = &self.program.flow.steps[step];
        let (used, _) = self.running[&step];
        let covers =
            |selector: &Selector| matches!(selector, Selector::Errors(names) if names.iter().any(|name| name == error));
        if definition.retries.iter().any(|retry| covers(&retry.selector) && used < retry.max_attempts) {
            self.running.insert(step, (used + 1, true));
            return;
        }
        match definition.catches.iter().find(|catch| covers(&catch.selector)) {
            Some(catch) => {
                self.running.remove(&step);
                let ready = self.end(step, &emitted(&catch.acts), &[]);
                self.run(ready);
            }
            None => {
                self.status = Status::Failed;
                self.running.clear();
            }
        }
    }
}

fn emitted(acts: &[marram_flow::program::Act]) -> Vec<u16> {
    let event = |act: &marram_flow::program::Act| match act {
        marram_flow::program::Act::Emit(event) => Some(*event),
        _ => None,
    };
    acts.iter().filter_map(event).collect()
}

/// The step whose attempt is `task`, by its name in what was said.
fn step_of(effects: &[Effect], program: &Program) -> BTreeMap<TaskId, usize> {
    let mut scheduled = None;
    let mut found = BTreeMap::new();
    for effect in effects {
        match effect {
            Effect::Message(message) if message.event_type == marram_flow::EventType::ActivityScheduled => {
                let payload: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
                scheduled =
                    program.flow.steps.iter().position(|step| step.name == payload["stepName"].as_str().unwrap());
            }
            Effect::Dispatch { task, .. } => drop(found.insert(*task, scheduled.unwrap())),
            _ => {}
        }
    }
    found
}

fn new(program: &Program) -> Execution {
    Execution::new(program, Origin { id: "x".into(), trigger: "Manual".into(), params: vec![] }, START)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// TG 6.3, 6.5, 6.7, 6.8, 6.9: the engine does what the naive model does; the same inputs give the same effects;
    /// every prefix of the journal replays to the same state, also through a checkpoint and without a trace; messages
    /// are numbered without gaps and exactly one is terminal, the last.
    #[test]
    fn engine_follows_the_model(plan in any_plan(), moves in prop::collection::vec(any_move(), 0..30)) {
        let program = program(&plan);
        let mut exec = new(&program);
        let mut journal = vec![(Input::Start, START)];
        let mut log = step(&program, &mut exec, Input::Start, START);
        let mut tasks = step_of(&log, &program);
        let mut naive = Naive::start(&program);
        let mut states = vec![exec.clone()];
        let mut now = START;
        for mv in moves {
            let flying: Vec<TaskId> = exec.in_flight().map(|(task, _)| task).collect();
            let pick = |n: usize| (!flying.is_empty()).then(|| flying[n % flying.len()]);
            let input = match mv {
                Move::Succeed(n) => match pick(n) {
                    None => continue,
                    Some(task) => {
                        naive.succeed(tasks[&task]);
                        Input::Progress { task, stage: marram_flow::Stage::Accepted }
                    }
                },
                Move::Fail(n, caught) => match pick(n) {
                    None => continue,
                    Some(task) => {
                        let error = if caught { "Caught" } else { "Wild" };
                        naive.fail(tasks[&task], error);
                        Input::Failed { task, fault: Fault::new(error, "") }
                    }
                },
                Move::Wait => {
                    now = now.plus(10);
                    for entry in naive.running.values_mut() {
                        entry.1 = false;
                    }
                    Input::Tick
                }
                Move::Restart => {
                    for task in &flying {
                        if naive.status == Status::Running {
                            naive.fail(tasks[task], "TG.RuntimeRestarted");
                        }
                    }
                    Input::Restarted
                }
            };
            journal.push((input.clone(), now));
            let effects = step(&program, &mut exec, input, now);
            tasks.extend(step_of(&effects, &program));
            log.extend(effects);
            states.push(exec.clone());
            prop_assert_eq!(exec.status(), naive.status);
            let activations: Vec<u32> = exec.steps().iter().map(|state| state.activations).collect();
            prop_assert_eq!(&activations, &naive.activations);
            prop_assert_eq!(exec.in_flight().count(), naive.running.values().filter(|(_, waits)| !waits).count());
        }

        let (mut twice, mut quiet, mut checkpointed) = (new(&program), new(&program), new(&program));
        let mut again = Vec::new();
        for ((input, at), state) in journal.iter().zip(&states) {
            again.extend(step(&program, &mut twice, input.clone(), *at));
            step_into(&program, &mut quiet, input.clone(), *at, &mut Quiet::default());
            step(&program, &mut checkpointed, input.clone(), *at);
            checkpointed = serde_json::from_str(&serde_json::to_string(&checkpointed).unwrap()).unwrap();
            prop_assert_eq!(&twice, state);
            prop_assert_eq!(&quiet, state);
            prop_assert_eq!(&checkpointed, state);
        }
        prop_assert_eq!(&again, &log);

        let messages: Vec<_> = log.iter().filter_map(|effect| if let Effect::Message(m) = effect { Some(m) } else { None }).collect();
        for (index, message) in messages.iter().enumerate() {
            prop_assert_eq!(message.seq, index as u64 + 1);
        }
        let terminal: Vec<usize> =
            messages.iter().enumerate().filter(|(_, m)| m.event_type.is_terminal()).map(|(index, _)| index).collect();
        if exec.status() == Status::Running {
            prop_assert!(terminal.is_empty());
        } else {
            prop_assert_eq!(terminal, vec![messages.len() - 1]);
        }
        prop_assert!(exec.updated() >= Time(START.0));
    }
}
