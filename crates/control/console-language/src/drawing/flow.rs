//! Flows: a node per step, an edge per event that one step emits and another waits for.

use marram_tdm::check::EntitySource;
use marram_tdm::model::Urn;
use marram_tdm::syntax::ast::{Directive, Document, Selection, Value as Written};
use marram_tdm::syntax::{self};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::trigger::Trigger;
use super::{MAX_EDGES, Members, Pen, plain, position, set};
use crate::outline::{self, Flow, PortId, Step, StepKind, Waits, children, names, text_of};
use crate::types::{given, parameter_type, statements, type_name, variable_property};

pub(super) fn draw(document: &Document, pen: &Pen<'_>) -> Vec<Value> {
    outline::flows(document).iter().map(|flow| pen.flow(flow)).collect()
}

impl Pen<'_> {
    fn flow(&self, flow: &Flow<'_>) -> Value {
        let mut drawn = Members::new();
        set(&mut drawn, "urn", flow.urn.as_ref().map(Urn::to_string));
        set(&mut drawn, "name", flow.name().as_str());
        set(&mut drawn, "description", flow.directive.argument("description").map(|argument| plain(&argument.value)));
        self.place(&mut drawn, flow.definition.place.0);
        let parameters = flow.parameters.iter().map(|parameter| {
            let mut one = Members::new();
            set(&mut one, "name", parameter.name.text.as_str());
            set(&mut one, "type", parameter.ty.word().text.as_str());
            set(&mut one, "dataType", parameter_type(&parameter.ty).to_string());
            set(&mut one, "list", parameter.ty.is_list());
            set(&mut one, "required", parameter.ty.is_required);
            if let Some(default) = &parameter.default {
                set(&mut one, "default", plain(default));
            }
            self.place(&mut one, parameter.name.span());
            Value::Object(one)
        });
        set(&mut drawn, "parameters", parameters.collect::<Vec<_>>());
        set(&mut drawn, "variables", self.variables(flow));
        let events: Vec<String> = flow.events().iter().map(ToString::to_string).collect();
        set(&mut drawn, "events", events);
        let mut nodes: Vec<Value> = flow.steps.iter().map(|step| self.step(flow, step)).collect();
        let (edges, omitted) = flow.edges(MAX_EDGES);
        let mut edges: Vec<Value> = edges.into_iter().map(|edge| self.edge(flow, edge)).collect();
        if let Some(directive) = flow.definition.directive("triggers") {
            let selections = stored_triggers(directive);
            for trigger in written_triggers(&selections).map(Trigger::new) {
                nodes.push(self.stored_trigger(flow, directive, &trigger));
                let starts = flow.steps.iter().filter(|step| matches!(step.waits, Waits::Nothing));
                for start in starts.take(MAX_EDGES.saturating_sub(edges.len())) {
                    edges.push(self.trigger_edge(directive, &trigger, start));
                }
            }
        }
        set(&mut drawn, "nodes", nodes);
        set(&mut drawn, "edges", edges);
        set(&mut drawn, "edgesOmitted", omitted);
        Value::Object(drawn)
    }

    fn variables(&self, flow: &Flow<'_>) -> Vec<Value> {
        let mut all = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        known.extend(flow.parameters.iter().map(|parameter| parameter.name.text.to_ascii_lowercase()));
        for variable in flow.variables() {
            known.insert(variable.name.text.to_ascii_lowercase());
            let mut one = Members::new();
            set(&mut one, "name", variable.name.text.as_str());
            set(&mut one, "type", type_name(&self.types.of_variable(variable)));
            let urn = variable_property(variable);
            let shown = urn.map(|id| self.types.entities().entity(&id).map_or(id.clone(), |entity| entity.id.clone()));
            set(&mut one, "urn", shown.map(|urn| urn.to_string()));
            self.place(&mut one, variable.span());
            all.push(Value::Object(one));
        }
        for step in &flow.steps {
            let Some(out) = step.out().filter(|out| known.insert(out.to_ascii_lowercase())) else { continue };
            let Some(argument) = step.activity.and_then(|activity| activity.argument("out")) else { continue };
            let returns = self.types.entities().action_of(step).and_then(|(_, action)| action.returns);
            let mut one = Members::new();
            set(&mut one, "name", out.as_str());
            set(&mut one, "type", returns.map(|field| self.types.of_field(&field)));
            set(&mut one, "urn", Value::Null);
            self.place(&mut one, argument.value.span());
            all.push(Value::Object(one));
        }
        all
    }

    fn step(&self, flow: &Flow<'_>, step: &Step<'_>) -> Value {
        let kind = match step.kind {
            StepKind::Device => "device",
            StepKind::Service => "service",
            StepKind::Choice => "choice",
            StepKind::Unknown => "unknown",
        };
        let mut node = self.node(kind, &step.name, step.written.place.0);
        let name = step.name_value.map_or(step.written.span(), Written::span);
        let (name_from, name_to) = self.offsets.range(name);
        set(&mut node, "nameFrom", name_from);
        set(&mut node, "nameTo", name_to);
        set(&mut node, "description", text(step.written, "description"));
        let directives = step.written.directives.iter().chain(step.activity.into_iter().flat_map(|a| &a.directives));
        set(&mut node, "position", position(directives, &flow.definition.directives, &step.name));
        set(&mut node, "start", matches!(step.waits, Waits::Nothing));
        set(&mut node, "inEvent", waits(&step.waits));
        set(&mut node, "condition", text(step.written, "condition"));
        set(&mut node, "timeout", text(step.written, "timeout"));
        let outputs = step
            .ports
            .iter()
            .filter(|port| !(step.kind == StepKind::Choice && port.id == PortId::Success && port.emissions.is_empty()));
        let outputs = outputs.map(|port| {
            let events: Vec<&str> = port.emissions.iter().map(|emission| emission.event.as_str()).collect();
            json!({ "port": port.id.to_string(), "label": port.label, "condition": port.condition, "events": events })
        });
        set(&mut node, "outputs", outputs.collect::<Vec<_>>());
        match step.kind {
            StepKind::Device | StepKind::Service => self.call(step, &mut node),
            StepKind::Choice => {
                set(&mut node, "title", "Choice");
                set(&mut node, "rules", self.rules(step));
            }
            StepKind::Unknown => {}
        }
        set(&mut node, "onError", self.on_error(step));
        let checks = step.checks().into_iter().map(|check| {
            let mut one = Members::new();
            set(&mut one, "name", text(check, "name"));
            set(&mut one, "condition", text(check, "condition"));
            for (member, arm) in [("pass", "OnPass"), ("fail", "OnFail")] {
                let statements: Vec<String> = statements(check, arm).iter().map(ToString::to_string).collect();
                set(&mut one, member, statements);
            }
            self.place(&mut one, check.place.0);
            Value::Object(one)
        });
        set(&mut node, "onSuccess", checks.collect::<Vec<_>>());
        Value::Object(node)
    }

    /// The members of a node that calls an action.
    fn call(&self, step: &Step<'_>, node: &mut Members) {
        let entities = self.types.entities();
        let urn = step.callee_urn();
        if let Some(urn) = &urn {
            set(node, "title", entities.title(urn));
            let shown = entities.entity(urn).map_or_else(|| urn.clone(), |entity| entity.id.clone());
            set(node, "urn", shown.to_string());
        }
        let capability = urn.as_ref().and_then(|urn| entities.capability_of(urn));
        set(node, "capability", capability.as_ref().map(|(id, _)| id.to_string()));
        let called = step.call.map(|call| &call.name.text);
        let action =
            capability.as_ref().zip(called).and_then(|((_, capability), name)| entities.action(capability, name));
        let name = action.as_ref().map(|(member, _)| &member.name).or(called);
        set(node, "action", name.map(SmolStr::as_str));
        let actions = capability.iter().flat_map(|(_, capability)| &capability.actions);
        set(node, "actions", actions.map(|member| member.name.as_str()).collect::<Vec<_>>());
        let given = given(step);
        let mut arguments = Vec::new();
        let inputs = action.as_ref().map_or(&[][..], |(_, action)| action.inputs.as_slice());
        for input in inputs {
            let written = given.iter().rfind(|argument| argument.name.is(&input.name));
            let mut one = Members::new();
            set(&mut one, "name", input.name.as_str());
            set(&mut one, "type", self.types.of_field(input));
            set(&mut one, "required", input.is_required && input.default.is_none());
            set(&mut one, "value", written.map(|argument| plain(&argument.value)));
            set(&mut one, "given", written.is_some());
            let end = step.call.map_or(step.written.span(), Selection::span);
            let nowhere = marram_tdm::Span::new(end.end as usize, end.end as usize);
            self.place(&mut one, written.map_or(nowhere, |argument| argument.value.span()));
            arguments.push(Value::Object(one));
        }
        for argument in given {
            if inputs.iter().any(|input| argument.name.is(&input.name)) {
                continue;
            }
            let mut one = Members::new();
            set(&mut one, "name", argument.name.text.as_str());
            set(&mut one, "type", Value::Null);
            set(&mut one, "required", false);
            set(&mut one, "value", plain(&argument.value));
            set(&mut one, "given", true);
            self.place(&mut one, argument.value.span());
            arguments.push(Value::Object(one));
        }
        set(node, "arguments", arguments);
        let returns = action.and_then(|(_, action)| action.returns);
        set(node, "returns", returns.map(|field| self.types.of_field(&field)));
        set(node, "out", step.out().map(|out| out.to_string()));
        if step.kind == StepKind::Device {
            let device_id = step.activity.and_then(|activity| activity.argument("deviceId")).map(|argument| {
                let mut one = Members::new();
                set(&mut one, "value", plain(&argument.value));
                self.place(&mut one, argument.value.span());
                Value::Object(one)
            });
            set(node, "deviceId", device_id);
            let pinned = step.activity.and_then(|activity| activity.directive("device"));
            let pinned = pinned.and_then(|directive| directive.argument("id"));
            set(node, "device", pinned.map(|argument| plain(&argument.value)));
        }
    }

    fn rules(&self, step: &Step<'_>) -> Vec<Value> {
        let arms = step.ports.iter().filter(|port| matches!(port.id, PortId::Rule(_) | PortId::Default));
        let mut rules: Vec<(bool, Value)> = Vec::new();
        for port in arms {
            let Some(arm) = port.holder else { continue };
            let mut one = Members::new();
            set(&mut one, "port", port.id.to_string());
            set(&mut one, "name", text(arm, "name"));
            set(&mut one, "expr", port.condition.as_ref().map(SmolStr::as_str));
            let events: Vec<&str> = port.emissions.iter().map(|emission| emission.event.as_str()).collect();
            set(&mut one, "events", events);
            let variables = children(arm).filter(|effect| effect.name.is("setVariable")).map(|effect| {
                let value = effect.argument("value").map(|argument| plain(&argument.value));
                json!({ "name": text(effect, "name"), "value": value })
            });
            set(&mut one, "variables", variables.collect::<Vec<_>>());
            self.place(&mut one, arm.place.0);
            rules.push((port.id == PortId::Default, Value::Object(one)));
        }
        rules.sort_by_key(|(is_default, _)| *is_default);
        rules.into_iter().map(|(_, rule)| rule).collect()
    }

    fn on_error(&self, step: &Step<'_>) -> Value {
        let Some(block) = step.on_error else { return Value::Null };
        let mut drawn = Members::new();
        let retries = step.clauses("Retries", "Retry");
        set(&mut drawn, "retries", retries.into_iter().map(retry).collect::<Vec<_>>());
        let catches = step.clauses("Catches", "Catch");
        set(&mut drawn, "catches", catches.into_iter().map(catch).collect::<Vec<_>>());
        self.place(&mut drawn, block.place.0);
        Value::Object(drawn)
    }

    fn edge(&self, flow: &Flow<'_>, edge: outline::Edge) -> Value {
        let source = &flow.steps[edge.source];
        let port = &source.ports[edge.port];
        let emission = &port.emissions[edge.emission];
        let mut drawn = Members::new();
        set(&mut drawn, "id", flow.edge_id(edge));
        set(&mut drawn, "source", source.name.as_str());
        set(&mut drawn, "target", flow.steps[edge.target].name.as_str());
        set(&mut drawn, "port", port.id.to_string());
        set(&mut drawn, "event", emission.event.as_str());
        let label = if port.id == PortId::Success { emission.event.as_str() } else { port.label.as_str() };
        set(&mut drawn, "label", label);
        set(&mut drawn, "condition", port.condition.as_ref().map(SmolStr::as_str));
        self.place(&mut drawn, emission.written.span());
        set(&mut drawn, "kind", port.id.edge_kind());
        Value::Object(drawn)
    }

    // ---- stored triggers

    fn stored_trigger(&self, flow: &Flow<'_>, directive: &Directive, trigger: &Trigger<'_>) -> Value {
        let kind = if trigger.is_clock() { "clock" } else { "event" };
        let mut node = self.node(kind, trigger.name(), directive.place.0);
        trigger.describe(&mut node);
        let own = trigger.written.directives.iter();
        set(&mut node, "position", position(own, &flow.definition.directives, trigger.name()));
        let (from, to) = self.offsets.range(directive.place.0);
        set(&mut node, "nameFrom", from);
        set(&mut node, "nameTo", to);
        Value::Object(node)
    }

    fn trigger_edge(&self, directive: &Directive, trigger: &Trigger<'_>, target: &Step<'_>) -> Value {
        let mut drawn = Members::new();
        let id = ["trigger".to_owned(), outline::escape(trigger.name()), outline::escape(&target.name)];
        set(&mut drawn, "id", id.join("|"));
        set(&mut drawn, "source", trigger.name());
        set(&mut drawn, "target", target.name.as_str());
        set(&mut drawn, "port", "trigger");
        set(&mut drawn, "event", Value::Null);
        set(&mut drawn, "label", trigger.name());
        set(&mut drawn, "condition", trigger.condition);
        self.place(&mut drawn, directive.place.0);
        set(&mut drawn, "kind", "triggers");
        Value::Object(drawn)
    }
}

/// The text of an argument.
pub(super) fn text(selection: &Selection, argument: &str) -> Option<String> {
    text_of(selection, argument).map(ToString::to_string)
}

fn waits(waits: &Waits<'_>) -> Value {
    match waits {
        Waits::Nothing => Value::Null,
        Waits::All { events, .. } => {
            let events: Vec<&str> = events.iter().map(|(event, _)| event.as_str()).collect();
            json!({ "kind": "all", "events": events })
        }
        Waits::Expression { text, events, .. } => {
            let inner = text.trim();
            let inner = inner.strip_prefix("${").and_then(|inner| inner.strip_suffix('}')).unwrap_or(inner).trim();
            let events: Vec<&str> = events.iter().map(SmolStr::as_str).collect();
            json!({ "kind": "expression", "expression": inner, "events": events })
        }
    }
}

fn named(clause: &Selection, argument: &str) -> Vec<String> {
    let found = clause.argument(argument).map(|argument| names(&argument.value)).unwrap_or_default();
    found.into_iter().map(|(name, _)| name.to_string()).collect()
}

fn value_of(clause: &Selection, argument: &str) -> Option<Value> {
    clause.argument(argument).map(|argument| plain(&argument.value))
}

/// A Retry clause as the page edits it.
pub(crate) fn retry(clause: &Selection) -> Value {
    json!({
        "name": text(clause, "name"),
        "errorEquals": named(clause, "errorEquals"),
        "condition": text(clause, "condition"),
        "interval": value_of(clause, "interval"),
        "backoffRate": value_of(clause, "backoffRate"),
        "maxAttempts": value_of(clause, "maxAttempts"),
    })
}

/// A Catch clause as the page edits it.
pub(crate) fn catch(clause: &Selection) -> Value {
    json!({
        "name": text(clause, "name"),
        "errorEquals": named(clause, "errorEquals"),
        "condition": text(clause, "condition"),
        "raiseEvent": named(clause, "raiseEvent"),
        "expr": text(clause, "expr"),
    })
}

/// What `@triggers(definition)` holds.
fn stored_triggers(directive: &Directive) -> Vec<Selection> {
    let text = directive.argument("definition").and_then(|argument| argument.value.as_text());
    text.map(|text| syntax::parse_fragment(text).0).unwrap_or_default()
}

/// The triggers among them; they may stand in a block `triggers`.
fn written_triggers(selections: &[Selection]) -> impl Iterator<Item = &Selection> {
    selections.iter().filter(|selection| !outline::is_ignore_marker(selection)).flat_map(|selection| {
        let inner: Vec<&Selection> =
            if selection.name.is("triggers") { children(selection).collect() } else { vec![selection] };
        inner
    })
}
