//! What `marram tdm` does with files, as pure functions: texts in, text and counts out.
//!
//! Files are checked together: entities of all files first, then flows, systems and deployments over them. A file may
//! hold any of them; the service takes one kind at a time, a designer's export holds several.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_diag::{Colour, Diagnostic, LineIndex};

use crate::check::declare::definition_directive;
use crate::check::{
    CheckOptions, Layered, Target, Template, Templates, ThingDevice, Things, check, check_deployment, check_flow,
    check_system,
};
use crate::library;
use crate::model::{Flow, Metatype, Namespace, System, Urn};
use crate::syntax::{self, FormatOptions};

/// A file to look at.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// How the file is called in messages.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Drawn over their source lines.
    Text(Colour),
    /// One JSON object per line.
    Json,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The findings, ready to print.
    pub text: String,
    /// Findings that refuse a document.
    pub errors: usize,
    /// Findings that do not.
    pub warnings: usize,
}

/// Checks files against each other and the public library. Without `namespace` ids may lie anywhere (TDM3001 is off).
/// Nothing is known of things, so roles of deployments count as satisfied.
pub fn check_files(files: &[SourceFile], namespace: Option<Namespace>, output: Output) -> Report {
    let is_bootstrap = namespace.is_none();
    let options = CheckOptions { namespace: namespace.unwrap_or_else(Namespace::public), is_bootstrap };
    let mut parts = Vec::new();
    let mut rests = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let (templates, rest) = split(&file.text);
        parts.extend(templates.into_iter().map(|(metatype, text)| (metatype, index, text)));
        rests.push(rest);
    }
    let texts: Vec<&str> = rests.iter().map(String::as_str).collect();
    let checked = check(&texts, library::public(), &options);
    let mut found: Vec<(usize, Diagnostic)> =
        checked.diagnostics.into_iter().map(|diagnostic| (diagnostic.source as usize, diagnostic)).collect();
    let source = Layered { own: &checked.model, public: library::public() };
    let mut shelf = Shelf::default();
    for wanted in [Metatype::Workflow, Metatype::System, Metatype::Deployment] {
        for (_, file, text) in parts.iter().filter(|(metatype, ..)| *metatype == wanted) {
            let diagnostics = match wanted {
                Metatype::Workflow => {
                    let outcome = check_flow(text, &source, &options);
                    shelf.flows.extend(outcome.value.map(|flow| (flow.id.clone(), Arc::new(flow))));
                    outcome.diagnostics
                }
                Metatype::System => {
                    let outcome = check_system(text, &source, &shelf, &options);
                    shelf.systems.extend(outcome.value.map(|system| (system.id.clone(), Arc::new(system))));
                    outcome.diagnostics
                }
                _ => check_deployment(text, &source, &shelf, &shelf, Target::Greengrass, &options).diagnostics,
            };
            found.extend(diagnostics.into_iter().map(|diagnostic| (*file, diagnostic)));
        }
    }
    found.sort_by_key(|(file, diagnostic)| (*file, diagnostic.span.start));
    report(files, &found, output)
}

/// The result of formatting a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formatted {
    /// It has the layout already.
    Same,
    /// The new text.
    Changed(String),
    /// It cannot be read; why.
    Refused(Report),
}

/// Formats one file.
pub fn format_file(file: &SourceFile, options: FormatOptions, output: Output) -> Formatted {
    match syntax::format(&file.text, options) {
        Ok(text) if text == file.text => Formatted::Same,
        Ok(text) => Formatted::Changed(text),
        Err(found) => {
            let found: Vec<(usize, Diagnostic)> = found.into_iter().map(|diagnostic| (0, diagnostic)).collect();
            Formatted::Refused(report(std::slice::from_ref(file), &found, output))
        }
    }
}

fn report(files: &[SourceFile], found: &[(usize, Diagnostic)], output: Output) -> Report {
    let mut text = String::new();
    let mut index: Option<(usize, LineIndex)> = None;
    for (file, diagnostic) in found {
        let SourceFile { path, text: source } = &files[*file];
        match output {
            Output::Text(colour) => {
                text.push_str(&marram_diag::render(diagnostic, path, source, colour));
                text.push_str("\n\n");
            }
            Output::Json => {
                if index.as_ref().is_none_or(|(known, _)| known != file) {
                    index = Some((*file, LineIndex::new(source)));
                }
                let (_, lines) = index.as_ref().expect("set above");
                text.push_str(&marram_diag::to_json(diagnostic, path, source, lines).to_string());
                text.push('\n');
            }
        }
    }
    let errors = found.iter().filter(|(_, diagnostic)| diagnostic.is_error()).count();
    Report { text, errors, warnings: found.len() - errors }
}

/// Each flow, system and deployment of a text alone, and the text without them. What is taken out is blanked, so that
/// every place stays where it was.
fn split(text: &str) -> (Vec<(Metatype, String)>, String) {
    let (document, _) = syntax::parse(text);
    let mut templates = Vec::new();
    let mut rest = text.as_bytes().to_vec();
    let blank = |bytes: &mut [u8]| bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    for definition in &document.definitions {
        let Some((_, metatype)) = definition_directive(definition).filter(|(_, metatype)| !metatype.is_entity()) else {
            continue;
        };
        let range = definition.place.0.range();
        let mut alone = text.as_bytes().to_vec();
        blank(&mut alone[..range.start]);
        blank(&mut alone[range.end..]);
        blank(&mut rest[range]);
        // only whole definitions were blanked, so characters stay whole
        templates.extend(String::from_utf8(alone).ok().map(|alone| (metatype, alone)));
    }
    (templates, String::from_utf8(rest).unwrap_or_default())
}

/// The flows and systems of the files checked so far.
#[derive(Default)]
struct Shelf {
    flows: BTreeMap<Urn, Arc<Flow>>,
    systems: BTreeMap<Urn, Arc<System>>,
}

impl Templates for Shelf {
    fn flow(&self, id: &Urn) -> Template<Flow> {
        self.flows.get(id).map_or(Template::Missing, |flow| Template::Usable(flow.clone()))
    }

    fn system(&self, id: &Urn) -> Template<System> {
        self.systems.get(id).map_or(Template::Missing, |system| Template::Usable(system.clone()))
    }
}

impl Things for Shelf {
    fn thing(&self, _name: &str) -> ThingDevice {
        ThingDevice::Unknown
    }
}
