//! Capabilities and device models (TG 3.6, 3.7).

use marram_diag::Span;

use super::context::{Context, twice};
use super::declare::{Declared, Taken};
use crate::codes::*;
use crate::model::{Capability, DeviceModel, EntityKind, Member, Metatype};
use crate::syntax::ast::Body;

/// Usage directives of a capability's fields.
const USAGES: [(&str, Metatype); 3] =
    [("state", Metatype::State), ("action", Metatype::Action), ("event", Metatype::Event)];

impl Context<'_> {
    pub fn capability(&mut self, one: &Declared<'_>) -> Option<Capability> {
        let Body::Type { implements, fields } = &one.definition.body else { return None };
        self.known_arguments(one.directive.arguments.as_ref(), &["id", "SemTypeId", "description", "name"]);
        let parents = self.parents(implements, "capabilityType", Metatype::Capability);
        if !self.has_room(fields.len(), 0, one.definition.name.span()) {
            return None;
        }
        let mut capability =
            Capability { parents: parents.clone(), state: None, actions: Vec::new(), events: Vec::new() };
        for parent in &parents {
            let Some(entity) = self.entity(parent) else { continue };
            let EntityKind::Capability(inherited) = &entity.kind else { continue };
            let count = inherited.actions.len() + inherited.events.len() + 1;
            let own = fields.len() + capability.actions.len() + capability.events.len();
            if !self.has_room(own, count, one.definition.name.span()) {
                return None;
            }
            let members = inherited.state.iter().chain(&inherited.actions).chain(&inherited.events);
            for member in members {
                self.references.insert(member.id.clone());
                self.add_member(&mut capability, member.clone(), one.definition.name.span(), true);
            }
        }
        let mut names = Taken::default();
        let mut first_state: Option<Span> = None;
        for field in fields.iter().filter(|field| !field.is_ignore_marker()) {
            self.known_directives(&field.directives, &["state", "action", "event", "annotation", "position"]);
            let mut usages = USAGES.iter().filter(|(name, _)| field.directive(name).is_some());
            let (Some((name, metatype)), None) = (usages.next(), usages.next()) else {
                let message = format!("`{}` needs one of @state, @action and @event", field.name.text);
                self.error(TDM3006, field.name.span(), message);
                continue;
            };
            if let Some(first) = names.take(&field.name.text, field.name.span()) {
                let message = format!("the capability has two members `{}`", field.name.text);
                self.findings.push(twice(TDM3005, field.name.span(), message, first));
                continue;
            }
            if *metatype == Metatype::State {
                if let Some(first) = first_state {
                    let message = "a capability has at most one state".to_owned();
                    self.findings.push(twice(TDM3005, field.name.span(), message, first));
                    continue;
                }
                first_state = Some(field.name.span());
            }
            if let Some((directive, id)) = self.usage(&field.directives, name, *metatype) {
                self.known_arguments(directive.arguments.as_ref(), &["id", "description", "name"]);
                let member = Member { name: field.name.text.clone(), id };
                self.add_member(&mut capability, member, field.name.span(), false);
            }
        }
        Some(capability)
    }

    /// Adds a member; an identical inherited one collapses, a conflicting one is TDM3009.
    fn add_member(&mut self, capability: &mut Capability, member: Member, at: Span, is_inherited: bool) {
        let all = capability.state.iter().chain(&capability.actions).chain(&capability.events);
        let same_name = all.clone().find(|known| known.name.eq_ignore_ascii_case(&member.name));
        match same_name {
            Some(known) if known.id == member.id => return,
            Some(known) => {
                let message = format!("`{}` is inherited as `{}`, not as `{}`", member.name, known.id, member.id);
                self.error(TDM3009, at, message);
                return;
            }
            None => {}
        }
        match member.id.metatype() {
            Metatype::State => match &capability.state {
                Some(known) if known.id != member.id => {
                    let message = format!("the capability already inherits the state `{}`", known.id);
                    self.error(TDM3009, at, message);
                }
                Some(_) if is_inherited => {}
                _ => capability.state = Some(member),
            },
            Metatype::Action => capability.actions.push(member),
            _ => capability.events.push(member),
        }
    }

    pub fn device_model(&mut self, one: &Declared<'_>) -> Option<DeviceModel> {
        self.known_arguments(
            one.directive.arguments.as_ref(),
            &["id", "SemTypeId", "description", "name", "capability"],
        );
        self.expect_empty(one.definition);
        let argument = self.required(one.directive, "capability")?;
        let capability = self.reference(&argument.value, &[Metatype::Capability])?;
        Some(DeviceModel { capability })
    }
}
