//! A text checked in its world, and its findings as a page reads them.

use std::sync::OnceLock;

use marram_tdm::check::{CheckOptions, Mixed, Surroundings, Target, check_mixed};
use marram_tdm::model::Namespace;
use marram_tdm::{Diagnostic, LineIndex};
use serde_json::{Value, json};

use crate::World;
use crate::offsets::Offsets;

/// Findings answered at most; errors go first when there are more.
const MAX_DIAGNOSTICS: usize = 500;

/// The answer of `check`.
pub(crate) fn answer(text: &str, world: &dyn World) -> Value {
    let checked = check(text, world);
    let findings = Findings::new(text, checked.diagnostics);
    json!({ "diagnostics": findings.to_json(&Offsets::new(text)) })
}

/// Checks a text of any kinds in its world. Deployments are checked for a core: it reaches every protocol.
pub(crate) fn check(text: &str, world: &dyn World) -> Mixed {
    let namespace = world.namespace();
    let is_bootstrap = namespace.is_none();
    let options = CheckOptions { namespace: namespace.unwrap_or_else(Namespace::public), is_bootstrap };
    let around = Surroundings {
        entities: world.entities(),
        templates: world.templates(),
        things: world.things(),
        target: Target::Greengrass,
    };
    check_mixed(&[text], &around, &options)
}

/// A check that is made when somebody first asks for it.
pub(crate) struct Lazy<'t> {
    text: &'t str,
    world: &'t dyn World,
    made: OnceLock<Mixed>,
}

impl<'t> Lazy<'t> {
    pub fn new(text: &'t str, world: &'t dyn World) -> Self {
        Lazy { text, world, made: OnceLock::new() }
    }

    pub fn get(&self) -> &Mixed {
        self.made.get_or_init(|| check(self.text, self.world))
    }

    pub fn world(&self) -> &'t dyn World {
        self.world
    }
}

/// The findings of one text, in order of place.
pub(crate) struct Findings<'t> {
    text: &'t str,
    list: Vec<Diagnostic>,
}

impl<'t> Findings<'t> {
    pub fn new(text: &'t str, mut list: Vec<Diagnostic>) -> Self {
        if list.len() > MAX_DIAGNOSTICS {
            list.sort_by_key(|found| !found.is_error());
            list.truncate(MAX_DIAGNOSTICS);
        }
        list.sort_by_key(|found| found.span.start);
        Findings { text, list }
    }

    /// Indexes of the findings that start in `from..to`.
    pub fn within(&self, from: usize, to: usize) -> Vec<usize> {
        let first = self.list.partition_point(|found| (found.span.start as usize) < from);
        let last = self.list.partition_point(|found| (found.span.start as usize) < to);
        (first..last).collect()
    }

    pub fn to_json(&self, offsets: &Offsets<'_>) -> Value {
        let lines = LineIndex::new(self.text);
        let place = |span| {
            let (from, to) = offsets.range(span);
            json!({ "from": from, "to": to })
        };
        let one = |found: &Diagnostic| {
            let at = lines.line_col(self.text, found.span.start);
            let mut value = place(found.span);
            value["code"] = json!(found.code);
            value["severity"] = json!(found.severity);
            value["message"] = json!(found.message);
            value["line"] = json!(at.line);
            value["column"] = json!(at.column);
            let notes = found.labels.iter().map(|label| {
                let mut note = place(label.span);
                note["message"] = json!(label.text);
                note
            });
            value["notes"] = notes.collect();
            if let Some(help) = &found.help {
                value["help"] = json!(help);
            }
            if let Some(about) = &found.entity {
                value["about"] = json!(about);
            }
            if let Some(fix) = &found.fix {
                value["fix"] = place(fix.span);
                value["fix"]["text"] = json!(fix.replacement);
            }
            value
        };
        self.list.iter().map(one).collect()
    }
}
