//! Uploads: a document against a namespace version, giving the next one (TG section 8).

use std::collections::BTreeSet;

use marram_diag::{Diagnostic, LineIndex};

use super::declare::definition_directive;
use super::{CheckOptions, EntitySource, check};
use crate::model::{Model, Urn};
use crate::syntax;

/// What an upload makes of a namespace version.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// The whole new version. Usable iff `reasons` is empty.
    pub model: Model,
    /// Entities that did not exist before, by lower-case URN.
    pub added: Vec<Urn>,
    /// Entities whose normalised definition differs.
    pub changed: Vec<Urn>,
    /// Entities of the document that were there already and say the same. The new text is kept.
    pub unchanged: Vec<Urn>,
    /// Everything found, warnings too. `source` 0 is the document, others are untouched entities.
    pub diagnostics: Vec<Diagnostic>,
    /// Errors as `"<code> line:col <entity>: <message>"`, places counted in the document or in the entity's own text.
    pub reasons: Vec<String>,
}

/// Checks `document` over the entities of `existing`. The whole new version is checked: a change that breaks an entity
/// it does not touch is refused, naming that entity.
pub fn check_upload(document: &str, existing: &Model, public: &dyn EntitySource, options: &CheckOptions) -> Uploaded {
    let redefined = defined_ids(document);
    let untouched = existing.entities().filter(|entity| !redefined.contains(&entity.id));
    let mut texts = vec![document];
    texts.extend(untouched.map(|entity| entity.source.as_str()));
    let checked = check(&texts, public, options);
    let (mut added, mut changed, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
    for entity in checked.model.entities().filter(|entity| redefined.contains(&entity.id)) {
        let list = match existing.get(&entity.id) {
            None => &mut added,
            Some(old) if says_the_same(&old.source, &entity.source) => &mut unchanged,
            Some(_) => &mut changed,
        };
        list.push(entity.id.clone());
    }
    let errors = checked.diagnostics.iter().filter(|found| found.is_error());
    let mut index: Option<(u32, LineIndex)> = None;
    let mut reasons = Vec::new();
    for found in errors {
        let text = texts[found.source as usize];
        if index.as_ref().is_none_or(|(source, _)| *source != found.source) {
            index = Some((found.source, LineIndex::new(text)));
        }
        let (_, lines) = index.as_ref().expect("set above");
        reasons.push(marram_diag::one_line(found, text, lines));
    }
    Uploaded { model: checked.model, added, changed, unchanged, diagnostics: checked.diagnostics, reasons }
}

/// The ids and alternate ids a document gives to definitions, as far as they can be read.
fn defined_ids(document: &str) -> BTreeSet<Urn> {
    let (parsed, _) = syntax::parse(document);
    let mut ids = BTreeSet::new();
    for definition in &parsed.definitions {
        let Some((directive, _)) = definition_directive(definition) else { continue };
        let Some(argument) = directive.argument("id").or_else(|| directive.argument("SemTypeId")) else { continue };
        let values = match &argument.value.kind {
            syntax::ast::ValueKind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&argument.value),
        };
        ids.extend(values.iter().filter_map(|value| Urn::parse(value.as_text()?).ok()));
    }
    ids
}

/// Whether two definition texts differ at most in layout, comments, commas, quotes and the case of keywords.
pub fn says_the_same(one: &str, other: &str) -> bool {
    let normal = |text: &str| {
        let (document, _) = syntax::parse(text);
        document.definitions.iter().map(syntax::normalise).collect::<Vec<_>>()
    };
    one == other || normal(one) == normal(other)
}
