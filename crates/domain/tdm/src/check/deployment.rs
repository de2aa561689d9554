//! Deployments: bindings and triggers (TG 3.13, 3.14).

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_diag::Span;
use marram_expr::{Assignability, Type, TypeScope, assignable};
use smol_str::SmolStr;

use super::context::{Context, clip, twice};
use super::declare::Taken;
use super::device::is_ignore_marker;
use super::document::{Outcome, Target, Templates, ThingDevice, Things};
use super::scope::Scope;
use super::{CheckOptions, EntitySource};
use crate::codes::*;
use crate::model::{Binding, Deployment, EntityKind, EventReference, Flow, Metatype, Protocol, Role};
use crate::model::{RoleKind, StartFlow, System, Trigger, TriggerCondition, Urn};
use crate::syntax::ast::{Body, Selection, Value};

/// Longest thing name.
const MAX_THING_NAME: usize = 128;

/// Checks a deployment document: exactly one `@deployment` (TDM2005).
pub fn check_deployment(
    document: &str,
    source: &dyn EntitySource,
    templates: &dyn Templates,
    things: &dyn Things,
    target: Target,
    options: &CheckOptions,
) -> Outcome<Deployment> {
    let mut context = Context::new(source, options);
    context.text = document;
    let (parsed, found) = crate::syntax::parse(document);
    found.into_iter().for_each(|diagnostic| context.findings.push(diagnostic));
    let deployment = context.single(&parsed, Metatype::Deployment).and_then(|(definition, directive, id)| {
        let known = ["id", "SemTypeId", "description", "name", "systemId", "namespaceVersion", "allowInsecureHttp"];
        context.known_arguments(directive.arguments.as_ref(), &known);
        let Body::Query { selections, .. } = &definition.body else { return None };
        let argument = context.required(directive, "systemId")?;
        let urn = context.typed_urn(&argument.value, &[Metatype::System])?;
        let system = context.usable(templates.system(&urn), &urn, argument.value.span())?;
        let namespace_version = directive
            .argument("namespaceVersion")
            .and_then(|argument| context.integer(&argument.value, 1..=i64::MAX, TDM3010));
        let allow_insecure_http = directive
            .argument("allowInsecureHttp")
            .is_some_and(|argument| context.boolean(&argument.value) == Some(true));
        let description = context.description(definition, directive);
        let flows = context.usable_flows(&system, templates, argument.value.span());
        let name = definition.name.text.clone();
        let checker = DeploymentChecker { context: &mut context, system: &system, flows, things, target };
        let (bindings, triggers) = checker.check(selections, definition.name.span());
        Some(Deployment {
            id,
            name,
            description,
            system: system.id.clone(),
            namespace_version,
            allow_insecure_http,
            bindings,
            triggers,
        })
    });
    Outcome::new(deployment, context.findings.into_sorted())
}

impl Context<'_> {
    /// The system's flows, each still usable (TDM5005).
    fn usable_flows(&mut self, system: &System, templates: &dyn Templates, at: Span) -> BTreeMap<Urn, Arc<Flow>> {
        let mut flows = BTreeMap::new();
        for (_, id) in system.flows() {
            if flows.contains_key(id) {
                continue;
            }
            // a flow deleted after the system was made is TDM5005 too, not an unresolved reference
            match templates.flow(id) {
                super::document::Template::Usable(flow) => {
                    flows.insert(id.clone(), flow);
                }
                _ => self.error(TDM5005, at, format!("the system's flow `{id}` is deprecated or deleted")),
            }
        }
        flows
    }
}

struct DeploymentChecker<'c, 'a> {
    context: &'c mut Context<'a>,
    system: &'c System,
    flows: BTreeMap<Urn, Arc<Flow>>,
    things: &'c dyn Things,
    target: Target,
}

impl DeploymentChecker<'_, '_> {
    fn check(mut self, body: &[Selection], at: Span) -> (Vec<Binding>, Vec<Trigger>) {
        let mut bindings = Vec::new();
        let mut bound = Taken::default();
        let mut triggers: Option<&Selection> = None;
        for block in body.iter().filter(|selection| !is_ignore_marker(selection)) {
            if block.name.is("triggers") && block.argument("deviceId").is_none() {
                if let Some(first) = triggers.replace(block) {
                    let message = "only one block `triggers` is allowed".to_owned();
                    self.context.findings.push(twice(TDM5003, block.span(), message, first.span()));
                }
            } else {
                self.binding("", block, &mut bound, &mut bindings);
            }
        }
        for role in self.system.thing_roles() {
            if bound.take(&role.name, at).is_none() {
                self.context.error(TDM5001, at, format!("the role `{}` is not bound to a thing", role.name));
            }
        }
        let scope = TriggerScope::new(self.context, self.system);
        let mut names = Taken::default();
        let mut checked = Vec::new();
        for trigger in triggers.map_or(&[][..], Selection::children).iter().filter(|trigger| !is_ignore_marker(trigger))
        {
            if let Some(first) = names.take(&trigger.name.text, trigger.span()) {
                let message = format!("two triggers have the name `{}`", trigger.name.text);
                self.context.findings.push(twice(TDM5003, trigger.span(), message, first));
            }
            checked.extend(self.trigger(trigger, &scope));
        }
        (bindings, checked)
    }

    /// `role(deviceId: "thing")`, or `outer { role(deviceId: "thing") }` for the roles of a nested system.
    fn binding(&mut self, outer: &str, block: &Selection, bound: &mut Taken, bindings: &mut Vec<Binding>) {
        let path = if outer.is_empty() { block.name.text.to_string() } else { format!("{outer}.{}", block.name.text) };
        let role = self.system.role(&path);
        if let Some(Role { name, kind: RoleKind::System(_) }) = role {
            let outer = name.clone();
            for inner in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
                self.binding(&outer, inner, bound, bindings);
            }
            return;
        }
        let Some(Role { name, kind: RoleKind::Thing(wanted) }) = role else {
            self.context.error(TDM5001, block.span(), format!("the system has no thing role `{}`", clip(&path)));
            return;
        };
        let (name, wanted) = (name.clone(), wanted.clone());
        if let Some(first) = bound.take(&name, block.span()) {
            let message = format!("the role `{name}` is bound twice");
            self.context.findings.push(twice(TDM5001, block.span(), message, first));
            return;
        }
        self.context.known_arguments(block.arguments.as_ref(), &["deviceId"]);
        let Some(argument) = self.context.required_of(block, "deviceId") else { return };
        let Some(thing) = self.context.text_of(&argument.value) else { return };
        if let Some(device) = self.device_of(&thing, &name, &wanted, argument.value.span()) {
            bindings.push(Binding { role: name, thing, device });
        }
    }

    /// The device a thing is associated with, if it satisfies the role on the target.
    fn device_of(&mut self, thing: &str, role: &str, wanted: &Urn, at: Span) -> Option<Urn> {
        let is_name = (1..=MAX_THING_NAME).contains(&thing.len())
            && thing.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte));
        if !is_name {
            self.context.error(TDM5002, at, format!("`{}` is no thing name", clip(thing)));
            return None;
        }
        let id = match self.things.thing(thing) {
            ThingDevice::Device(id) => id,
            ThingDevice::Unknown => return Some(wanted.clone()),
            ThingDevice::Missing => {
                self.context.error(TDM5002, at, format!("there is no thing `{thing}`"));
                return None;
            }
            ThingDevice::Unassociated => {
                self.context.error(TDM5002, at, format!("the thing `{thing}` is not associated with a device"));
                return None;
            }
        };
        let Some(entity) = self.context.entity(&id) else {
            self.context.error(TDM5002, at, format!("the device `{id}` of the thing `{thing}` does not exist"));
            return None;
        };
        let EntityKind::Device(device) = &entity.kind else {
            self.context.error(TDM5002, at, format!("`{id}` of the thing `{thing}` is no device"));
            return None;
        };
        if device.model != *wanted && entity.id != *wanted {
            let message = format!("the thing `{thing}` is a `{id}`, the role `{role}` needs `{wanted}`");
            self.context.error(TDM5002, at, message);
            return None;
        }
        if self.target == Target::Cloud && matches!(device.protocol, Protocol::Modbus { .. }) {
            let message = format!("the device `{id}` of the role `{role}` speaks Modbus, which CLOUD does not reach");
            self.context.error(TDM5006, at, message);
            return None;
        }
        Some(entity.id.clone())
    }

    // ---- triggers

    fn trigger(&mut self, written: &Selection, scope: &TriggerScope) -> Option<Trigger> {
        self.context.known_arguments(written.arguments.as_ref(), &["description"]);
        let mut condition: Option<&Selection> = None;
        let mut actions = Vec::new();
        for part in written.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if part.name.is("condition") {
                if let Some(first) = condition.replace(part) {
                    let message = "a trigger has one condition".to_owned();
                    self.context.findings.push(twice(TDM5003, part.span(), message, first.span()));
                }
            } else if part.name.is("action") {
                actions.push(part);
            } else {
                let message = format!("`{}` stands inside the trigger `{}`", part.name.text, written.name.text);
                let help = "close the trigger before the next one starts";
                self.context.findings.push(marram_diag::Diagnostic::error(TDM5003, part.span(), message).help(help));
            }
        }
        let Some(condition) = condition else {
            let message = format!("the trigger `{}` has no condition", written.name.text);
            self.context.error(TDM5003, written.span(), message);
            return None;
        };
        if actions.is_empty() {
            let message = format!("the trigger `{}` has no action", written.name.text);
            self.context.error(TDM5003, written.span(), message);
        }
        let condition = self.condition(condition, scope);
        let starts: Vec<StartFlow> = actions.into_iter().filter_map(|action| self.action(action, scope)).collect();
        let description =
            written.argument("description").and_then(|argument| argument.value.as_text()).map(ToString::to_string);
        Some(Trigger { name: written.name.text.clone(), description, condition: condition?, actions: starts })
    }

    fn expr_argument<'s>(&mut self, part: &'s Selection) -> Option<&'s Value> {
        self.context.known_arguments(part.arguments.as_ref(), &["expr"]);
        let argument = part.argument("expr");
        if argument.is_none() {
            let message = format!("`{}` needs the argument `expr`", part.name.text);
            self.context.error(TDM5003, part.span(), message);
        }
        argument.map(|argument| &argument.value)
    }

    fn condition(&mut self, part: &Selection, scope: &TriggerScope) -> Option<TriggerCondition> {
        let value = self.expr_argument(part)?;
        let text = self.context.text_of(value)?;
        let parsed = match marram_expr::parse_trigger_condition(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                // an expression that mentions no event is well-formed, only no condition
                let code = if marram_expr::parse_expr(&text).is_ok() { TDM5003 } else { TDM3018 };
                let span = self.context.place_in(value, error.offset);
                self.context.error(code, span, error.message);
                return None;
            }
        };
        match parsed {
            marram_expr::TriggerCondition::Clock(clock) => {
                Some(TriggerCondition::Clock { count: clock.count, unit: clock.unit })
            }
            marram_expr::TriggerCondition::Event(expr) => {
                self.context.check_expr(&expr, scope, value, TDM3019);
                let events = expr.last_events().into_iter().filter_map(|(role, event)| {
                    let (role, events) = scope.role(role)?;
                    let (event, _) = events.get(event.to_lowercase().as_str())?;
                    Some(EventReference { role: role.clone(), event: event.clone() })
                });
                let events: Vec<EventReference> = events.collect();
                Some(TriggerCondition::Event { expr, events })
            }
        }
    }

    fn action(&mut self, part: &Selection, scope: &TriggerScope) -> Option<StartFlow> {
        let value = self.expr_argument(part)?;
        let start = self.context.parse_text(value, marram_expr::parse_start_flow)?;
        let role = self.system.role(&start.flow);
        let Some(Role { name, kind: RoleKind::Flow(id) }) = role else {
            let message = format!("the system has no flow `{}`", clip(&start.flow));
            self.context.error(TDM5004, value.span(), message);
            return None;
        };
        let flow = self.flows.get(id)?.clone();
        if start.args.len() > flow.parameters.len() {
            let message =
                format!("the flow `{name}` takes {} arguments, {} are given", flow.parameters.len(), start.args.len());
            self.context.error(TDM5004, value.span(), message);
        }
        for missing in flow.parameters.iter().skip(start.args.len()) {
            if missing.is_required && missing.default.is_none() {
                let message = format!("the flow `{name}` needs an argument for `{}`", missing.name);
                self.context.error(TDM5004, value.span(), message);
            }
        }
        for (argument, parameter) in start.args.iter().zip(&flow.parameters) {
            let ty = self.context.check_expr(argument, scope, value, TDM3019);
            if let Assignability::Refused(message) = assignable(&ty, &parameter.ty.data_type()) {
                let span = self.context.place_in(value, argument.span.start as usize);
                self.context.error(TDM5004, span, format!("`{}`: {message}", parameter.name));
            }
        }
        Some(StartFlow { role: name.clone(), flow: id.clone(), arguments: start.args })
    }
}

/// Events of a role by lower-case name: as spelled, and the payload's type.
type RoleEvents = BTreeMap<String, (SmolStr, Type)>;

/// `devices`, `bindings`, `systemConfig` and the library.
struct TriggerScope {
    base: Scope,
    /// By lower-case role: as spelled, and its events.
    roles: BTreeMap<String, (SmolStr, RoleEvents)>,
}

impl TriggerScope {
    fn new(context: &Context<'_>, system: &System) -> Self {
        let mut base = Scope::config();
        base.add("devices", Type::Unknown);
        base.add("bindings", Type::Unknown);
        let mut roles = BTreeMap::new();
        for role in system.thing_roles() {
            let RoleKind::Thing(id) = &role.kind else { continue };
            let events = role_events(context, id).unwrap_or_default();
            roles.insert(role.name.to_lowercase(), (role.name.clone(), events));
        }
        TriggerScope { base, roles }
    }

    fn role(&self, name: &str) -> Option<&(SmolStr, RoleEvents)> {
        self.roles.get(name.to_lowercase().as_str())
    }
}

impl TypeScope for TriggerScope {
    fn root(&self, name: &str) -> Option<Type> {
        self.base.root(name)
    }

    fn last_event(&self, role: &str, event: &str) -> Result<Type, String> {
        let Some((name, events)) = self.role(role) else {
            return Err(format!("the system has no thing role `{}`", clip(role)));
        };
        match events.get(event.to_lowercase().as_str()) {
            Some((_, payload)) => Ok(Type::Occurrence(Box::new(payload.clone()))),
            None => Err(format!("the role `{name}` has no event `{}`", clip(event))),
        }
    }

    fn bound_thing(&self, role: &str) -> Result<(), String> {
        self.role(role).map(|_| ()).ok_or_else(|| format!("the system has no thing role `{}`", clip(role)))
    }
}

fn role_events(context: &Context<'_>, id: &Urn) -> Option<RoleEvents> {
    let capability = match &context.entity(id)?.kind {
        EntityKind::Device(device) => device.capability.clone(),
        EntityKind::DeviceModel(model) => model.capability.clone(),
        _ => return None,
    };
    let entity = context.entity(&capability)?;
    let EntityKind::Capability(capability) = &entity.kind else { return None };
    let mut events = RoleEvents::new();
    for member in &capability.events {
        let entity = context.entity(&member.id)?;
        let EntityKind::Event(event) = &entity.kind else { continue };
        let payload = event.payload.as_ref().map_or(Type::Null, |payload| context.value_type(payload, false));
        events.insert(member.name.to_lowercase(), (member.name.clone(), payload));
    }
    Some(events)
}
