//! The scheduler of one execution: inputs in, effects out (TG 6).
//!
//! | input | acts on | may lead to |
//! | --- | --- | --- |
//! | `Start` | steps without `inEvent` | dispatches, or the end of a flow of choices |
//! | `Progress` | an attempt in flight | trace lines; success when no response is declared |
//! | `Replied`, `Failed` | an attempt in flight | success, retry, catch, failure of the execution |
//! | `Tick` | deadlines and waiting retries that are due | timeouts, new attempts, abortion after 24 h |
//! | `Restarted` | every attempt in flight | `TG.RuntimeRestarted` through OnError |
//! | `Abort` | everything | ABORTED |
//!
//! Whatever a step emits is handed out when it ends; the steps that become ready run in document order before the
//! call returns. Inputs for attempts nobody waits for, and for finished executions, change nothing.

mod activity;
mod recover;

use std::collections::VecDeque;

use marram_expr::Value;
use serde_json::{Value as Json, json};

use crate::execution::{Effect, Execution, Input, Phase, Run, Sink, Stage, Status, StepStatus, TaskId, Time};
use crate::fault::{self, Fault};
use crate::message::{EventType, Message, render};
use crate::program::{Act, Program, Step};
use crate::scope::{self, FlowScope};

/// How often one step may activate in an execution (TG 6.3).
pub const MAX_STEP_ACTIVATIONS: u32 = 1_000;
/// How often steps may activate in an execution altogether (TG 6.3).
pub const MAX_ACTIVATIONS: u32 = 10_000;

/// Feeds one input to `execution` and returns the effects, messages included. Pure: the same arguments give the same
/// effects and the same state.
pub fn step(program: &Program, execution: &mut Execution, input: Input, now: Time) -> Vec<Effect> {
    let mut effects = Vec::new();
    step_into(program, execution, input, now, &mut effects);
    effects
}

/// [`step`], with the effects given to `sink` as they arise.
pub fn step_into<S: Sink>(program: &Program, execution: &mut Execution, input: Input, now: Time, sink: &mut S) {
    if execution.status != Status::Running {
        return;
    }
    // A clock that steps back must not turn durations negative or reorder the trace.
    execution.now = execution.now.max(now);
    let mut machine = Machine { program, exec: execution, sink, ready: VecDeque::new(), consumed: Vec::new() };
    match input {
        Input::Start => machine.start(),
        Input::Progress { task, stage } => machine.progress(task, stage),
        Input::Replied { task, reply } => machine.replied(task, &reply),
        Input::Failed { task, fault } => machine.failed(task, fault),
        Input::Tick => machine.tick(),
        Input::Restarted => machine.restarted(),
        Input::Abort { reason } => machine.abort(&reason),
    }
    machine.settle();
}

/// The engine at work on one input.
struct Machine<'a, S> {
    program: &'a Program,
    exec: &'a mut Execution,
    sink: &'a mut S,
    /// Steps to activate, with the inlets whose tokens they consumed.
    ready: VecDeque<(u16, Vec<u16>)>,
    consumed: Vec<u16>,
}

impl<'a, S: Sink> Machine<'a, S> {
    fn flow_step(&self, step: u16) -> &'a Step {
        &self.program.flow.steps[usize::from(step)]
    }

    /// Numbers a message; renders it when somebody reads it.
    fn say(&mut self, event_type: EventType, payload: impl FnOnce(&Self) -> Json) {
        self.exec.messages += 1;
        if S::TRACE {
            let secrets = scope::secrets(self.program, self.exec);
            let payload = render(payload(self), &secrets);
            let message = Message { seq: self.exec.messages, event_type, at: self.exec.now, payload };
            self.sink.effect(Effect::Message(message));
        }
    }

    fn start(&mut self) {
        if self.exec.messages > 0 {
            return;
        }
        self.say(EventType::StartFlowExecutionTask, |machine| {
            let flow = &machine.program.flow;
            json!({"flowTemplateId": flow.id, "revision": flow.revision, "trigger": machine.exec.trigger,
                   "flowParams": scope::params_json(machine.program, machine.exec)})
        });
        self.say(EventType::ExecutionStarted, |machine| {
            let (flow, site) = (&machine.program.flow, &machine.program.site);
            json!({"message": "Flow execution started", "flowParams": scope::params_json(machine.program, machine.exec),
                   "templateId": flow.id, "version": flow.revision, "systemTemplateId": site.system,
                   "systemInstanceId": site.deployment})
        });
        if let Some(fault) = self.exec.fault.take() {
            return self.fail_execution(fault, None);
        }
        let steps = self.program.flow.steps.iter().zip(0..);
        for (step, index) in steps {
            if step.inlets.is_empty() {
                self.make_ready(index, Vec::new());
            }
        }
        self.announce_ready(0);
    }

    fn make_ready(&mut self, step: u16, consumed: Vec<u16>) {
        self.exec.steps[usize::from(step)].status = StepStatus::Ready;
        self.ready.push_back((step, consumed));
    }

    /// Tells which steps became ready since the queue had `before` entries.
    fn announce_ready(&mut self, before: usize) {
        if self.ready.len() > before {
            self.say(EventType::ScheduleNextReadyStepsTask, |machine| {
                let names: Vec<&str> = (machine.ready.iter().skip(before))
                    .map(|(step, _)| machine.flow_step(*step).name.as_str())
                    .collect();
                json!({ "steps": names })
            });
        }
    }

    /// Runs ready steps until none is left, then ends the execution if nothing else runs.
    fn settle(&mut self) {
        while let Some((step, consumed)) = self.ready.pop_front() {
            self.activate(step, &consumed);
        }
        if self.exec.status == Status::Running && self.exec.running == 0 {
            let duration_ms = self.exec.now.since(self.exec.started);
            self.exec.status = Status::Succeeded;
            self.say(EventType::ExecutionSucceeded, |_| json!({ "durationMs": duration_ms }));
            self.sink.effect(Effect::Ended { status: Status::Succeeded, duration_ms });
        }
    }

    fn activate(&mut self, step: u16, consumed: &[u16]) {
        let now = self.exec.now;
        let state = &mut self.exec.steps[usize::from(step)];
        state.status = StepStatus::Running;
        state.activations += 1;
        state.run = Some(Box::new(Run {
            since: now,
            attempts: 0,
            retries: Vec::new(),
            phase: Phase::Backoff { until: now, at_condition: true },
        }));
        self.exec.running += 1;
        self.exec.activations += 1;
        let activations = self.exec.steps[usize::from(step)].activations;
        if activations > MAX_STEP_ACTIVATIONS || self.exec.activations > MAX_ACTIVATIONS {
            let name = &self.flow_step(step).name;
            let fault = Fault::new(fault::LOOP_LIMIT, format!("step `{name}` reached an activation limit"));
            return self.fail_execution(fault, Some(step));
        }
        self.enter(step, consumed);
    }

    /// Evaluates the condition of a step that just activated, or whose condition failed before, and begins it.
    fn enter(&mut self, step: u16, consumed: &[u16]) {
        let definition = self.flow_step(step);
        let verdict = match &definition.condition {
            None => Ok(true),
            Some(condition) => scope::test(condition, &self.scope(step, "", None)),
        };
        match verdict {
            Err(fault) => self.step_failed(step, fault, recover::At::Condition),
            Ok(false) => {
                self.say(EventType::StepSucceeded, |_| json!({"stepName": definition.name, "skipped": true}));
                self.end_step(step, StepStatus::Skipped, &[]);
            }
            Ok(true) => {
                self.say(EventType::StepStarted, |machine| {
                    let events =
                        consumed.iter().map(|&inlet| machine.event_name(definition.inlets[usize::from(inlet)]));
                    json!({"stepName": definition.name, "inEvents": events.collect::<Vec<_>>(),
                           "activation": machine.exec.steps[usize::from(step)].activations})
                });
                self.sink.effect(Effect::StepStarted { step });
                self.run_activity(step);
            }
        }
    }

    fn event_name(&self, event: u16) -> &'a str {
        &self.program.flow.events[usize::from(event)]
    }

    fn event_names(&self, events: &[u16]) -> Vec<&'a str> {
        events.iter().map(|&event| self.event_name(event)).collect()
    }

    /// What expressions of `step` see.
    fn scope<'s>(&'s self, step: u16, thing: &'s str, fault: Option<&'s Fault>) -> FlowScope<'s> {
        FlowScope { program: self.program, exec: self.exec, step: &self.flow_step(step).name, thing, fault }
    }

    /// The activity succeeded: checks, then `outEvent` (TG 6.6). `events` were emitted by a choice.
    fn step_succeeded(&mut self, step: u16, mut events: Vec<u16>) {
        let definition = self.flow_step(step);
        for check in &definition.checks {
            let acted = scope::test(&check.condition, &self.scope(step, "", None)).and_then(|passed| {
                self.act(step, if passed { &check.on_pass } else { &check.on_fail }, None, &mut events)
            });
            if let Err(fault) = acted {
                return self.step_failed(step, fault, recover::At::Check);
            }
        }
        events.extend_from_slice(&definition.out_events);
        self.say(
            EventType::StepSucceeded,
            |machine| json!({"stepName": definition.name, "outEvents": machine.event_names(&events)}),
        );
        self.end_step(step, StepStatus::Succeeded, &events);
    }

    /// Runs statements in order; emitted events are appended to `events`.
    fn act(&mut self, step: u16, acts: &'a [Act], fault: Option<&Fault>, events: &mut Vec<u16>) -> Result<(), Fault> {
        for act in acts {
            match act {
                Act::Emit(event) => events.push(*event),
                Act::EmitIf { event, condition } => {
                    if scope::test(condition, &self.scope(step, "", fault))? {
                        events.push(*event);
                    }
                }
                Act::Assign { variable, path, value, conversion } => {
                    let value = scope::eval_value(value, &self.scope(step, "", fault))?;
                    self.assign(*variable, path, conversion, value)?;
                }
            }
        }
        Ok(())
    }

    fn assign(
        &mut self,
        variable: u16,
        path: &[smol_str::SmolStr],
        conversion: &crate::convert::Conversion,
        value: Value,
    ) -> Result<(), Fault> {
        let declared = &self.program.flow.variables[usize::from(variable)];
        let slot = &mut self.exec.variables[usize::from(variable)];
        *slot = match path {
            [] => conversion.apply(value, &declared.property)?,
            path => scope::with_field(slot, path, value, &declared.property)?,
        };
        Ok(())
    }

    /// Ends an activation: hands out its events and makes ready what they complete.
    fn end_step(&mut self, step: u16, status: StepStatus, events: &[u16]) {
        let now = self.exec.now;
        let state = &mut self.exec.steps[usize::from(step)];
        state.status = status;
        let since = state.run.take().map_or(now, |run| run.since);
        self.exec.running -= 1;
        if status != StepStatus::Skipped {
            self.sink.effect(Effect::StepEnded { step, status, duration_ms: now.since(since) });
        }
        let program = self.program;
        let mut candidates = Vec::with_capacity(events.len() + 1);
        if !self.flow_step(step).inlets.is_empty() {
            candidates.push(step);
        }
        for &event in events {
            for &(consumer, inlet) in &program.consumers[usize::from(event)] {
                self.exec.steps[usize::from(consumer)].tokens[usize::from(inlet)] += 1;
                candidates.push(consumer);
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        let before = self.ready.len();
        for candidate in candidates {
            let state = &mut self.exec.steps[usize::from(candidate)];
            if matches!(state.status, StepStatus::Ready | StepStatus::Running) {
                continue;
            }
            if self
                .flow_step(candidate)
                .join
                .try_consume(&mut self.exec.steps[usize::from(candidate)].tokens, &mut self.consumed)
            {
                let consumed = self.consumed.clone();
                self.make_ready(candidate, consumed);
            }
        }
        self.announce_ready(before);
    }

    /// Nothing more is scheduled; whatever is in flight is nobody's any more (TG 6.5).
    fn clear(&mut self) {
        self.ready.clear();
        self.exec.running = 0;
        for state in &mut self.exec.steps {
            if let Some(run) = state.run.take() {
                state.status = StepStatus::Failed;
                if let Phase::InFlight { task, .. } = run.phase {
                    self.sink.effect(Effect::Cancel { task });
                }
            } else if state.status == StepStatus::Ready {
                state.status = StepStatus::Waiting;
            }
        }
    }

    fn fail_execution(&mut self, fault: Fault, step: Option<u16>) {
        self.clear();
        let duration_ms = self.exec.now.since(self.exec.started);
        self.exec.status = Status::Failed;
        let name = step.map(|step| &self.flow_step(step).name);
        self.say(EventType::ExecutionFailed, |_| {
            json!({"error": fault.name, "errorMessage": fault.message, "stepName": name, "durationMs": duration_ms})
        });
        self.exec.fault = Some(fault);
        self.sink.effect(Effect::Ended { status: Status::Failed, duration_ms });
    }

    fn abort(&mut self, reason: &str) {
        self.clear();
        let duration_ms = self.exec.now.since(self.exec.started);
        self.exec.status = Status::Aborted;
        self.say(EventType::ExecutionAborted, |_| json!({"reason": reason, "durationMs": duration_ms}));
        self.sink.effect(Effect::Ended { status: Status::Aborted, duration_ms });
    }

    /// The step whose attempt in flight is `task`.
    fn step_of(&self, task: TaskId) -> Option<u16> {
        self.exec.steps.iter().zip(0..).find_map(|(state, index)| match state.run.as_deref()?.phase {
            Phase::InFlight { task: current, .. } if current == task => Some(index),
            _ => None,
        })
    }

    fn tick(&mut self) {
        let now = self.exec.now;
        if now >= self.exec.started.plus(self.program.site.execution_timeout_ms) {
            return self.abort("execution timeout");
        }
        for step in 0..self.exec.steps.len() {
            let Some(run) = self.exec.steps[step].run.as_deref() else { continue };
            let index = u16::try_from(step).expect("steps are indexed by u16");
            match run.phase {
                Phase::InFlight { task, deadline, since, .. } if deadline <= now => {
                    self.sink.effect(Effect::Cancel { task });
                    let waited = deadline.since(since);
                    let fault = Fault::new(fault::TIMEOUT, format!("no response within {waited} ms"));
                    self.attempt_failed(index, fault);
                }
                Phase::Backoff { until, at_condition } if until <= now => {
                    if at_condition {
                        self.enter(index, &[]);
                    } else {
                        self.run_activity(index);
                    }
                }
                Phase::InFlight { .. } | Phase::Backoff { .. } => {}
            }
            if self.exec.status != Status::Running {
                return;
            }
        }
    }

    fn restarted(&mut self) {
        for step in 0..self.exec.steps.len() {
            let Some(run) = self.exec.steps[step].run.as_deref() else { continue };
            if matches!(run.phase, Phase::InFlight { .. }) {
                let index = u16::try_from(step).expect("steps are indexed by u16");
                let fault =
                    Fault::new(fault::RUNTIME_RESTARTED, "the runtime restarted while the activity was in flight");
                self.attempt_failed(index, fault);
            }
            if self.exec.status != Status::Running {
                return;
            }
        }
    }

    fn progress(&mut self, task: TaskId, stage: Stage) {
        let Some(step) = self.step_of(task) else { return };
        self.catch_up(step, stage);
        if stage == Stage::Accepted {
            self.accepted(step);
        }
    }
}
