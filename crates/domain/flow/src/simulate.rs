//! Runs flows against scripted devices on virtual time: no broker, no waiting, the same engine (TG section 6).
//!
//! A script is JSON lines. Times are milliseconds of virtual time (`"at": 1500`), blank lines and `#` lines are ignored.
//!
//! | line | meaning |
//! | --- | --- |
//! | `{"thing": "cam-1", "device": "<Device URN>", "role": "camera"}` | a thing and what it is; `role` defaults to its name |
//! | `{"trigger": "Motion", "condition": "...", "actions": ["ThingsGraph.startFlow(...)"]}` | arms a trigger |
//! | `{"at": 0, "start": {"camera": "cam-1"}, "flow": "Lobby"}` | starts a flow by hand; `flow` defaults to the first |
//! | `{"at": 0, "event": "StateChanged", "role": "motion", "payload": {..}}` | an occurrence of a device event |
//! | `{"on": "capture", "thing": "cam-1", "after": 120, "reply": {..}}` | answers calls of an action, in script order |
//! | `{"on": "capture", "fail": "TG.ModbusIO", "message": ".."}` | fails one |
//! | `{"on": "capture", "silent": true}` | never answers one |
//! | `{"until": 60000}` | stops there; default one hour after the last line's time, or when nothing is left |
//!
//! An answer serves once; with `"times": n` it serves n calls, and the last answer for an action serves all later ones.
//! A call nobody scripted is acknowledged at once when the action declares no response, else it stays unanswered. `reply`
//! is the payload (for Modbus a list of Booleans or registers, for HTTP the body, with `"status"` 200).

mod names;
mod script;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use serde::Serialize;
use serde_json::{Value as Json, value::RawValue};
use smol_str::{SmolStr, format_smolstr};

pub use names::unknown_names;
pub use script::{Answer, Outcome, Script, ScriptError, ScriptThing, Stimulus};

use crate::execution::{Effect, Execution, Input, Origin, Stage, Status, TaskId, Time, execution_id};
use crate::fault::Fault;
use crate::program::Program;
use crate::request::{ModbusPdu, Reply, Request};
use crate::snapshot::{Condition, Snapshot};
use crate::step::step;
use crate::trigger::{Firing, Watch, next_firing};

/// Virtual time 0: 2026-01-01T00:00:00Z.
pub const EPOCH: Time = Time(1_767_225_600_000);
/// How long a simulation goes on after the last scripted moment.
const GRACE_MS: u64 = 3_600_000;
/// When a simulation stops although something is left to do: a script that triggers itself must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Messages of all executions.
    pub messages: usize,
    /// Their payloads and the problems together, bytes.
    pub payload_bytes: usize,
    /// Things that happen: starts, events, clock ticks, timers, answers.
    pub happenings: usize,
    /// Executions started.
    pub executions: usize,
}

impl Default for Bounds {
    /// For scripts of the caller's own: a million messages.
    fn default() -> Self {
        Self { messages: 1_000_000, payload_bytes: usize::MAX, happenings: usize::MAX, executions: usize::MAX }
    }
}

/// A line of the timeline.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Virtual milliseconds.
    pub at: u64,
    /// Number of the execution, from 1.
    pub execution: usize,
    /// `eventType` of the message.
    #[serde(rename = "eventType")]
    pub event_type: &'static str,
    /// `messageId` of the message.
    #[serde(rename = "messageId")]
    pub seq: u64,
    /// Payload of the message.
    pub payload: Box<RawValue>,
}

/// What became of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// Its id.
    pub id: SmolStr,
    /// Its trigger; `Manual` when started by hand.
    pub trigger: SmolStr,
    /// Status when the simulation stopped.
    pub status: Status,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Messages of all executions, in order of time.
    pub lines: Vec<Line>,
    /// Executions in order of their start.
    pub executions: Vec<Ended>,
    /// What went wrong outside executions: trigger expressions, undecodable events, unknown roles.
    pub problems: Vec<(u64, String)>,
    /// Lines of answers that no call was given.
    pub unused: Vec<usize>,
    /// A bound ended the simulation, not the script.
    pub is_truncated: bool,
}

/// What happens next.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Stimulus(usize),
    Clock(usize),
    Tick(usize),
    Answer { execution: usize, task: TaskId, answer: Option<usize> },
}

struct Simulation<'a> {
    script: &'a Script,
    snapshot: Snapshot,
    programs: Vec<Program>,
    watch: Watch,
    agenda: BinaryHeap<Reverse<(Time, u64, Happening)>>,
    order: u64,
    runs: Vec<(Execution, usize)>,
    /// Answers left per (action, thing or service) pattern.
    answers: Vec<u32>,
    /// Which answers a call was given, by index.
    used: Vec<bool>,
    /// Who waits for a response topic: the first is outstanding (TG 10.2).
    lanes: BTreeMap<SmolStr, VecDeque<(usize, TaskId)>>,
    timeline: Timeline,
    bounds: Bounds,
    payload_bytes: usize,
    happenings: usize,
}

/// Runs `script` against `snapshot`; the script's triggers are armed besides the snapshot's own.
///
/// # Errors
/// A trigger that refers to a role or event the snapshot does not have.
pub fn simulate(snapshot: &Snapshot, script: &Script) -> Result<Timeline, Fault> {
    simulate_within(snapshot, script, Bounds::default())
}

/// [`simulate`] within bounds of the host's.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_within(snapshot: &Snapshot, script: &Script, bounds: Bounds) -> Result<Timeline, Fault> {
    let mut snapshot = snapshot.clone();
    snapshot.triggers.extend(script.triggers.iter().cloned());
    let watch = Watch::new(&snapshot)?;
    let mut simulation = Simulation {
        script,
        programs: snapshot.programs(),
        snapshot,
        watch,
        agenda: BinaryHeap::new(),
        order: 0,
        runs: Vec::new(),
        answers: script.answers.iter().map(|answer| answer.times).collect(),
        used: vec![false; script.answers.len()],
        lanes: BTreeMap::new(),
        timeline: Timeline::default(),
        bounds,
        payload_bytes: 0,
        happenings: 0,
    };
    simulation.run();
    Ok(simulation.timeline)
}

impl Simulation<'_> {
    fn plan(&mut self, at: Time, happening: Happening) {
        self.order += 1;
        self.agenda.push(Reverse((at, self.order, happening)));
    }

    fn run(&mut self) {
        let mut last = EPOCH;
        for (index, stimulus) in self.script.stimuli.iter().enumerate() {
            last = last.max(EPOCH.plus(stimulus.at()));
            self.plan(EPOCH.plus(stimulus.at()), Happening::Stimulus(index));
        }
        let end = self.script.until.map_or_else(|| last.plus(GRACE_MS), |until| EPOCH.plus(until));
        for index in 0..self.snapshot.triggers.len() {
            self.plan_clock(index, EPOCH);
        }
        while let Some(Reverse((now, _, happening))) = self.agenda.pop() {
            if now > end {
                break;
            }
            if self.is_exhausted() {
                self.timeline.is_truncated = true;
                break;
            }
            self.happenings += 1;
            match happening {
                Happening::Stimulus(index) => self.stimulus(index, now),
                Happening::Clock(index) => {
                    let fired = self.watch.tick(&self.snapshot, index, now);
                    self.fire(fired, now);
                    self.plan_clock(index, now);
                }
                Happening::Tick(run) => {
                    let due = self.runs[run].0.next_deadline(self.execution_timeout(run));
                    if due.is_some_and(|due| due <= now) {
                        self.feed(run, Input::Tick, now);
                    }
                }
                Happening::Answer { execution, task, answer } => self.answer(execution, task, answer, now),
            }
        }
        let answers = self.script.answers.iter().zip(&self.used);
        self.timeline.unused = answers.filter(|(_, used)| !**used).map(|(answer, _)| answer.line).collect();
        self.timeline.executions = (self.runs.iter())
            .map(|(run, _)| Ended {
                id: run.id().clone(),
                trigger: run.trigger().clone(),
                status: run.status(),
                error: run.fault().cloned(),
            })
            .collect();
    }

    fn is_exhausted(&self) -> bool {
        self.timeline.lines.len() >= self.bounds.messages
            || self.payload_bytes >= self.bounds.payload_bytes
            || self.happenings >= self.bounds.happenings
    }

    fn execution_timeout(&self, run: usize) -> u64 {
        self.programs[self.runs[run].1].site.execution_timeout_ms
    }

    fn plan_clock(&mut self, trigger: usize, now: Time) {
        let Condition::Clock { count, unit } = self.snapshot.triggers[trigger].condition else { return };
        // Without a scripted end a clock would run for the whole grace; it still ends there.
        if let Some(next) = next_firing(EPOCH, count, unit, now) {
            self.plan(next, Happening::Clock(trigger));
        }
    }

    fn problem(&mut self, now: Time, problem: impl Into<String>) {
        let problem = problem.into();
        self.payload_bytes += problem.len();
        self.timeline.problems.push((now.since(EPOCH), problem));
    }

    fn stimulus(&mut self, index: usize, now: Time) {
        match &self.script.stimuli[index] {
            Stimulus::Start { flow, params, .. } => {
                let found = flow.as_ref().map_or(Some(0), |role| self.snapshot.flow(role));
                let Some(flow) = found.filter(|flow| *flow < self.programs.len()) else {
                    return self.problem(now, "no such flow");
                };
                let parameters = &self.programs[flow].flow.parameters;
                let given = |name: &str| {
                    let found = params.iter().find(|(key, _)| key.trim_start_matches('$').eq_ignore_ascii_case(name));
                    found.map_or(marram_expr::Value::Null, |(_, json)| marram_expr::Value::from_json(json))
                };
                let params = parameters.iter().map(|parameter| given(&parameter.name)).collect();
                self.begin(flow, "Manual".into(), params, now);
            }
            Stimulus::Event { role, event, payload, .. } => {
                let same = |entry: &crate::trigger::WatchedEvent| {
                    entry.role.eq_ignore_ascii_case(role) && entry.event.eq_ignore_ascii_case(event)
                };
                let Some(watched) = self.watch.events.iter().position(same) else {
                    return self.problem(now, format!("no trigger watches `{event}` of `{role}`"));
                };
                match self.watch.occur(&self.snapshot, watched, payload.to_string().as_bytes(), now) {
                    Ok(fired) => self.fire(fired, now),
                    Err(fault) => self.problem(now, format!("event dropped: {}", fault.message)),
                }
            }
        }
    }

    fn fire(&mut self, fired: crate::trigger::Fired, now: Time) {
        for (trigger, fault) in fired.errors {
            self.problem(now, format!("trigger `{trigger}`: {}", fault.message));
        }
        for Firing { trigger, flow, params } in fired.firings {
            let name = self.snapshot.triggers[trigger].name.clone();
            self.begin(flow, name, params, now);
        }
    }

    fn begin(&mut self, flow: usize, trigger: SmolStr, params: Vec<marram_expr::Value>, now: Time) {
        if self.runs.len() >= self.bounds.executions {
            self.timeline.is_truncated = true;
            return;
        }
        let program = &self.programs[flow];
        // Ids repeat from run to run of the simulator: the same script prints the same timeline.
        let uuid = format_smolstr!("00000000-0000-4000-8000-{:012x}", self.runs.len() + 1);
        let id = execution_id(&program.flow.id, now, &trigger, &uuid);
        let execution = Execution::new(program, Origin { id, trigger, params }, now);
        self.runs.push((execution, flow));
        self.feed(self.runs.len() - 1, Input::Start, now);
    }

    fn feed(&mut self, run: usize, input: Input, now: Time) {
        let (execution, flow) = &mut self.runs[run];
        let effects = step(&self.programs[*flow], execution, input, now);
        for effect in effects {
            match effect {
                Effect::Message(message) => {
                    self.payload_bytes += message.payload.len();
                    let payload = RawValue::from_string(message.payload).unwrap_or_default();
                    let event_type = message.event_type.as_str();
                    let at = message.at.since(EPOCH);
                    self.timeline.lines.push(Line { at, execution: run + 1, event_type, seq: message.seq, payload });
                }
                Effect::Dispatch { task, request } => self.dispatch(run, task, &request, now),
                Effect::Cancel { task } => self.leave_lane(run, task, now),
                Effect::StepStarted { .. } | Effect::StepEnded { .. } | Effect::Ended { .. } => {}
            }
        }
        if let Some(deadline) = self.runs[run].0.next_deadline(self.execution_timeout(run)) {
            self.plan(deadline, Happening::Tick(run));
        }
    }

    fn dispatch(&mut self, run: usize, task: TaskId, request: &Request, now: Time) {
        if let Some(key) = lane(request) {
            let queue = self.lanes.entry(key).or_default();
            queue.push_back((run, task));
            if queue.len() > 1 {
                return;
            }
        }
        self.send(run, task, request, now);
    }

    /// The request leaves: its answer is chosen now, in script order.
    fn send(&mut self, run: usize, task: TaskId, request: &Request, now: Time) {
        let (action, target) = match request {
            Request::Publish(publish) => (&publish.action, &publish.thing),
            Request::Modbus(call) => (&call.action, &call.thing),
            Request::Http(call) => (&call.action, &call.service),
            Request::Function(call) => (&call.action, &call.service),
        };
        let fits = |answer: &Answer| {
            answer.action.eq_ignore_ascii_case(action)
                && answer.target.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(target))
        };
        let fitting: Vec<usize> = (0..self.answers.len()).filter(|index| fits(&self.script.answers[*index])).collect();
        let chosen = fitting.iter().copied().find(|index| self.answers[*index] > 0).or(fitting.last().copied());
        let after = match chosen {
            Some(index) => {
                self.answers[index] = self.answers[index].saturating_sub(1);
                self.used[index] = true;
                match self.script.answers[index].outcome {
                    Outcome::Silent => None,
                    Outcome::Reply { .. } | Outcome::Fail(_) => Some(self.script.answers[index].after),
                }
            }
            None if request.expects_reply() => None,
            None => Some(0),
        };
        self.feed(
            run,
            Input::Progress { task, stage: if request.expects_reply() { Stage::Accepted } else { Stage::Sent } },
            now,
        );
        if let Some(after) = after {
            self.plan(now.plus(after), Happening::Answer { execution: run, task, answer: chosen });
        }
    }

    fn answer(&mut self, run: usize, task: TaskId, answer: Option<usize>, now: Time) {
        let found = self.runs[run].0.in_flight().find(|(known, _)| *known == task);
        let Some(request) = found.map(|(_, request)| std::sync::Arc::clone(request)) else { return };
        self.leave_lane(run, task, now);
        let accepted = Input::Progress { task, stage: Stage::Accepted };
        let input = match answer.map(|index| &self.script.answers[index].outcome) {
            Some(Outcome::Fail(fault)) => Input::Failed { task, fault: fault.clone() },
            Some(Outcome::Reply { payload, status }) if request.expects_reply() => {
                match reply(&request, payload, *status) {
                    Some(reply) => Input::Replied { task, reply },
                    None => Input::Failed {
                        task,
                        fault: Fault::new(
                            crate::fault::PAYLOAD_INVALID,
                            "the scripted reply does not fit the protocol",
                        ),
                    },
                }
            }
            _ => accepted,
        };
        self.feed(run, input, now);
    }

    /// Takes an attempt out of its queue; the next one in line is sent.
    fn leave_lane(&mut self, run: usize, task: TaskId, now: Time) {
        let mut next = None;
        for queue in self.lanes.values_mut() {
            let Some(at) = queue.iter().position(|entry| *entry == (run, task)) else { continue };
            queue.remove(at);
            if at == 0 {
                next = queue.front().copied();
            }
        }
        if let Some((run, task)) = next {
            let found = self.runs[run].0.in_flight().find(|(known, _)| *known == task);
            if let Some(request) = found.map(|(_, request)| std::sync::Arc::clone(request)) {
                self.send(run, task, &request, now);
            }
        }
    }
}

/// What is asked one at a time: a response topic, a Modbus server.
fn lane(request: &Request) -> Option<SmolStr> {
    match request {
        Request::Publish(publish) => publish.reply_topic.clone(),
        Request::Modbus(call) => Some(format_smolstr!("modbus {}", call.endpoint)),
        Request::Http(_) | Request::Function(_) => None,
    }
}

fn reply(request: &Request, payload: &Json, status: u16) -> Option<Reply> {
    let text = || payload.to_string().into_bytes();
    Some(match request {
        Request::Publish(_) | Request::Function(_) => Reply::Payload(text()),
        Request::Http(_) => Reply::Http { status, body: text() },
        Request::Modbus(call) => match (&call.pdu, payload) {
            (ModbusPdu::ReadCoils(..) | ModbusPdu::ReadDiscreteInputs(..), Json::Array(bits)) => {
                let bit = |bit: &Json| bit.as_bool().or_else(|| bit.as_u64().map(|number| number != 0));
                Reply::Bits(bits.iter().map(bit).collect::<Option<_>>()?)
            }
            (
                ModbusPdu::ReadHoldingRegisters(..)
                | ModbusPdu::ReadInputRegisters(..)
                | ModbusPdu::ReadWriteMultipleRegisters(..),
                Json::Array(words),
            ) => {
                let word = |word: &Json| word.as_u64().and_then(|number| u16::try_from(number).ok());
                Reply::Registers(words.iter().map(word).collect::<Option<_>>()?)
            }
            (_, Json::Null | Json::Bool(true)) => Reply::Empty,
            _ => return None,
        },
    })
}
