//! Devices and services: the implementation of a capability, block by block (TG 3.8, 3.9).

use marram_diag::Span;

use super::context::{Context, twice};
use super::declare::{Declared, Taken};
use crate::codes::*;
use crate::model::{Capability, Device, DeviceEvent, EntityKind, Metatype, Protocol, Service, StateBinding, Urn};
use crate::syntax::ast::{Body, Selection};

const HEADER: [&str; 6] = ["id", "SemTypeId", "description", "name", "deviceModel", "capability"];

/// The blocks inside a capability block.
struct Blocks<'d> {
    state: Option<&'d Selection>,
    actions: Vec<&'d Selection>,
    events: Vec<&'d Selection>,
}

impl Context<'_> {
    pub fn device(&mut self, one: &Declared<'_>) -> Option<Device> {
        let Body::Query { selections, .. } = &one.definition.body else { return None };
        self.known_arguments(one.directive.arguments.as_ref(), &HEADER);
        let argument = self.required(one.directive, "deviceModel")?;
        let model = self.reference(&argument.value, &[Metatype::DeviceModel])?;
        let model_capability = match &self.entity(&model)?.kind {
            EntityKind::DeviceModel(model) => model.capability.clone(),
            _ => return None,
        };
        let (protocol, block) =
            self.protocol_block(selections, one.definition.name.span(), &["MQTT", "Modbus", "HTTP"])?;
        let capability_id = self.capability_id(block)?;
        if capability_id != model_capability {
            let message = format!("the device's model has the capability `{model_capability}`");
            self.error(TDM3009, block.span(), message);
            return None;
        }
        let capability = self.capability_of(&capability_id)?;
        let blocks = self.capability_blocks(block, true);
        let state = self.state_block(blocks.state, &capability, block.span());
        let actions = self.action_blocks(&blocks.actions, &capability, protocol, block.span());
        let events = self.event_blocks(&blocks.events, &capability, protocol, block.span());
        Some(Device { model, capability: capability_id, protocol, state, actions, events })
    }

    pub fn service(&mut self, one: &Declared<'_>) -> Option<Service> {
        let Body::Query { selections, .. } = &one.definition.body else { return None };
        self.known_arguments(one.directive.arguments.as_ref(), &HEADER);
        let (protocol, block) = self.protocol_block(selections, one.definition.name.span(), &["REST", "AwsLambda"])?;
        let capability_id = self.capability_id(block)?;
        let capability = self.capability_of(&capability_id)?;
        if let Some(event) = capability.events.first() {
            let message = format!("a service cannot emit the event `{}` of its capability", event.name);
            self.error(TDM3008, block.span(), message);
        }
        let blocks = self.capability_blocks(block, false);
        let actions = self.action_blocks(&blocks.actions, &capability, protocol, block.span());
        Some(Service { capability: capability_id, protocol, actions })
    }

    fn capability_of(&self, id: &Urn) -> Option<Capability> {
        match &self.entity(id)?.kind {
            EntityKind::Capability(capability) => Some(capability.clone()),
            _ => None,
        }
    }

    /// The one protocol block and the one capability block in it.
    fn protocol_block<'d>(
        &mut self,
        selections: &'d [Selection],
        owner: Span,
        allowed: &[&str],
    ) -> Option<(Protocol, &'d Selection)> {
        let block = self.only_block(selections, owner, "protocol")?;
        let name = block.name.text.as_str();
        let is_allowed = allowed.iter().any(|known| name.eq_ignore_ascii_case(known));
        if !is_allowed {
            let message = format!("unknown protocol `{name}`; here it is one of {}", allowed.join(", "));
            self.error(TDM3016, block.span(), message);
            return None;
        }
        let protocol = match name.to_ascii_lowercase().as_str() {
            "mqtt" => Protocol::Mqtt,
            "http" => Protocol::Http,
            "rest" => Protocol::Rest,
            "modbus" => {
                self.known_arguments(block.arguments.as_ref(), &["serverId"]);
                let argument = self.required_of(block, "serverId")?;
                let unit = self.integer(&argument.value, 0..=247, TDM3017)?;
                Protocol::Modbus { server_id: u8::try_from(unit).ok()? }
            }
            _ => Protocol::AwsLambda,
        };
        if !matches!(protocol, Protocol::Modbus { .. }) {
            self.known_arguments(block.arguments.as_ref(), &[]);
        }
        Some((protocol, self.only_block(block.children(), block.span(), "capability")?))
    }

    /// The single selection of a block, `ignore: void` aside.
    fn only_block<'d>(&mut self, selections: &'d [Selection], owner: Span, what: &str) -> Option<&'d Selection> {
        let mut blocks = selections.iter().filter(|selection| !is_ignore_marker(selection));
        let Some(first) = blocks.next() else {
            self.error(TDM3006, owner, format!("one {what} block is needed"));
            return None;
        };
        for further in blocks {
            let message = format!("only one {what} block is allowed");
            self.findings.push(twice(TDM2001, further.span(), message, first.span()));
        }
        Some(first)
    }

    fn capability_id(&mut self, block: &Selection) -> Option<Urn> {
        self.known_arguments(block.arguments.as_ref(), &["id"]);
        let argument = self.required_of(block, "id")?;
        self.reference(&argument.value, &[Metatype::Capability])
    }

    fn capability_blocks<'d>(&mut self, block: &'d Selection, is_device: bool) -> Blocks<'d> {
        let mut blocks = Blocks { state: None, actions: Vec::new(), events: Vec::new() };
        for inner in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if inner.name.is("action") {
                blocks.actions.push(inner);
            } else if is_device && inner.name.is("event") {
                blocks.events.push(inner);
            } else if is_device && inner.name.is("state") {
                match blocks.state {
                    Some(first) => {
                        let message = "only one state block is allowed".to_owned();
                        self.findings.push(twice(TDM3005, inner.span(), message, first.span()));
                    }
                    None => blocks.state = Some(inner),
                }
            } else {
                let message = format!("unknown block `{}` in a capability", inner.name.text);
                self.error(TDM3016, inner.span(), message);
            }
        }
        blocks
    }

    fn state_block(&mut self, block: Option<&Selection>, capability: &Capability, owner: Span) -> Vec<StateBinding> {
        let state = capability.state.as_ref().and_then(|member| self.entity(&member.id));
        let fields = match state.as_ref().map(|entity| &entity.kind) {
            Some(EntityKind::State(state)) => state.fields.as_slice(),
            _ => &[],
        };
        let Some(block) = block else {
            if !fields.is_empty() {
                self.warning(TDM3008, owner, "the device has no state block");
            }
            return Vec::new();
        };
        let mut names = Taken::default();
        let mut bindings = Vec::new();
        for inner in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            self.known_arguments(inner.arguments.as_ref(), &["name", "property", "description"]);
            let Some(field) = fields.iter().find(|field| inner.name.is(&field.name)) else {
                let message = format!("the capability's state has no field `{}`", inner.name.text);
                self.error(TDM3009, inner.span(), message);
                continue;
            };
            if let Some(first) = names.take(&inner.name.text, inner.span()) {
                let message = format!("the state field `{}` is bound twice", inner.name.text);
                self.findings.push(twice(TDM3005, inner.span(), message, first));
                continue;
            }
            if let Some(argument) = inner.argument("property")
                && let Some(property) = self.reference(&argument.value, &[Metatype::Property])
                && property != field.property
            {
                let message = format!("the state field `{}` holds `{}`", field.name, field.property);
                self.error(TDM3009, argument.value.span(), message);
            }
            let given = inner.argument("name").and_then(|argument| self.text_of(&argument.value));
            let device_name = given.filter(|name| !name.is_empty()).unwrap_or_else(|| field.name.clone());
            bindings.push(StateBinding { field: field.name.clone(), device_name, property: field.property.clone() });
        }
        bindings
    }

    fn event_blocks(
        &mut self,
        blocks: &[&Selection],
        capability: &Capability,
        protocol: Protocol,
        owner: Span,
    ) -> Vec<DeviceEvent> {
        let mut names = Taken::default();
        let mut events = Vec::new();
        for block in blocks {
            if protocol != Protocol::Mqtt {
                self.error(TDM3016, block.span(), "only MQTT devices have events");
                continue;
            }
            self.known_arguments(block.arguments.as_ref(), &["name", "description"]);
            let Some(name) = self.required_of(block, "name").and_then(|argument| argument.value.as_text()) else {
                continue;
            };
            let Some(member) = capability.event(name) else {
                let message = format!("the capability has no event `{}`", super::context::clip(name));
                self.error(TDM3009, block.span(), message);
                continue;
            };
            if let Some(first) = names.take(name, block.span()) {
                let message = format!("the event `{name}` is implemented twice");
                self.findings.push(twice(TDM3005, block.span(), message, first));
                continue;
            }
            if let Some(event) = self.event_block(block, &member.name, &member.id) {
                events.push(event);
            }
        }
        for member in &capability.events {
            if names.take(&member.name, owner).is_none() {
                let message = format!("the event `{}` is not implemented", member.name);
                self.error(TDM3008, owner, message);
            }
        }
        events
    }

    fn event_block(&mut self, block: &Selection, name: &str, id: &Urn) -> Option<DeviceEvent> {
        let subscribe = self.only_block(block.children(), block.span(), "Subscribe")?;
        if !subscribe.name.is("Subscribe") {
            self.error(TDM3016, subscribe.span(), format!("unknown block `{}` in an event", subscribe.name.text));
            return None;
        }
        self.known_arguments(subscribe.arguments.as_ref(), &["topic"]);
        let topic = self.required_of(subscribe, "topic")?;
        let topic = self.topic(&topic.value, true)?;
        let declared = match &self.entity(id)?.kind {
            EntityKind::Event(event) => event.payload.clone(),
            _ => None,
        };
        let payload = self.response_payload(subscribe);
        if let (Some((written, at)), Some(wanted)) = (&payload, &declared)
            && !self.may_answer(written, wanted)
        {
            self.error(TDM3009, *at, format!("the event's payload is `{wanted}`"));
        }
        Some(DeviceEvent {
            name: name.into(),
            event: id.clone(),
            topic,
            payload: payload.map(|(id, _)| id).or(declared),
        })
    }
}

/// `ignore: void`.
pub(crate) fn is_ignore_marker(selection: &Selection) -> bool {
    selection.alias.as_ref().is_some_and(|alias| alias.is("ignore")) && selection.name.is("void")
}
