//! The state of one execution, and what goes in and out of the engine (TG 6.1, 6.2).

use std::sync::Arc;

use marram_expr::Value;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::fault::{self, Fault};
use crate::message::Message;
use crate::program::Program;
use crate::request::{Reply, Request};
use crate::scope;

/// Milliseconds since the epoch, given by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// The time `ms` later.
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms))
    }

    /// Milliseconds since `earlier`; 0 when the clock went back.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// Number of an attempt, unique in its execution.
pub type TaskId = u32;

/// Status of an execution, `FlowExecutionStatus` of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Not terminal.
    Running,
    /// Nothing is left to do.
    Succeeded,
    /// A step failed and no clause caught it, or a cap was reached.
    Failed,
    /// Undeployed, timed out or stopped by an operator.
    Aborted,
}

impl Status {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }
}

/// State of a step (TG 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum StepStatus {
    /// Not activated yet, or waiting for the tokens of its next activation.
    #[default]
    Waiting,
    /// Activated, not looked at yet. Never seen between two calls of [`step`](crate::step).
    Ready,
    /// An attempt is in flight or a retry is waiting.
    Running,
    /// The last activation succeeded.
    Succeeded,
    /// The last activation failed and was caught, or failed the execution.
    Failed,
    /// The last activation was skipped by its condition.
    Skipped,
}

/// One run of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub(crate) id: SmolStr,
    pub(crate) trigger: SmolStr,
    pub(crate) status: Status,
    pub(crate) started: Time,
    pub(crate) now: Time,
    pub(crate) params: Vec<Value>,
    pub(crate) variables: Vec<Value>,
    pub(crate) steps: Vec<StepState>,
    pub(crate) activations: u32,
    pub(crate) running: u32,
    pub(crate) next_task: TaskId,
    pub(crate) messages: u64,
    pub(crate) fault: Option<Fault>,
}

/// State of one step of an execution.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepState {
    /// Where it is.
    pub status: StepStatus,
    /// How often it activated.
    pub activations: u32,
    /// Unconsumed tokens per inlet.
    pub(crate) tokens: Vec<u32>,
    pub(crate) run: Option<Box<Run>>,
}

/// An activation that is RUNNING.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// When the step activated.
    pub since: Time,
    /// Attempts made so far.
    pub attempts: u32,
    /// Retries used, per Retry clause; empty until the first.
    pub retries: Vec<u32>,
    pub phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// An attempt was dispatched.
    InFlight {
        task: TaskId,
        since: Time,
        deadline: Time,
        stage: Option<Stage>,
        request: Arc<Request>,
        /// Name of the thing; empty for services.
        thing: SmolStr,
        /// Index into the site's devices or services.
        entity: u16,
        action: u16,
    },
    /// A retry waits.
    Backoff {
        until: Time,
        /// The condition failed to evaluate, so it is evaluated again.
        at_condition: bool,
    },
}

/// How far an attempt's request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// A worker took it.
    Started,
    /// It left for the device or service.
    Sent,
    /// The transport accepted it. Completes an action that declares no response.
    Accepted,
}

/// What the host tells the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// Runs the steps without `inEvent`. The first input of every execution.
    Start,
    /// A request got to `stage`; stages in between are implied.
    Progress {
        /// The attempt.
        task: TaskId,
        /// How far.
        stage: Stage,
    },
    /// A response arrived.
    Replied {
        /// The attempt.
        task: TaskId,
        /// What arrived, not decoded.
        reply: Reply,
    },
    /// The request or its transport failed.
    Failed {
        /// The attempt.
        task: TaskId,
        /// Why.
        fault: Fault,
    },
    /// Time passed: acts on whatever is due at `now`.
    Tick,
    /// The host restarted: nobody knows whether attempts in flight took effect.
    Restarted,
    /// Stops the execution.
    Abort {
        /// Told in the terminal message.
        reason: SmolStr,
    },
}

/// What the engine asks of the host, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send `request`; answer with [`Input::Progress`] and [`Input::Replied`] or [`Input::Failed`].
    Dispatch {
        /// The attempt.
        task: TaskId,
        /// What to send.
        request: Arc<Request>,
    },
    /// Nobody waits for this attempt any more: do not send it if that has not happened, ignore its response.
    Cancel {
        /// The attempt.
        task: TaskId,
    },
    /// An activation's STEP_STARTED; for metrics.
    StepStarted {
        /// Index of the step.
        step: u16,
    },
    /// An activation ended; for metrics.
    StepEnded {
        /// Index of the step.
        step: u16,
        /// `Succeeded` or `Failed`.
        status: StepStatus,
        /// From activation to end.
        duration_ms: u64,
    },
    /// A line of the trace.
    Message(Message),
    /// The execution reached a terminal status. Always the last effect of an execution.
    Ended {
        /// Not `Running`.
        status: Status,
        /// From start to end.
        duration_ms: u64,
    },
}

/// Where effects go.
pub trait Sink {
    /// Whether messages are rendered. When false, [`Effect::Message`] is never made; the execution's state is the same.
    const TRACE: bool;

    /// Takes the next effect.
    fn effect(&mut self, effect: Effect);
}

impl Sink for Vec<Effect> {
    const TRACE: bool = true;

    fn effect(&mut self, effect: Effect) {
        self.push(effect);
    }
}

/// Collects effects without rendering messages: what a host uses while it runs.
#[derive(Debug, Default)]
pub struct Quiet(pub Vec<Effect>);

impl Sink for Quiet {
    const TRACE: bool = false;

    fn effect(&mut self, effect: Effect) {
        self.0.push(effect);
    }
}

impl Execution {
    /// The execution's id (TG 6.1).
    pub fn id(&self) -> &SmolStr {
        &self.id
    }

    /// Name of the trigger that started it; `Manual` when started by hand.
    pub fn trigger(&self) -> &SmolStr {
        &self.trigger
    }

    /// Where it is.
    pub fn status(&self) -> Status {
        self.status
    }

    /// When it was created.
    pub fn started(&self) -> Time {
        self.started
    }

    /// When it last changed.
    pub fn updated(&self) -> Time {
        self.now
    }

    /// Why it failed.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// State of every step, in document order.
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// Value of every variable, in the order of the flow.
    pub fn variables(&self) -> &[Value] {
        &self.variables
    }

    /// Messages numbered so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Attempts in flight.
    pub fn in_flight(&self) -> impl Iterator<Item = (TaskId, &Arc<Request>)> {
        self.steps.iter().filter_map(|step| match &step.run.as_deref()?.phase {
            Phase::InFlight { task, request, .. } => Some((*task, request)),
            Phase::Backoff { .. } => None,
        })
    }

    /// When [`Input::Tick`] is due next; `None` once terminal.
    pub fn next_deadline(&self, execution_timeout_ms: u64) -> Option<Time> {
        if self.status != Status::Running {
            return None;
        }
        let end = self.started.plus(execution_timeout_ms);
        let steps = self.steps.iter().filter_map(|step| {
            Some(match step.run.as_deref()?.phase {
                Phase::InFlight { deadline, .. } => deadline,
                Phase::Backoff { until, .. } => until,
            })
        });
        Some(steps.fold(end, Ord::min))
    }
}

/// Where an execution comes from: everything about it that the engine does not compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Its id (TG 6.1): see [`execution_id`].
    pub id: SmolStr,
    /// Name of the trigger; `Manual` when started by hand.
    pub trigger: SmolStr,
    /// By position, as the trigger's action or the caller gave them.
    pub params: Vec<Value>,
}

/// The id of an execution (TG 6.1): flow URN, start time, trigger and a random UUID.
pub fn execution_id(flow: &str, started: Time, trigger: &str, uuid: &str) -> SmolStr {
    let started = scope::iso_time(started.0);
    let mut id = String::with_capacity(flow.len() + started.len() + trigger.len() + uuid.len() + 3);
    for part in [flow, "_", &started, "_", trigger, "_", uuid] {
        id.push_str(part);
    }
    id.into()
}

impl Execution {
    /// A new execution; [`Input::Start`] runs it. Parameters that do not fit make it fail at its start.
    pub fn new(program: &Program, origin: Origin, now: Time) -> Self {
        let flow = &*program.flow;
        let mut fault = None;
        if origin.params.len() > flow.parameters.len() {
            let message = format!("{} parameters given, the flow has {}", origin.params.len(), flow.parameters.len());
            fault = Some(Fault::new(fault::TYPE_ERROR, message));
        }
        let mut given = origin.params.into_iter();
        let mut params = Vec::with_capacity(flow.parameters.len());
        for parameter in &flow.parameters {
            let value = match (given.next(), &parameter.default) {
                (None | Some(Value::Null), Some(default)) => default.clone(),
                (None | Some(Value::Null), None) => Value::Null,
                (Some(value), _) => scope::coerce(&value, &parameter.property).unwrap_or_else(|error| {
                    fault.get_or_insert_with(|| {
                        Fault::new(error.name, format!("parameter `{}`: {}", parameter.name, error.message))
                    });
                    Value::Null
                }),
            };
            if value.is_null() && parameter.is_required {
                fault.get_or_insert_with(|| {
                    Fault::new(fault::TYPE_ERROR, format!("parameter `{}` is required", parameter.name))
                });
            }
            params.push(value);
        }
        let steps =
            flow.steps.iter().map(|step| StepState { tokens: vec![0; step.inlets.len()], ..StepState::default() });
        Self {
            id: origin.id,
            trigger: origin.trigger,
            status: Status::Running,
            started: now,
            now,
            params,
            variables: flow.variables.iter().map(|variable| variable.initial.clone()).collect(),
            steps: steps.collect(),
            activations: 0,
            running: 0,
            next_task: 0,
            messages: 0,
            fault,
        }
    }

    /// The parameters after coercion, in the order of the flow.
    pub fn params(&self) -> &[Value] {
        &self.params
    }
}
