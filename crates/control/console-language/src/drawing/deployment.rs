//! Deployments: things bound to roles, what fires, and the flows that are started.

use marram_tdm::check::Template;
use marram_tdm::model::{Metatype, RoleKind, System, Urn};
use marram_tdm::syntax::ast::{Body, Definition, Document, Selection};
use serde_json::{Value, json};
use std::sync::Arc;

use super::flow::text;
use super::trigger::Trigger;
use super::{MAX_EDGES, Members, Pen, plain, position, set};
use crate::outline::{children, definitions, escape};

pub(super) fn draw(document: &Document, pen: &Pen<'_>) -> Vec<Value> {
    let all = definitions(document, Metatype::Deployment).map(|(definition, directive, urn)| {
        let mut drawn = Members::new();
        set(&mut drawn, "urn", urn.map(|urn| urn.to_string()));
        set(&mut drawn, "name", definition.name.text.as_str());
        set(&mut drawn, "description", directive.argument("description").map(|argument| plain(&argument.value)));
        let system = directive.argument("systemId").and_then(|argument| argument.value.as_text());
        set(&mut drawn, "system", system.map(ToString::to_string));
        pen.place(&mut drawn, definition.place.0);
        let system = system.and_then(|id| Urn::parse(id).ok());
        pen.deployment(document, definition, system.as_ref(), &mut drawn);
        Value::Object(drawn)
    });
    all.collect()
}

/// Where a deployment's parts stand.
pub(crate) struct Parts<'d> {
    /// Role path and the selection that binds it.
    pub bindings: Vec<(String, &'d Selection)>,
    pub triggers: Vec<&'d Selection>,
}

/// Bindings and triggers as written.
pub(crate) fn parts(definition: &Definition) -> Parts<'_> {
    let mut parts = Parts { bindings: Vec::new(), triggers: Vec::new() };
    let Body::Query { selections, .. } = &definition.body else { return parts };
    for block in selections.iter().filter(|block| !crate::outline::is_ignore_marker(block)) {
        if block.name.is("triggers") && block.argument("deviceId").is_none() {
            parts.triggers.extend(children(block));
        } else {
            bindings(String::new(), block, &mut parts.bindings);
        }
    }
    parts
}

fn bindings<'d>(outer: String, block: &'d Selection, into: &mut Vec<(String, &'d Selection)>) {
    let path = if outer.is_empty() { block.name.text.to_string() } else { format!("{outer}.{}", block.name.text) };
    if block.argument("deviceId").is_some() || block.children().is_empty() {
        into.push((path, block));
        return;
    }
    // the parser bounds how deep blocks nest
    children(block).for_each(|inner| bindings(path.clone(), inner, into));
}

impl Pen<'_> {
    fn deployment(&self, document: &Document, definition: &Definition, system: Option<&Urn>, drawn: &mut Members) {
        let (roles, flow_roles) = system.map(|id| self.roles(document, id)).unwrap_or_default();
        let parts = parts(definition);
        let around = &definition.directives;
        let mut nodes = Vec::new();
        for (role, written) in &parts.bindings {
            let mut node = self.node("device", role, written.place.0);
            set(&mut node, "thing", text(written, "deviceId"));
            set(&mut node, "position", position(written.directives.iter(), around, role));
            self.ask_for(&mut node, role, &roles);
            nodes.push(Value::Object(node));
        }
        let mut devices: Vec<String> = parts.bindings.iter().map(|(role, _)| role.clone()).collect();
        let mut unbound = |role: &str, nodes: &mut Vec<Value>| {
            if let Some(known) = devices.iter().find(|known| known.eq_ignore_ascii_case(role)) {
                return known.clone();
            }
            let mut node = self.node("device", role, definition.name.span());
            set(&mut node, "thing", Value::Null);
            self.ask_for(&mut node, role, &roles);
            nodes.push(Value::Object(node));
            devices.push(role.to_owned());
            role.to_owned()
        };
        for (role, _) in &roles {
            unbound(role, &mut nodes);
        }
        let mut flows: Vec<String> = Vec::new();
        let mut started = |role: &str, nodes: &mut Vec<Value>| {
            if let Some(known) = flows.iter().find(|known| known.eq_ignore_ascii_case(role)) {
                return known.clone();
            }
            let mut node = self.node("flow", role, definition.name.span());
            if let Some((_, urn)) = flow_roles.iter().find(|(name, _)| name.eq_ignore_ascii_case(role)) {
                set(&mut node, "urn", urn.to_string());
                set(&mut node, "title", self.types.entities().title(urn));
                set(&mut node, "parameters", self.parameters_of(document, urn));
            }
            nodes.push(Value::Object(node));
            flows.push(role.to_owned());
            role.to_owned()
        };
        let mut edges = Vec::new();
        for trigger in parts.triggers.iter().copied().map(Trigger::new) {
            let kind = if trigger.is_clock() { "clock" } else { "event" };
            let mut node = self.node(kind, trigger.name(), trigger.written.place.0);
            trigger.describe(&mut node);
            set(&mut node, "position", position(trigger.written.directives.iter(), around, trigger.name()));
            nodes.push(Value::Object(node));
            for (role, event) in trigger.listens() {
                // a condition may name a role that nothing is bound to yet
                let source = unbound(&role, &mut nodes);
                if edges.len() < MAX_EDGES {
                    edges.push(self.listen_edge(&trigger, &source, &event));
                }
            }
            let mut targets: Vec<String> = Vec::new();
            for action in &trigger.actions {
                let Ok(start) = marram_expr::parse_start_flow(action) else { continue };
                let flow = started(&start.flow, &mut nodes);
                if !targets.contains(&flow) && edges.len() < MAX_EDGES {
                    edges.push(self.fire_edge(&trigger, &flow));
                    targets.push(flow);
                }
            }
        }
        for (role, _) in &flow_roles {
            started(role, &mut nodes);
        }
        set(drawn, "nodes", nodes);
        set(drawn, "edges", edges);
    }

    /// What a role asks for, when its system is known.
    fn ask_for(&self, node: &mut Members, role: &str, roles: &[(String, Urn)]) {
        if let Some((_, urn)) = roles.iter().find(|(name, _)| name.eq_ignore_ascii_case(role)) {
            set(node, "urn", urn.to_string());
            set(node, "title", self.types.entities().title(urn));
            set(node, "events", self.events_of(urn));
        }
    }

    /// What starting a flow takes, in order: of a flow of the text, else of one the namespace has.
    fn parameters_of(&self, document: &Document, id: &Urn) -> Vec<Value> {
        let all = crate::outline::flows(document);
        if let Some(flow) = all.iter().find(|flow| flow.urn.as_ref() == Some(id)) {
            let one = |parameter: &marram_tdm::syntax::ast::VariableDefinition| {
                let required = parameter.ty.is_required && parameter.default.is_none();
                json!({ "name": parameter.name.text.as_str(), "type": parameter.ty.word().text.as_str(), "required": required })
            };
            return flow.parameters.iter().map(one).collect();
        }
        let Template::Usable(flow) = self.types.entities().world.templates().flow(id) else { return Vec::new() };
        let one = |parameter: &marram_tdm::model::Parameter| {
            let required = parameter.is_required && parameter.default.is_none();
            json!({ "name": parameter.name.as_str(), "type": parameter.ty.primitive.to_string(), "required": required })
        };
        flow.parameters.iter().map(one).collect()
    }

    /// An edge of a trigger; `id` is made of what it joins.
    fn edge_of(&self, trigger: &Trigger<'_>, kind: &str, ends: (&str, &str), id: &[&str]) -> Members {
        let mut drawn = Members::new();
        let id: Vec<String> = id.iter().map(|part| escape(part)).collect();
        set(&mut drawn, "id", id.join("|"));
        set(&mut drawn, "source", ends.0);
        set(&mut drawn, "target", ends.1);
        set(&mut drawn, "port", "trigger");
        set(&mut drawn, "event", Value::Null);
        set(&mut drawn, "label", Value::Null);
        set(&mut drawn, "condition", trigger.condition);
        self.place(&mut drawn, trigger.written.place.0);
        set(&mut drawn, "kind", kind);
        drawn
    }

    fn listen_edge(&self, trigger: &Trigger<'_>, source: &str, event: &str) -> Value {
        let name = trigger.name();
        let mut drawn = self.edge_of(trigger, "listens", (source, name), &["listens", name, source, event]);
        set(&mut drawn, "event", event);
        set(&mut drawn, "label", event);
        Value::Object(drawn)
    }

    fn fire_edge(&self, trigger: &Trigger<'_>, flow: &str) -> Value {
        let name = trigger.name();
        let mut drawn = self.edge_of(trigger, "triggers", (name, flow), &["fires", name, flow]);
        set(&mut drawn, "label", name);
        Value::Object(drawn)
    }

    /// Thing roles and flow roles of a system and what they ask for: of the text's own system, else of one the
    /// namespace has.
    fn roles(&self, document: &Document, id: &Urn) -> (Vec<(String, Urn)>, Vec<(String, Urn)>) {
        let (mut things, mut flows) = (Vec::new(), Vec::new());
        for (definition, _, urn) in definitions(document, Metatype::System) {
            let Body::Type { fields, .. } = &definition.body else { continue };
            if urn.as_ref() == Some(id) {
                for field in fields {
                    match super::system::role_of(field) {
                        ("device", Some(urn)) => things.push((field.name.text.to_string(), urn)),
                        ("flow", Some(urn)) => flows.push((field.name.text.to_string(), urn)),
                        _ => {}
                    }
                }
                return (things, flows);
            }
        }
        let system: Option<Arc<System>> = match self.types.entities().world.templates().system(id) {
            Template::Usable(system) => Some(system),
            _ => None,
        };
        for role in system.iter().flat_map(|system| &system.roles) {
            match &role.kind {
                RoleKind::Thing(urn) => things.push((role.name.to_string(), urn.clone())),
                RoleKind::Flow(urn) => flows.push((role.name.to_string(), urn.clone())),
                _ => {}
            }
        }
        (things, flows)
    }
}
