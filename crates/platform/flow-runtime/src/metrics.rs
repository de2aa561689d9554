//! What the runtime counts (TG 11.7), exported as `marram_flow_*`.

use marram_flow::{Flow, Status, StepStatus};
use marram_obs::{Counter, CounterFamily, Gauge, Histogram, LabelSet, Metrics};
use prometheus_client::metrics::family::Family;

/// Dimensions `FlowTemplateId` and `SystemTemplateId`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, LabelSet)]
pub(crate) struct FlowLabels {
    flow: String,
    system: String,
    status: &'static str,
}

/// Dimensions `FlowTemplateId` and `StepName`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, LabelSet)]
pub(crate) struct StepLabels {
    flow: String,
    step: String,
    status: &'static str,
}

/// The runtime's metrics. A cheap clone.
#[derive(Debug, Clone)]
pub struct FlowMetrics {
    executions: Family<FlowLabels, Counter>,
    execution_seconds: Histogram,
    steps: Family<StepLabels, Counter>,
    step_seconds: Histogram,
    pub(crate) running: Gauge,
    pub(crate) dropped: CounterFamily,
    pub(crate) journal_syncs: Counter,
}

impl FlowMetrics {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            executions: metrics.register(
                "flow_executions",
                "Flow executions by flow and what became of them",
                Family::default(),
            ),
            execution_seconds: metrics.seconds("flow_execution_seconds", "From start to end of an execution"),
            steps: metrics.register("flow_steps", "Step activations by flow, step and outcome", Family::default()),
            step_seconds: metrics.seconds("flow_step_seconds", "From activation to end of a step"),
            running: metrics.gauge("flow_executions_running", "Executions that are not terminal"),
            dropped: metrics.counters("flow_messages_dropped", "Device messages that reached no execution, by reason"),
            journal_syncs: metrics.counter("flow_journal_syncs", "Group commits of flow journals"),
        }
    }

    /// The handles of one flow. Without `enabled` (`cloudMetricEnabled`) it has no series of its own and shows only in
    /// what all flows share: the gauge of the running and the two histograms.
    pub(crate) fn flow(&self, flow: &Flow, system: &str, enabled: bool) -> FlowMeters {
        let execution = |status| {
            let labels = || FlowLabels { flow: flow.id.to_string(), system: system.to_owned(), status };
            if enabled { self.executions.get_or_create_owned(&labels()) } else { Counter::default() }
        };
        let step = |name: &str, status| {
            let labels = || StepLabels { flow: flow.id.to_string(), step: name.to_owned(), status };
            if enabled { self.steps.get_or_create_owned(&labels()) } else { Counter::default() }
        };
        let steps = flow.steps.iter().map(|definition| StepMeters {
            started: step(&definition.name, "started"),
            succeeded: step(&definition.name, "succeeded"),
            failed: step(&definition.name, "failed"),
        });
        FlowMeters {
            started: execution("started"),
            succeeded: execution("succeeded"),
            failed: execution("failed"),
            aborted: execution("aborted"),
            seconds: self.execution_seconds.clone(),
            step_seconds: self.step_seconds.clone(),
            steps: steps.collect(),
            running: self.running.clone(),
        }
    }

    /// A device message that reached no execution. `reason` is one of a few words.
    pub(crate) fn dropped(&self, reason: &'static str) -> Counter {
        self.dropped.get_or_create_owned(&vec![("reason", reason)])
    }
}

/// Handles of one flow, looked up once.
#[derive(Debug)]
pub(crate) struct FlowMeters {
    started: Counter,
    succeeded: Counter,
    failed: Counter,
    aborted: Counter,
    seconds: Histogram,
    step_seconds: Histogram,
    steps: Vec<StepMeters>,
    running: Gauge,
}

#[derive(Debug)]
struct StepMeters {
    started: Counter,
    succeeded: Counter,
    failed: Counter,
}

impl FlowMeters {
    pub fn started(&self) {
        self.started.inc();
        self.running.inc();
    }

    pub fn ended(&self, status: Status, duration_ms: u64) {
        match status {
            Status::Succeeded => self.succeeded.inc(),
            Status::Failed => self.failed.inc(),
            Status::Aborted => self.aborted.inc(),
            Status::Running => 0,
        };
        self.running.dec();
        self.seconds.observe(duration_ms as f64 / 1_000.0);
    }

    pub fn step_started(&self, step: u16) {
        if let Some(meters) = self.steps.get(usize::from(step)) {
            meters.started.inc();
        }
    }

    pub fn step_ended(&self, step: u16, status: StepStatus, duration_ms: u64) {
        if let Some(meters) = self.steps.get(usize::from(step)) {
            if status == StepStatus::Succeeded {
                meters.succeeded.inc()
            } else {
                meters.failed.inc()
            };
        }
        self.step_seconds.observe(duration_ms as f64 / 1_000.0);
    }
}
