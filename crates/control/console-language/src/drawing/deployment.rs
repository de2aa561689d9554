//! Deployments: things bound to roles, what fires, and the flows that are started.

use marram_tdm::check::Template;
use marram_tdm::model::{Metatype, RoleKind, System, Urn};
use marram_tdm::syntax::ast::{Body, Definition, Document, Selection};
use serde_json::Value;
use std::sync::Arc;

use super::flow::{text, trigger_kind};
use super::{MAX_EDGES, Members, Pen, plain, position, set};
use crate::outline::{children, definitions, escape, text_of};

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

/// The condition and the actions of a trigger, as text.
pub(crate) fn trigger_texts(trigger: &Selection) -> (Option<String>, Vec<String>) {
    let condition = children(trigger).find(|part| part.name.is("condition"));
    let actions = children(trigger).filter(|part| part.name.is("action"));
    let condition = condition.and_then(|part| text(part, "expr"));
    (condition, actions.filter_map(|part| text(part, "expr")).collect())
}

impl Pen<'_> {
    fn deployment(&self, document: &Document, definition: &Definition, system: Option<&Urn>, drawn: &mut Members) {
        let roles = system.map(|id| self.roles(document, id)).unwrap_or_default();
        let parts = parts(definition);
        let (mut nodes, mut edges) = (Vec::new(), Vec::new());
        for (role, written) in &parts.bindings {
            let mut node = self.node("device", role, written.place.0);
            set(&mut node, "thing", text(written, "deviceId"));
            if let Some((_, urn)) = roles.iter().find(|(name, _)| name.eq_ignore_ascii_case(role)) {
                set(&mut node, "urn", urn.to_string());
                set(&mut node, "title", self.types.entities().title(urn));
                set(&mut node, "events", self.events_of(urn));
            }
            let directives = written.directives.iter();
            set(&mut node, "position", position(directives, &definition.directives, role));
            nodes.push(Value::Object(node));
        }
        let mut devices: Vec<String> = parts.bindings.iter().map(|(role, _)| role.clone()).collect();
        let mut flows: Vec<String> = Vec::new();
        for trigger in &parts.triggers {
            let (condition, actions) = trigger_texts(trigger);
            let text = condition.clone().unwrap_or_default();
            let (kind, title) = trigger_kind(&text);
            let mut sources: Vec<String> = Vec::new();
            if kind == "clock" {
                let mut node = self.node("clock", &trigger.name.text, trigger.place.0);
                set(&mut node, "title", title);
                set(&mut node, "description", text_of(trigger, "description").map(ToString::to_string));
                let directives = trigger.directives.iter();
                set(&mut node, "position", position(directives, &definition.directives, &trigger.name.text));
                nodes.push(Value::Object(node));
                sources.push(trigger.name.text.to_string());
            } else if let Ok(marram_expr::TriggerCondition::Event(expr)) = marram_expr::parse_trigger_condition(&text) {
                for (role, _) in expr.last_events() {
                    let known = devices.iter().find(|known| known.eq_ignore_ascii_case(role)).cloned();
                    let source = known.unwrap_or_else(|| {
                        // a condition may name a role that nothing is bound to yet
                        let mut node = self.node("device", role, trigger.place.0);
                        set(&mut node, "thing", Value::Null);
                        nodes.push(Value::Object(node));
                        devices.push(role.to_owned());
                        role.to_owned()
                    });
                    if !sources.contains(&source) {
                        sources.push(source);
                    }
                }
            }
            for action in &actions {
                let Ok(start) = marram_expr::parse_start_flow(action) else { continue };
                let known = flows.iter().find(|known| known.eq_ignore_ascii_case(&start.flow)).cloned();
                let flow = known.unwrap_or_else(|| {
                    nodes.push(Value::Object(self.node("flow", &start.flow, trigger.place.0)));
                    flows.push(start.flow.to_string());
                    start.flow.to_string()
                });
                for source in &sources {
                    if edges.len() < MAX_EDGES {
                        edges.push(self.fire_edge(trigger, source, &flow, condition.as_deref()));
                    }
                }
            }
        }
        set(drawn, "nodes", nodes);
        set(drawn, "edges", edges);
    }

    fn fire_edge(&self, trigger: &Selection, source: &str, flow: &str, condition: Option<&str>) -> Value {
        let mut drawn = Members::new();
        let id = ["fires".to_owned(), escape(&trigger.name.text), escape(source), escape(flow)];
        set(&mut drawn, "id", id.join("|"));
        set(&mut drawn, "source", source);
        set(&mut drawn, "target", flow);
        set(&mut drawn, "port", "trigger");
        set(&mut drawn, "event", Value::Null);
        set(&mut drawn, "label", trigger.name.text.as_str());
        set(&mut drawn, "condition", condition);
        self.place(&mut drawn, trigger.place.0);
        set(&mut drawn, "kind", "triggers");
        Value::Object(drawn)
    }

    /// Thing roles of a system and what they ask for: of the text's own system, else of one the namespace has.
    fn roles(&self, document: &Document, id: &Urn) -> Vec<(String, Urn)> {
        for (definition, _, urn) in definitions(document, Metatype::System) {
            let Body::Type { fields, .. } = &definition.body else { continue };
            if urn.as_ref() == Some(id) {
                let things = fields.iter().filter_map(|field| match super::system::role_of(field) {
                    ("device", Some(urn)) => Some((field.name.text.to_string(), urn)),
                    _ => None,
                });
                return things.collect();
            }
        }
        let system: Option<Arc<System>> = match self.types.entities().world.templates().system(id) {
            Template::Usable(system) => Some(system),
            _ => None,
        };
        let roles = system.iter().flat_map(|system| system.thing_roles());
        let things = roles.filter_map(|role| match &role.kind {
            RoleKind::Thing(urn) => Some((role.name.to_string(), urn.clone())),
            _ => None,
        });
        things.collect()
    }
}
