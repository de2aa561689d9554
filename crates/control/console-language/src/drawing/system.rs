//! Systems: a node per role, an edge from a flow to each device role it may use.

use marram_tdm::check::{EntitySource, Template};
use marram_tdm::model::{Activity, EntityKind, Metatype, Urn};
use marram_tdm::syntax::ast::{Body, Document, Field};
use serde_json::Value;

use super::{MAX_EDGES, Members, Pen, plain, position, set};
use crate::outline::{self, definitions};
use crate::types::called_models;

/// Usage directives with the kind of node they make.
pub(crate) const ROLES: [(&str, &str); 4] =
    [("thing", "device"), ("workflow", "flow"), ("service", "service"), ("system", "system")];

pub(super) fn draw(document: &Document, pen: &Pen<'_>) -> Vec<Value> {
    let flows = outline::flows(document);
    let systems = definitions(document, Metatype::System).map(|(definition, directive, urn)| {
        let mut drawn = Members::new();
        set(&mut drawn, "urn", urn.map(|urn| urn.to_string()));
        set(&mut drawn, "name", definition.name.text.as_str());
        set(&mut drawn, "description", directive.argument("description").map(|argument| plain(&argument.value)));
        pen.place(&mut drawn, definition.place.0);
        let fields = match &definition.body {
            Body::Type { fields, .. } => fields.as_slice(),
            _ => &[],
        };
        let (mut nodes, mut devices, mut users) = (Vec::new(), Vec::new(), Vec::new());
        for field in fields.iter().filter(|field| !field.is_ignore_marker()) {
            let (kind, urn, node) = pen.role(field, &definition.directives);
            match (kind, urn) {
                ("device", Some(urn)) => devices.push((field, pen.types.entities().model_of(&urn).unwrap_or(urn))),
                ("flow", Some(urn)) => users.push((field, urn)),
                _ => {}
            }
            nodes.push(node);
        }
        let mut edges = Vec::new();
        for (user, id) in &users {
            let models = pen.models_called(&flows, id);
            for (device, _) in devices.iter().filter(|(_, model)| models.contains(model)) {
                if edges.len() < MAX_EDGES {
                    edges.push(pen.use_edge(user, device));
                }
            }
        }
        set(&mut drawn, "nodes", nodes);
        set(&mut drawn, "edges", edges);
        Value::Object(drawn)
    });
    systems.collect()
}

/// The kind of a role and the URN it names.
pub(crate) fn role_of(field: &Field) -> (&'static str, Option<Urn>) {
    for (directive, kind) in ROLES {
        if let Some(directive) = field.directive(directive) {
            let id = directive.argument("id").and_then(|argument| argument.value.as_text());
            return (kind, id.and_then(|id| Urn::parse(id).ok()));
        }
    }
    (if field.directive("expr").is_some() { "value" } else { "unknown" }, None)
}

impl Pen<'_> {
    fn role(&self, field: &Field, around: &[marram_tdm::syntax::ast::Directive]) -> (&'static str, Option<Urn>, Value) {
        let (kind, urn) = role_of(field);
        let span = crate::edit::field_span(field);
        let mut node = self.node(kind, &field.name.text, span);
        set(&mut node, "position", position(field.directives.iter(), around, &field.name.text));
        let (name_from, name_to) = self.offsets.range(field.name.span());
        set(&mut node, "nameFrom", name_from);
        set(&mut node, "nameTo", name_to);
        let entities = self.types.entities();
        if let Some(urn) = &urn {
            set(&mut node, "urn", urn.to_string());
            set(&mut node, "title", entities.title(urn));
        }
        if matches!(kind, "device" | "service") {
            let capability = urn.as_ref().and_then(|urn| entities.capability_of(urn));
            set(&mut node, "capability", capability.as_ref().map(|(id, _)| id.to_string()));
            let capability = capability.map(|(_, capability)| capability);
            let names = |members: &[marram_tdm::model::Member]| {
                members.iter().map(|member| member.name.to_string()).collect::<Vec<_>>()
            };
            set(&mut node, "actions", capability.as_ref().map(|found| names(&found.actions)).unwrap_or_default());
            set(&mut node, "events", capability.as_ref().map(|found| names(&found.events)).unwrap_or_default());
        }
        (kind, urn, Value::Object(node))
    }

    /// Device models the steps of a flow call: of a flow of the text, else of one the namespace has.
    fn models_called(&self, flows: &[outline::Flow<'_>], id: &Urn) -> Vec<Urn> {
        if let Some(flow) = flows.iter().find(|flow| flow.urn.as_ref() == Some(id)) {
            return called_models(flow, self.types.entities());
        }
        let checked = self.flows.iter().find(|flow| flow.id == *id).cloned();
        let flow = checked.or_else(|| match self.types.entities().world.templates().flow(id) {
            Template::Usable(flow) => Some(flow),
            _ => None,
        });
        let steps = flow.iter().flat_map(|flow| &flow.steps);
        let models = steps.filter_map(|step| match &step.activity {
            Activity::Device { model, .. } => Some(model.clone()),
            _ => None,
        });
        models.collect()
    }

    fn use_edge(&self, flow: &Field, device: &Field) -> Value {
        let mut drawn = Members::new();
        let id = ["uses".to_owned(), outline::escape(&flow.name.text), outline::escape(&device.name.text)];
        set(&mut drawn, "id", id.join("|"));
        set(&mut drawn, "source", flow.name.text.as_str());
        set(&mut drawn, "target", device.name.text.as_str());
        set(&mut drawn, "port", "uses");
        set(&mut drawn, "event", Value::Null);
        set(&mut drawn, "label", Value::Null);
        set(&mut drawn, "condition", Value::Null);
        self.place(&mut drawn, crate::edit::field_span(flow));
        set(&mut drawn, "kind", "uses");
        Value::Object(drawn)
    }

    /// The events a device or model has.
    pub(super) fn events_of(&self, urn: &Urn) -> Vec<String> {
        let entities = self.types.entities();
        let capability = entities.entity(urn).and_then(|entity| match &entity.kind {
            EntityKind::Device(_) | EntityKind::DeviceModel(_) => entities.capability_of(urn),
            _ => None,
        });
        let events = capability.iter().flat_map(|(_, capability)| &capability.events);
        events.map(|member| member.name.to_string()).collect()
    }
}
