//! Events between steps: activation, events nobody emits, loops (TG 6.3).

use std::collections::BTreeMap;

use marram_expr::EventExpr;
use smol_str::SmolStr;

use super::super::state::needed_first;
use super::FlowChecker;
use crate::codes::*;
use crate::model::{Activation, Activity, Statement, Step};
use crate::syntax::ast::{Argument, Value, ValueKind};

impl FlowChecker<'_, '_> {
    /// Notes that something emits `event`.
    pub(super) fn emit(&mut self, event: &str) {
        self.emitted.entry(event.to_lowercase()).or_insert_with(|| SmolStr::new(event));
    }

    pub(super) fn activation(&mut self, argument: Option<&Argument>) -> Option<Activation> {
        let Some(argument) = argument else { return Some(Activation::AtStart) };
        if let Some(value) = event_expression(&argument.value) {
            let expr: EventExpr = self.context.parse_text(value, marram_expr::parse_event_expr)?;
            self.waited.extend(expr.events().into_iter().map(|(event, _)| (event.clone(), value.span())));
            return Some(Activation::When(expr));
        }
        let names = self.context.names(&argument.value);
        self.waited.extend(names.iter().map(|event| (event.clone(), argument.value.span())));
        Some(if names.is_empty() { Activation::AtStart } else { Activation::All(names) })
    }

    /// TDM4003 for events nobody emits, TDM4004 for loops.
    pub(super) fn check_events(&mut self, steps: &[Step]) {
        for (event, at) in std::mem::take(&mut self.waited) {
            if !self.emitted.contains_key(&event.to_lowercase()) {
                self.context.warning(TDM4003, at, format!("nothing emits `{event}`, so the step never runs"));
            }
        }
        let is_brake = |step: &Step| step.condition.is_some() || matches!(step.activity, Activity::Choice(_));
        let on_cycle = |holds: &dyn Fn(&Step) -> bool| on_cycle(&event_graph(steps, holds), steps.len());
        if let Some(index) = on_cycle(&|step| !is_brake(step)) {
            let message =
                format!("step `{}` starts itself again without a choice or condition on the way", steps[index].name);
            self.context.error(TDM4004, self.places[index], message);
        } else if let Some(index) = on_cycle(&|_| true) {
            let message = format!("step `{}` lies on a loop", steps[index].name);
            self.context.warning(TDM4004, self.places[index], message);
        }
    }
}

/// The value of an `inEvent` that is an expression: `${..}` or one with an operator.
fn event_expression(value: &Value) -> Option<&Value> {
    match &value.kind {
        ValueKind::List(items) => match items.as_slice() {
            [only] if only.as_text()?.contains("${") => Some(only),
            _ => None,
        },
        ValueKind::Text(text) => {
            let text = text.value.as_str();
            let has_operator = ["${", "&&", "||", "!", "("].iter().any(|operator| text.contains(operator));
            has_operator.then_some(value)
        }
        _ => None,
    }
}

fn awaited(activation: &Activation) -> Vec<&SmolStr> {
    match activation {
        Activation::AtStart => Vec::new(),
        Activation::All(events) => events.iter().collect(),
        Activation::When(expr) => expr.events().into_iter().map(|(event, _)| event).collect(),
    }
}

fn emitted_by(step: &Step) -> Vec<&SmolStr> {
    let mut events: Vec<&SmolStr> = step.out_events.iter().collect();
    if let Activity::Choice(choice) = &step.activity {
        let arms = choice.rules.iter().chain(std::iter::once(&choice.default));
        events.extend(arms.flat_map(|arm| &arm.events));
    }
    let catches = step.catches.iter().flat_map(|catch| &catch.statements);
    let checks = step.checks.iter().flat_map(|check| check.on_pass.iter().chain(&check.on_fail));
    events.extend(catches.chain(checks).filter_map(|statement| match statement {
        Statement::Raise(event) => Some(event),
        Statement::Assign { .. } => None,
    }));
    events
}

/// Steps that `holds` keeps, then events, as nodes: a step leads to the events it emits, an event to the steps that
/// wait for it. Events as nodes keep the graph as small as the text, however many steps share an event.
fn event_graph(steps: &[Step], holds: &dyn Fn(&Step) -> bool) -> Vec<Vec<usize>> {
    let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (index, step) in steps.iter().enumerate().filter(|(_, step)| holds(step)) {
        let mut node_of = |event: &SmolStr, next: &mut Vec<Vec<usize>>| {
            *nodes.entry(event.to_lowercase()).or_insert_with(|| {
                next.push(Vec::new());
                next.len() - 1
            })
        };
        for event in emitted_by(step) {
            let node = node_of(event, &mut next);
            next[index].push(node);
        }
        for event in awaited(&step.activation) {
            let node = node_of(event, &mut next);
            next[node].push(index);
        }
    }
    next
}

/// The first of the first `steps` nodes that lies on a cycle or between two.
fn on_cycle(next: &[Vec<usize>], steps: usize) -> Option<usize> {
    let mut previous = vec![Vec::new(); next.len()];
    for (node, reached) in next.iter().enumerate() {
        reached.iter().for_each(|other| previous[*other].push(node));
    }
    let ahead = needed_first(next).in_cycle;
    let behind: std::collections::BTreeSet<usize> = needed_first(&previous).in_cycle.into_iter().collect();
    ahead.into_iter().find(|node| *node < steps && behind.contains(node))
}
