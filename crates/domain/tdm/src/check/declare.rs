//! Finding out what the documents define: definition directives and ids (TG 1.2, section 3).

use marram_diag::Span;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{Context, twice};
use crate::codes::*;
use crate::model::{Entity, EntityKind, Metatype, Urn};
use crate::syntax::Document;
use crate::syntax::ast::{Body, Definition, Directive, Value, ValueKind};

/// A definition whose id is known.
pub(crate) struct Declared<'d> {
    pub definition: &'d Definition,
    pub directive: &'d Directive,
    pub id: Urn,
    pub aliases: Vec<Urn>,
    pub text: &'d str,
    pub source: u32,
}

/// The form a definition is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Type,
    Query,
    Enum,
}

/// Definition directives with the metatype they define and the form it has.
const DIRECTIVES: [(&str, Metatype, Form); 13] = [
    ("propertyType", Metatype::Property, Form::Type),
    ("enumType", Metatype::Enum, Form::Enum),
    ("stateType", Metatype::State, Form::Type),
    ("eventType", Metatype::Event, Form::Type),
    ("actionType", Metatype::Action, Form::Type),
    ("capabilityType", Metatype::Capability, Form::Type),
    ("mapping", Metatype::Mapping, Form::Query),
    ("deviceModel", Metatype::DeviceModel, Form::Type),
    ("device", Metatype::Device, Form::Query),
    ("service", Metatype::Service, Form::Query),
    ("workflowType", Metatype::Workflow, Form::Query),
    ("systemType", Metatype::System, Form::Type),
    ("deployment", Metatype::Deployment, Form::Query),
];

/// Directives that may stand beside the definition directive.
const SIDE_DIRECTIVES: [&str; 4] = ["annotation", "position", "triggers", "expr"];

/// The definition directive of `definition` and the metatype it defines.
pub fn definition_directive(definition: &Definition) -> Option<(&Directive, Metatype)> {
    definition.directives.iter().find_map(|directive| {
        let known = DIRECTIVES.iter().find(|(name, ..)| directive.name.is(name));
        known.map(|(_, metatype, _)| (directive, *metatype))
    })
}

impl<'a> Context<'a> {
    /// Everything the documents define, by document and position.
    pub fn declare<'d>(&mut self, documents: &'d [Document], texts: &[&'d str]) -> Vec<Declared<'d>>
    where
        'd: 'a,
    {
        let mut declared = Vec::new();
        let mut places: BTreeMap<Urn, (u32, Span)> = BTreeMap::new();
        for (index, (document, text)) in documents.iter().zip(texts).enumerate() {
            let source = u32::try_from(index).unwrap_or(u32::MAX);
            self.findings.set_source(source);
            self.text = text;
            for definition in &document.definitions {
                self.findings.set_entity(Some(definition.name.text.to_string()));
                let Some((directive, id, aliases)) = self.declaration(definition) else { continue };
                if !id.metatype().is_entity() {
                    let message = format!("a {} is not an entity of a namespace", id.metatype());
                    self.error(TDM2002, definition.keyword.0, message);
                    continue;
                }
                let mut is_new = true;
                for name in std::iter::once(&id).chain(&aliases) {
                    match places.get(name) {
                        Some((first_source, first)) => {
                            let message = format!("`{name}` is defined twice");
                            let found = twice(TDM3005, directive.place.0, message, *first);
                            let is_elsewhere = *first_source != source;
                            self.findings.push(if is_elsewhere { found_alone(found) } else { found });
                            is_new = false;
                        }
                        None => {
                            places.insert(name.clone(), (source, directive.place.0));
                            self.declared.insert(name.clone(), id.clone());
                        }
                    }
                }
                if is_new {
                    declared.push(Declared { definition, directive, id, aliases, text, source });
                }
            }
        }
        self.findings.set_entity(None);
        declared
    }

    /// The definition directive, id and alternate ids of one definition.
    pub fn declaration<'d>(&mut self, definition: &'d Definition) -> Option<(&'d Directive, Urn, Vec<Urn>)> {
        let mut found: Option<(&Directive, Metatype, Form)> = None;
        for directive in &definition.directives {
            let known = DIRECTIVES.iter().find(|(name, ..)| directive.name.is(name));
            match (known, found) {
                (Some((_, metatype, form)), None) => found = Some((directive, *metatype, *form)),
                (Some(_), Some((first, ..))) => {
                    let message = "a definition has one definition directive".to_owned();
                    self.findings.push(twice(TDM3003, directive.place.0, message, first.place.0));
                }
                (None, _) => self.known_directives(std::slice::from_ref(directive), &SIDE_DIRECTIVES),
            }
        }
        let Some((directive, metatype, form)) = found else {
            let message = format!("`{}` has no definition directive", definition.name.text);
            self.error(TDM3006, definition.name.span(), message);
            return None;
        };
        let (written, word) = match &definition.body {
            Body::Type { .. } => (Form::Type, "type"),
            Body::Query { .. } => (Form::Query, "query"),
            Body::Enum { .. } => (Form::Enum, "enum"),
        };
        if written != form {
            let message = format!("@{} does not define a `{word}`", directive.name.text);
            self.error(TDM2001, definition.keyword.0, message);
            return None;
        }
        let argument = directive.argument("id").or_else(|| directive.argument("SemTypeId"));
        let Some(argument) = argument else {
            self.error(TDM3006, directive.place.0, format!("@{} needs the argument `id`", directive.name.text));
            return None;
        };
        let ids: &[Value] = match &argument.value.kind {
            ValueKind::List(items) if metatype == Metatype::Property && !items.is_empty() => items,
            _ => std::slice::from_ref(&argument.value),
        };
        let mut urns = Vec::with_capacity(ids.len());
        for value in ids {
            let urn = self.typed_urn(value, &[metatype])?;
            if !self.options.is_bootstrap && !urn.is_within(&self.options.namespace) {
                let message = format!("`{urn}` lies outside your namespace `{}`", self.options.namespace);
                self.error(TDM3001, value.span(), message);
            }
            urns.push(urn);
        }
        let aliases = urns.split_off(1);
        let id = urns.pop()?;
        Some((directive, id, aliases))
    }

    /// Checks declared entities kind by kind and puts what could be built into `built`.
    pub fn check_entities(&mut self, declared: &[Declared<'a>]) {
        const ORDER: [Metatype; 10] = [
            Metatype::Enum,
            Metatype::Property,
            Metatype::State,
            Metatype::Event,
            Metatype::Action,
            Metatype::Capability,
            Metatype::DeviceModel,
            Metatype::Device,
            Metatype::Service,
            Metatype::Mapping,
        ];
        for metatype in ORDER {
            let mut of_kind: Vec<&Declared<'a>> =
                declared.iter().filter(|declared| declared.id.metatype() == metatype).collect();
            if matches!(metatype, Metatype::State | Metatype::Capability) {
                of_kind = self.parents_first(of_kind);
            }
            for one in of_kind {
                // the documents are refused and the list of reasons is full: what follows could only cost time
                if self.findings.error_count() >= MAX_DIAGNOSTICS {
                    return;
                }
                self.enter(one);
                if let Some(kind) = self.check_kind(one, declared) {
                    let entity = Entity {
                        id: one.id.clone(),
                        aliases: one.aliases.clone(),
                        name: one.definition.name.text.clone(),
                        description: self.description(one.definition, one.directive),
                        kind,
                        source: one.definition.slice.0.text(one.text).to_owned(),
                        references: std::mem::take(&mut self.references)
                            .into_iter()
                            .filter(|id| *id != one.id)
                            .collect(),
                    };
                    self.built.insert(Arc::new(entity));
                }
            }
            if metatype == Metatype::State {
                // types made while states were missing lack their fields
                self.types.take();
            }
        }
        self.link_mappings(declared);
        self.check_containment(declared);
        self.findings.set_entity(None);
    }

    /// Makes `declared` what findings and places are about.
    pub fn enter(&mut self, declared: &Declared<'a>) {
        self.findings.set_source(declared.source);
        self.findings.set_entity(Some(declared.id.to_string()));
        self.text = declared.text;
        self.references.clear();
    }

    fn check_kind(&mut self, one: &Declared<'a>, all: &[Declared<'a>]) -> Option<EntityKind> {
        Some(match one.id.metatype() {
            Metatype::Property => EntityKind::Property(self.property(one, all)?),
            Metatype::Enum => EntityKind::Enum(self.enumeration(one)?),
            Metatype::State => EntityKind::State(self.state(one)?),
            Metatype::Event => EntityKind::Event(self.event(one)?),
            Metatype::Action => EntityKind::Action(self.action(one)?),
            Metatype::Capability => EntityKind::Capability(self.capability(one)?),
            Metatype::DeviceModel => EntityKind::DeviceModel(self.device_model(one)?),
            Metatype::Device => EntityKind::Device(self.device(one)?),
            Metatype::Service => EntityKind::Service(self.service(one)?),
            Metatype::Mapping => EntityKind::Mapping(self.mapping(one)?),
            _ => return None,
        })
    }

    /// The `@<usage>(id)` reference of a field or interface: its directive and the identity it names.
    pub fn usage<'d>(
        &mut self,
        directives: &'d [Directive],
        name: &str,
        metatype: Metatype,
    ) -> Option<(&'d Directive, Urn)> {
        let directive = directives.iter().find(|directive| directive.name.is(name))?;
        let id = self.required(directive, "id")?;
        Some((directive, self.reference(&id.value, &[metatype])?))
    }

    /// Warns when a body that holds nothing holds something.
    pub fn expect_empty(&mut self, definition: &Definition) {
        let Body::Type { fields, implements } = &definition.body else { return };
        for field in fields.iter().filter(|field| !field.is_ignore_marker()) {
            let message = format!("the field `{}` has no meaning here and is ignored", field.name.text);
            self.warning(TDM3007, field.name.span(), message);
        }
        for parent in implements {
            self.warning(TDM3007, parent.name.span(), "`implements` has no meaning here and is ignored");
        }
    }
}

/// A finding whose second place lies in another document, where it cannot be shown.
fn found_alone(mut diagnostic: marram_diag::Diagnostic) -> marram_diag::Diagnostic {
    diagnostic.labels.clear();
    diagnostic
}

/// Names already taken in one case-insensitive space, with where.
#[derive(Default)]
pub(crate) struct Taken(BTreeMap<SmolStr, Span>);

impl Taken {
    /// Takes `name`; answers where it was taken first if it was.
    pub fn take(&mut self, name: &str, at: Span) -> Option<Span> {
        let key = SmolStr::new(name.to_lowercase());
        match self.0.get(&key) {
            Some(first) => Some(*first),
            None => {
                self.0.insert(key, at);
                None
            }
        }
    }
}
