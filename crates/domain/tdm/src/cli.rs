//! What `marram tdm` does with files, as pure functions: texts in, text and counts out.
//!
//! Files are checked together: entities of all files first, then flows, systems and deployments over them. A file may
//! hold any of them; the service takes one kind at a time, a designer's export holds several.

use marram_diag::{Colour, Diagnostic, LineIndex};

use crate::check::{CheckOptions, Offline, Surroundings, Target, check_mixed};
use crate::library;
use crate::model::Namespace;
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
    let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
    let around =
        Surroundings { entities: library::public(), templates: &Offline, things: &Offline, target: Target::Greengrass };
    let checked = check_mixed(&texts, &around, &options);
    let found: Vec<(usize, Diagnostic)> =
        checked.diagnostics.into_iter().map(|diagnostic| (diagnostic.source as usize, diagnostic)).collect();
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
