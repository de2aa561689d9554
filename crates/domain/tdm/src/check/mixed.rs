//! Documents that mix kinds: entities of all texts first, then flows, systems and deployments over them.
//!
//! The service takes one kind at a time; files and editors hold several. Each flow, system and deployment is checked as
//! a document of its own, cut out of its text; the rest of the text, with those blanked out, holds the entities. So the
//! cost stays proportional to the text, however many definitions it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_diag::{Diagnostic, Span};

use super::declare::definition_directive;
use super::{
    CheckOptions, EntitySource, Target, Template, Templates, Things, check, check_deployment, check_flow, check_system,
};
use crate::codes::{MAX_DIAGNOSTICS, TDM1005};
use crate::model::{Deployment, Entity, Flow, Metatype, Model, System, Urn};

/// Flows, systems and deployments checked in one text. A megabyte holds thousands of tiny ones, and each costs a look
/// at every mapping of the namespace.
pub const MAX_TEMPLATES: usize = 1_000;

/// What the documents are checked against.
#[derive(Clone, Copy)]
pub struct Surroundings<'w> {
    /// Entities the documents do not define.
    pub entities: &'w dyn EntitySource,
    /// Flows and systems they do not define.
    pub templates: &'w dyn Templates,
    /// Things that deployments bind.
    pub things: &'w dyn Things,
    /// Where deployments run.
    pub target: Target,
}

/// What checking mixed documents found out.
#[derive(Clone, Debug, Default)]
pub struct Mixed {
    /// The entities that could be built.
    pub model: Model,
    /// Flows without errors, in the order of texts and places.
    pub flows: Vec<Arc<Flow>>,
    /// Systems without errors.
    pub systems: Vec<Arc<System>>,
    /// Deployments without errors.
    pub deployments: Vec<Deployment>,
    /// By text (`source` is its index), then by position.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks texts of any kind together.
pub fn check_mixed(texts: &[&str], around: &Surroundings<'_>, options: &CheckOptions) -> Mixed {
    let mut parts: Vec<(Metatype, usize, Span)> = Vec::new();
    let mut rests = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let (templates, rest) = split(text);
        parts.extend(templates.into_iter().map(|(metatype, span)| (metatype, index, span)));
        rests.push(rest);
    }
    let rests: Vec<&str> = rests.iter().map(String::as_str).collect();
    let checked = check(&rests, around.entities, options);
    let mut mixed = Mixed { model: checked.model, diagnostics: checked.diagnostics, ..Mixed::default() };
    if let Some((_, text, span)) = parts.get(MAX_TEMPLATES) {
        let message = format!("more than {MAX_TEMPLATES} flows, systems and deployments");
        let found = Diagnostic::error(TDM1005, *span, message);
        mixed.diagnostics.push(Diagnostic { source: u32::try_from(*text).unwrap_or(u32::MAX), ..found });
        parts.truncate(MAX_TEMPLATES);
    }
    let model = std::mem::take(&mut mixed.model);
    let source = Over { own: &model, around: around.entities };
    let mut shelf = Shelf { flows: BTreeMap::new(), systems: BTreeMap::new(), around: around.templates };
    for wanted in [Metatype::Workflow, Metatype::System, Metatype::Deployment] {
        for (_, index, span) in parts.iter().filter(|(metatype, ..)| *metatype == wanted) {
            if mixed.diagnostics.iter().filter(|found| found.is_error()).count() >= MAX_DIAGNOSTICS * texts.len() {
                break;
            }
            let text = span.text(texts[*index]);
            let diagnostics = match wanted {
                Metatype::Workflow => {
                    let outcome = check_flow(text, &source, options);
                    if let Some(flow) = outcome.value.map(Arc::new) {
                        shelf.flows.insert(flow.id.clone(), flow.clone());
                        mixed.flows.push(flow);
                    }
                    outcome.diagnostics
                }
                Metatype::System => {
                    let outcome = check_system(text, &source, &shelf, options);
                    if let Some(system) = outcome.value.map(Arc::new) {
                        shelf.systems.insert(system.id.clone(), system.clone());
                        mixed.systems.push(system);
                    }
                    outcome.diagnostics
                }
                _ => {
                    let outcome = check_deployment(text, &source, &shelf, around.things, around.target, options);
                    mixed.deployments.extend(outcome.value);
                    outcome.diagnostics
                }
            };
            mixed.diagnostics.extend(diagnostics.into_iter().map(|found| moved(found, *index, span.start)));
        }
    }
    mixed.model = model;
    mixed.diagnostics.sort_by_key(|found| (found.source, found.span.start));
    mixed
}

/// A finding about a part of a text as one about the text.
fn moved(mut found: Diagnostic, source: usize, by: u32) -> Diagnostic {
    let shift = |span: &mut Span| {
        span.start = span.start.saturating_add(by);
        span.end = span.end.saturating_add(by);
    };
    found.source = u32::try_from(source).unwrap_or(u32::MAX);
    shift(&mut found.span);
    found.labels.iter_mut().for_each(|label| shift(&mut label.span));
    found.fix.iter_mut().for_each(|fix| shift(&mut fix.span));
    found
}

/// Where each flow, system and deployment of a text stands, and the text without them. What is taken out is blanked,
/// so that every place stays where it was.
fn split(text: &str) -> (Vec<(Metatype, Span)>, String) {
    let (document, _) = crate::syntax::parse(text);
    let mut templates = Vec::new();
    let mut rest = text.as_bytes().to_vec();
    for definition in &document.definitions {
        let Some((_, metatype)) = definition_directive(definition).filter(|(_, metatype)| !metatype.is_entity()) else {
            continue;
        };
        let span = definition.place.0;
        if let Some(bytes) = rest.get_mut(span.range()) {
            bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
            templates.push((metatype, span));
        }
    }
    // only whole definitions were blanked, so characters stay whole
    (templates, String::from_utf8(rest).unwrap_or_default())
}

/// Entities of the texts over those around them.
struct Over<'m> {
    own: &'m Model,
    around: &'m dyn EntitySource,
}

impl EntitySource for Over<'_> {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        self.own.get(id).cloned().or_else(|| self.around.entity(id))
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        let mut mappings = self.around.mappings();
        mappings.retain(|mapping| self.own.get(&mapping.id).is_none());
        mappings.extend(self.own.mappings().cloned());
        mappings
    }
}

/// The flows and systems checked so far over those around them.
struct Shelf<'w> {
    flows: BTreeMap<Urn, Arc<Flow>>,
    systems: BTreeMap<Urn, Arc<System>>,
    around: &'w dyn Templates,
}

impl Templates for Shelf<'_> {
    fn flow(&self, id: &Urn) -> Template<Flow> {
        self.flows.get(id).map_or_else(|| self.around.flow(id), |flow| Template::Usable(flow.clone()))
    }

    fn system(&self, id: &Urn) -> Template<System> {
        self.systems.get(id).map_or_else(|| self.around.system(id), |system| Template::Usable(system.clone()))
    }
}

/// A place without flows, systems and knowledge of things: what a check offline sees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Templates for Offline {
    fn flow(&self, _id: &Urn) -> Template<Flow> {
        Template::Missing
    }

    fn system(&self, _id: &Urn) -> Template<System> {
        Template::Missing
    }
}

impl Things for Offline {
    fn thing(&self, _name: &str) -> super::ThingDevice {
        super::ThingDevice::Unknown
    }
}
