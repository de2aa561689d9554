//! What flow, system and deployment documents have in common, and what they ask of the world.

use std::sync::Arc;

use marram_diag::Diagnostic;

use super::context::Context;
use super::declare::definition_directive;
use crate::codes::*;
use crate::model::{Flow, Metatype, System, Urn};
use crate::syntax::Document;
use crate::syntax::ast::{Definition, Directive};

/// A checked document.
#[derive(Clone, Debug)]
pub struct Outcome<T> {
    /// Present iff no diagnostic is an error.
    pub value: Option<T>,
    /// By position.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> Outcome<T> {
    pub(crate) fn new(value: Option<T>, diagnostics: Vec<Diagnostic>) -> Self {
        let value = value.filter(|_| !marram_diag::has_errors(&diagnostics));
        Outcome { value, diagnostics }
    }
}

/// What a flow or system id stands for.
#[derive(Clone, Debug)]
pub enum Template<T> {
    /// Nothing (TDM3004).
    Missing,
    /// Its latest revision.
    Usable(Arc<T>),
    /// Marked deprecated, or deleted (TDM5005).
    Deprecated,
}

/// The flows and systems a document may name.
pub trait Templates {
    /// The flow of that id.
    fn flow(&self, id: &Urn) -> Template<Flow>;

    /// The system of that id.
    fn system(&self, id: &Urn) -> Template<System>;
}

/// What a thing is, for TDM5002.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThingDevice {
    /// No thing of that name.
    Missing,
    /// Not associated with a device.
    Unassociated,
    /// Associated with this Device.
    Device(Urn),
    /// Nothing is known of things here (a check offline): the role counts as satisfied.
    Unknown,
}

/// The things of the account and their associations.
pub trait Things {
    /// What the thing of that name is.
    fn thing(&self, name: &str) -> ThingDevice;
}

/// Where a deployment runs (TG 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// In the control plane: no Modbus (TDM5006).
    Cloud,
    /// On a core.
    Greengrass,
}

impl Context<'_> {
    /// The one definition of `metatype`; TDM2005 when there is another number of them or anything else.
    pub fn single<'d>(
        &mut self,
        document: &'d Document,
        metatype: Metatype,
    ) -> Option<(&'d Definition, &'d Directive, Urn)> {
        let is_wanted =
            |definition: &&Definition| definition_directive(definition).is_some_and(|(_, found)| found == metatype);
        let mut wanted = document.definitions.iter().filter(is_wanted);
        let first = wanted.next();
        for further in wanted {
            let message = format!("the document defines more than one {metatype}");
            self.error(TDM2005, further.name.span(), message);
        }
        for other in document.definitions.iter().filter(|definition| !is_wanted(definition)) {
            let message = format!("only one {metatype} is expected here");
            self.error(TDM2005, other.name.span(), message);
        }
        let Some(definition) = first else {
            self.error(TDM2005, marram_diag::Span::at(0), format!("the document defines no {metatype}"));
            return None;
        };
        self.findings.set_entity(Some(definition.name.text.to_string()));
        let (directive, id, _) = self.declaration(definition)?;
        self.findings.set_entity(Some(id.to_string()));
        Some((definition, directive, id))
    }

    /// `@triggers(definition: "...")` of the designer: parsed as a fragment, problems are warnings (TG 3.11).
    pub fn stored_triggers(&mut self, directive: &Directive) {
        let Some(argument) = directive.argument("definition") else { return };
        let Some(text) = argument.value.as_text() else { return };
        let (_, found) = crate::syntax::parse_fragment(text);
        if let Some(first) = found.first() {
            let message = format!("the stored triggers cannot be read: {}", first.message);
            self.warning(TDM5003, argument.value.span(), message);
        }
    }
}
