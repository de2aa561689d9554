//! Systems: named roles for things, flows, services and nested systems (TG 3.12).

use marram_diag::Span;
use smol_str::SmolStr;

use super::context::{Context, twice};
use super::declare::Taken;
use super::document::{Outcome, Template, Templates};
use super::{CheckOptions, EntitySource};
use crate::codes::*;
use crate::model::{Metatype, Role, RoleKind, System, Urn};
use crate::syntax::ast::{Body, Field, Value};

/// Most roles of a system, nested ones included.
const MAX_ROLES: usize = 2_000;

const USAGES: [(&str, &[Metatype]); 4] = [
    ("thing", &[Metatype::Device, Metatype::DeviceModel]),
    ("workflow", &[Metatype::Workflow]),
    ("service", &[Metatype::Service]),
    ("system", &[Metatype::System]),
];

/// Checks a system document: exactly one `@systemType` (TDM2005).
pub fn check_system(
    document: &str,
    source: &dyn EntitySource,
    templates: &dyn Templates,
    options: &CheckOptions,
) -> Outcome<System> {
    let mut context = Context::new(source, options);
    context.text = document;
    let (parsed, found) = crate::syntax::parse(document);
    found.into_iter().for_each(|diagnostic| context.findings.push(diagnostic));
    let system = context.single(&parsed, Metatype::System).and_then(|(definition, directive, id)| {
        context.known_arguments(directive.arguments.as_ref(), &["id", "SemTypeId", "description", "name"]);
        let Body::Type { fields, implements } = &definition.body else { return None };
        for parent in implements {
            context.warning(TDM3007, parent.name.span(), "a system implements nothing; ignored");
        }
        let roles = context.roles(fields, templates, &id);
        let references = std::mem::take(&mut context.references).into_iter().collect();
        let description = context.description(definition, directive);
        Some(System { id, name: definition.name.text.clone(), description, roles, references })
    });
    Outcome::new(system, context.findings.into_sorted())
}

impl Context<'_> {
    fn roles(&mut self, fields: &[Field], templates: &dyn Templates, own: &Urn) -> Vec<Role> {
        let mut names = Taken::default();
        let mut roles = Vec::new();
        for field in fields.iter().filter(|field| !field.is_ignore_marker()) {
            self.known_directives(
                &field.directives,
                &["thing", "workflow", "service", "system", "expr", "annotation", "position"],
            );
            if let Some(first) = names.take(&field.name.text, field.name.span()) {
                let message = format!("the system has two roles `{}`", field.name.text);
                self.findings.push(twice(TDM3005, field.name.span(), message, first));
                continue;
            }
            let mut usages = USAGES.iter().filter(|(name, _)| field.directive(name).is_some());
            let (Some((usage, wanted)), None) = (usages.next(), usages.next()) else {
                // a scalar with @expr is stored with the document and never evaluated
                if field.directive("expr").is_none() {
                    let message = format!("`{}` needs one of @thing, @workflow, @service and @system", field.name.text);
                    self.error(TDM3006, field.name.span(), message);
                }
                continue;
            };
            let directive = field.directive(usage).expect("the filter found it");
            self.known_arguments(directive.arguments.as_ref(), &["id", "description", "name"]);
            let Some(argument) = self.required(directive, "id") else { continue };
            let name = &field.name.text;
            match *usage {
                "workflow" => {
                    if let Some(id) = self.flow_reference(&argument.value, templates) {
                        roles.push(Role { name: name.clone(), kind: RoleKind::Flow(id) });
                    }
                }
                "system" => self.nested(name, &argument.value, templates, own, &mut roles),
                _ => {
                    if let Some(id) = self.reference(&argument.value, wanted) {
                        let kind = if *usage == "thing" { RoleKind::Thing(id) } else { RoleKind::Service(id) };
                        roles.push(Role { name: name.clone(), kind });
                    }
                }
            }
            if roles.len() > MAX_ROLES {
                self.error(TDM1005, field.name.span(), format!("the system has more than {MAX_ROLES} roles"));
                break;
            }
        }
        roles
    }

    fn flow_reference(&mut self, value: &Value, templates: &dyn Templates) -> Option<Urn> {
        let urn = self.typed_urn(value, &[Metatype::Workflow])?;
        let flow = templates.flow(&urn);
        let flow = self.usable(flow, &urn, value.span())?;
        self.references.insert(flow.id.clone());
        Some(flow.id.clone())
    }

    fn nested(&mut self, name: &SmolStr, value: &Value, templates: &dyn Templates, own: &Urn, roles: &mut Vec<Role>) {
        let Some(urn) = self.typed_urn(value, &[Metatype::System]) else { return };
        if urn == *own {
            self.error(TDM3015, value.span(), format!("`{urn}` contains itself"));
            return;
        }
        let Some(system) = self.usable(templates.system(&urn), &urn, value.span()) else { return };
        if system.references.contains(own) {
            self.error(TDM3015, value.span(), format!("`{urn}` contains `{own}`"));
            return;
        }
        self.references.insert(system.id.clone());
        self.references.extend(system.references.iter().cloned());
        roles.push(Role { name: name.clone(), kind: RoleKind::System(system.id.clone()) });
        roles.extend(
            system
                .roles
                .iter()
                .map(|role| Role { name: SmolStr::new(format!("{name}.{}", role.name)), kind: role.kind.clone() }),
        );
    }

    /// TDM3004 or TDM5005 unless the template can be used.
    pub fn usable<T>(&mut self, template: Template<T>, id: &Urn, at: Span) -> Option<std::sync::Arc<T>> {
        match template {
            Template::Usable(found) => return Some(found),
            Template::Missing => self.error(TDM3004, at, format!("`{id}` does not exist")),
            Template::Deprecated => self.error(TDM5005, at, format!("`{id}` is deprecated or deleted")),
        }
        None
    }
}
