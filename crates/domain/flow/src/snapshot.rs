//! What a deployment froze: its site, its flows, its triggers (TG 7.6). Self-contained: a runtime needs nothing else.

use std::sync::Arc;

pub use marram_expr::ClockUnit;
use marram_expr::{Expr, TemplatePart};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::program::{Activity, Device, EventSource, Flow, Operation, Program, Site};

/// A frozen deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The world its flows run in.
    pub site: Arc<Site>,
    /// The system's flow roles, in document order.
    pub flows: Vec<FlowRole>,
    /// The system's thing roles and what they are bound to, in document order.
    pub bindings: Vec<Binding>,
    /// In document order.
    pub triggers: Vec<Trigger>,
}

/// A flow in its role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowRole {
    /// Role name in the system.
    pub role: SmolStr,
    /// The flow.
    pub flow: Arc<Flow>,
}

/// A role bound to a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Role name in the system.
    pub role: SmolStr,
    /// Thing name.
    pub thing: SmolStr,
}

/// What starts executions (TG 3.14).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Name, part of execution ids.
    pub name: SmolStr,
    /// When.
    pub condition: Condition,
    /// What, in order.
    pub actions: Vec<StartFlow>,
}

/// When a trigger fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// `every [count] unit`.
    Clock {
        /// At least 1.
        count: u32,
        /// The unit.
        unit: ClockUnit,
    },
    /// Evaluated at each occurrence of one of `events`.
    Event {
        /// Tested in Boolean context.
        expr: Expr,
        /// (role, event), first mention first.
        events: Vec<(SmolStr, SmolStr)>,
    },
}

/// `ThingsGraph.startFlow('role', ...)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartFlow {
    /// Role of the flow in the system.
    pub role: SmolStr,
    /// By position.
    pub arguments: Vec<Expr>,
}

impl Snapshot {
    /// The flow in `role`: exact match first, then ignoring ASCII case (TG 3.14). The index is that of [`Self::flows`].
    pub fn flow(&self, role: &str) -> Option<usize> {
        let exact = self.flows.iter().position(|flow| flow.role == role);
        exact.or_else(|| self.flows.iter().position(|flow| flow.role.eq_ignore_ascii_case(role)))
    }

    /// One program per flow role, in order.
    pub fn programs(&self) -> Vec<Program> {
        self.flows.iter().map(|flow| Program::new(Arc::clone(&flow.flow), Arc::clone(&self.site))).collect()
    }

    /// The thing bound to `role`.
    pub fn thing(&self, role: &str) -> Option<&SmolStr> {
        let exact = self.bindings.iter().find(|binding| binding.role == role);
        exact
            .or_else(|| self.bindings.iter().find(|binding| binding.role.eq_ignore_ascii_case(role)))
            .map(|binding| &binding.thing)
    }

    /// The device entity of a thing.
    pub fn device(&self, thing: &str) -> Option<&Device> {
        self.site.devices.get(usize::from(self.site.things.get(thing)?.device))
    }

    /// Calls over `http:` that flows make: the role of the flow, the step, the service. What comes before `://` of a URL is
    /// always written out (TG 4.8).
    pub fn insecure_calls(&self) -> Vec<(&SmolStr, &SmolStr, &SmolStr)> {
        let mut calls = Vec::new();
        for flow in &self.flows {
            for step in &flow.flow.steps {
                let Activity::Service { service, call } = &step.activity else { continue };
                let known = self.site.services.iter().find(|known| known.id.eq_ignore_ascii_case(service));
                let spoken = known.into_iter().flat_map(|service| &service.actions);
                let mut spoken = spoken.filter(|action| action.name.eq_ignore_ascii_case(&call.action));
                if spoken.any(|action| is_insecure(&action.operation)) {
                    calls.push((&flow.role, &step.name, service));
                }
            }
        }
        calls
    }

    /// The event `event` of the thing in `role`, and that thing.
    pub fn event(&self, role: &str, event: &str) -> Option<(&SmolStr, &EventSource)> {
        let thing = self.thing(role)?;
        let source = self.device(thing)?.events.iter().find(|source| source.name.eq_ignore_ascii_case(event))?;
        Some((thing, source))
    }
}

fn is_insecure(operation: &Operation) -> bool {
    let Operation::Http(http) = operation else { return false };
    let Some(TemplatePart::Text(start)) = http.url.parts.first() else { return false };
    start.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}
