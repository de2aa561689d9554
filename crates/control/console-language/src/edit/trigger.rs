//! Triggers (TG 3.13, 3.14): those of a deployment, and those the designer stores with a flow in `@triggers`.
//!
//! Both are written alike. Those of a flow stand inside a string, so their text is edited as a text of its own and the
//! changes are carried over into the string, escape by escape: what they do not touch stays as the author wrote it.

use std::ops::Range;

use marram_tdm::syntax::ast::{Body, Definition, Directive, Selection, Value};
use marram_tdm::syntax::escape;

use super::Bench;
use super::board::body;
use super::sheet::{Lines, Patch, Sheet, header_end};
use super::step::{call_text, move_directive};
use super::{fresh_name, position_text};
use crate::LanguageError;
use crate::drawing::deployment_parts;
use crate::outline::{children, text_of};
use crate::request::{Request, clip};
use crate::types::is_word;

/// Most actions of a trigger an edit may set.
const MAX_ACTIONS: usize = 100;

// ---- deployments

pub(super) fn change(
    sheet: &Sheet<'_>,
    definition: &Definition,
    op: &str,
    edit: &Request<'_>,
) -> Result<Vec<Patch>, LanguageError> {
    let all = deployment_parts(definition).triggers;
    if op != "add-trigger" {
        return change_one(sheet, &all, op, edit);
    }
    let lines = new_trigger(sheet, &all, edit)?;
    let Body::Query { selections, .. } = &definition.body else {
        return Err(LanguageError::about("deployment", "a deployment is a `query`"));
    };
    let block = selections.iter().find(|block| block.name.is("triggers") && block.argument("deviceId").is_none());
    if let Some(block) = block {
        return Ok(vec![sheet.append(block, &lines)]);
    }
    let mut whole: Lines = vec![(0, "triggers {".to_owned())];
    whole.extend(lines.into_iter().map(|(depth, line)| (depth + 1, line)));
    whole.push((0, "}".to_owned()));
    let spans: Vec<_> = selections.iter().map(|selection| selection.place.0).collect();
    let block = body(sheet, definition, spans, "deployment")?;
    Ok(vec![sheet.insert_child(&block, block.children.len().checked_sub(1), &whole)])
}

// ---- flows

impl Bench<'_, '_> {
    /// `op` on a trigger stored with the flow.
    pub(super) fn change_trigger(&self, op: &str, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let definition = self.flow.definition;
        let stored = definition.directive("triggers");
        let value = stored.and_then(|directive| directive.argument("definition")).map(|argument| &argument.value);
        let text = value.and_then(Value::as_text).map_or("", |text| text.as_str());
        let literal = value.map_or("", |value| value.span().text(self.sheet.text));
        let outer = literal.chars().next().filter(|quote| *quote == '\'').unwrap_or('"');
        let fragment = Fragment::new(text, if outer == '"' { '\'' } else { '"' });
        let sheet = fragment.sheet()?;
        let (holder, all) = triggers(&sheet);
        if op == "remove-trigger"
            && let ([only], Some(stored)) = (all.as_slice(), stored)
            && edit.string("trigger")?.eq_ignore_ascii_case(&only.name.text)
        {
            return Ok(vec![self.sheet.remove(stored.place.0)]);
        }
        let inner = if op == "add-trigger" {
            let line = Sheet::in_line(&new_trigger(&sheet, &all, edit)?);
            match holder {
                Some(block) => vec![sheet.append(block, &vec![(0, line)])],
                None => {
                    let (definition, spans) = (&sheet.document.definitions[0], top(&sheet));
                    let spans: Vec<_> = spans.iter().map(|selection| selection.place.0).collect();
                    let block = body(&sheet, definition, spans, "triggers")?;
                    vec![sheet.insert_child(&block, block.children.len().checked_sub(1), &vec![(0, line)])]
                }
            }
        } else {
            change_one(&sheet, &all, op, edit)?
        };
        let mut patches = match value {
            Some(value) => fragment.carried(inner, value.span().start as usize, literal),
            None => {
                let written = self.sheet.quoted(&format!("{{ {} }}", fragment.edited(inner).trim()));
                match stored {
                    Some(directive) => {
                        let name_end = directive.name.span().end as usize;
                        self.sheet.set_argument(directive.arguments.as_ref(), name_end, "definition", Some(&written))
                    }
                    None => {
                        let end = definition.directives.last().map_or_else(
                            || definition.name.span().end as usize,
                            |directive| directive.place.0.end as usize,
                        );
                        vec![Patch::insert(end, format!(" @triggers(definition: {written})"))]
                    }
                }
            }
        };
        if let ("set-trigger", Some(to)) = (op, edit.optional("name")?) {
            patches.extend(self.rename_annotation(edit.string("trigger")?, to));
        }
        Ok(patches)
    }

    /// The original console keeps drawing data in annotations with a node's name as their id.
    fn rename_annotation(&self, from: &str, to: &str) -> Vec<Patch> {
        let ids = self.flow.definition.directives.iter().filter_map(|directive| annotation_of(directive, from));
        ids.map(|id| Patch::replace(id.span(), self.sheet.quoted(to))).collect()
    }

    /// Moves a stored trigger: its `@position`, else the annotation it has.
    pub(super) fn move_trigger(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let name = edit.string("trigger")?;
        let directives = &self.flow.definition.directives;
        match directives.iter().find(|directive| annotation_of(directive, name).is_some()) {
            Some(annotation) => move_directive(self.sheet, annotation, edit),
            None => self.change_trigger("move", edit),
        }
    }
}

fn annotation_of<'d>(directive: &'d Directive, name: &str) -> Option<&'d Value> {
    let id = &directive.argument("id").filter(|_| directive.name.is("annotation"))?.value;
    id.as_text().is_some_and(|text| text.eq_ignore_ascii_case(name)).then_some(id)
}

// ---- one trigger

fn change_one(
    sheet: &Sheet<'_>,
    all: &[&Selection],
    op: &str,
    edit: &Request<'_>,
) -> Result<Vec<Patch>, LanguageError> {
    let name = edit.string("trigger")?;
    let missing = || LanguageError::about("trigger", format!("there is no trigger `{}`", clip(name)));
    let trigger = *all.iter().find(|trigger| trigger.name.is(name)).ok_or_else(missing)?;
    match op {
        "remove-trigger" => Ok(vec![sheet.remove(trigger.place.0)]),
        "move" => match trigger.directive("position") {
            Some(directive) => move_directive(sheet, directive, edit),
            None => Ok(vec![Patch::insert(header_end(trigger), format!(" {}", position_text(edit)?))]),
        },
        "set-trigger" => set(sheet, all, trigger, edit),
        _ => Err(LanguageError::about("op", format!("there is no edit `{}` of a trigger", clip(op)))),
    }
}

/// What an edit names is changed; `null` takes a description away.
fn set(
    sheet: &Sheet<'_>,
    all: &[&Selection],
    trigger: &Selection,
    edit: &Request<'_>,
) -> Result<Vec<Patch>, LanguageError> {
    let mut patches = Vec::new();
    if let Some(to) = edit.optional("name")?
        && to != trigger.name.text
    {
        check_name(to, all, Some(trigger))?;
        patches.push(Patch::replace(trigger.name.span(), to));
    }
    if edit.has("description") {
        let text = edit.optional("description")?.filter(|text| !text.is_empty());
        patches.extend(sheet.set_of(trigger, "description", text.map(|text| sheet.quoted(text)).as_deref()));
    }
    let mut lines = Lines::new();
    if let Some(condition) = edit.optional("condition")? {
        check_condition(condition)?;
        let quoted = sheet.quoted(condition);
        match children(trigger).find(|part| part.name.is("condition")) {
            Some(part) => patches.extend(sheet.set_of(part, "expr", Some(&quoted))),
            None => lines.push((0, format!("condition(expr: {quoted})"))),
        }
    }
    if edit.has("actions") {
        let wanted = actions(edit)?;
        let known: Vec<&Selection> = children(trigger).filter(|part| part.name.is("action")).collect();
        for (index, part) in known.iter().enumerate() {
            match wanted.get(index) {
                Some(text) if text_of(part, "expr").is_some_and(|known| known == text) => {}
                Some(text) => patches.extend(sheet.set_of(part, "expr", Some(&sheet.quoted(text)))),
                None => patches.push(sheet.remove(part.place.0)),
            }
        }
        let added = wanted.get(known.len()..).unwrap_or_default();
        lines.extend(added.iter().map(|text| (0, format!("action(expr: {})", sheet.quoted(text)))));
    }
    if !lines.is_empty() {
        patches.push(sheet.append(trigger, &lines));
    }
    Ok(patches)
}

/// The lines of `edit`'s member `trigger`.
fn new_trigger(sheet: &Sheet<'_>, all: &[&Selection], edit: &Request<'_>) -> Result<Lines, LanguageError> {
    let wanted = edit.object("trigger")?.ok_or_else(|| LanguageError::about("trigger", "expected an object"))?;
    let made = || {
        let condition = wanted.string("condition")?;
        check_condition(condition)?;
        let actions = actions(&wanted)?;
        let name = match wanted.optional("name")? {
            Some(name) => {
                check_name(name, all, None)?;
                name.to_owned()
            }
            None => fresh_name("trigger", "", |name| all.iter().any(|other| other.name.is(name))),
        };
        let settings: Vec<(String, String)> = wanted
            .optional("description")?
            .map(|text| ("description".to_owned(), sheet.quoted(text)))
            .into_iter()
            .collect();
        let mut header = call_text(&name, &settings);
        if let Some(position) = wanted.object("position")? {
            header.push(' ');
            header.push_str(&position_text(&position).map_err(|error| error.within("position"))?);
        }
        let mut lines: Lines = vec![(0, format!("{header} {{"))];
        lines.push((1, format!("condition(expr: {})", sheet.quoted(condition))));
        lines.extend(actions.iter().map(|text| (1, format!("action(expr: {})", sheet.quoted(text)))));
        lines.push((0, "}".to_owned()));
        Ok(lines)
    };
    made().map_err(|error: LanguageError| error.within("trigger"))
}

fn check_name(name: &str, all: &[&Selection], own: Option<&Selection>) -> Result<(), LanguageError> {
    if !is_word(name) {
        return Err(LanguageError::about("name", "a trigger's name holds letters, digits and `_`"));
    }
    let is_other = |other: &&&Selection| own.is_none_or(|own| own.name.span() != other.name.span());
    if all.iter().filter(is_other).any(|other| other.name.is(name)) {
        return Err(LanguageError::about("name", format!("another trigger has the name `{}`", clip(name))));
    }
    Ok(())
}

/// A clock must be one; what an event is is for the checker to say, as the devices it names may come later.
fn check_condition(condition: &str) -> Result<(), LanguageError> {
    let is_clock = condition.split_ascii_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("every"));
    if is_clock && let Err(error) = marram_expr::parse_trigger_condition(condition) {
        return Err(LanguageError::about("condition", error.message));
    }
    Ok(())
}

fn actions<'v>(edit: &Request<'v>) -> Result<Vec<&'v str>, LanguageError> {
    let actions = edit.strings("actions")?;
    match actions.len() {
        0..=MAX_ACTIONS => Ok(actions),
        _ => Err(LanguageError::about("actions", format!("more than {MAX_ACTIONS} actions"))),
    }
}

// ---- triggers inside a string

/// What stands before a fragment so that the parser of definitions reads it.
const BEFORE: &str = "query T ";

/// The text of `@triggers(definition)` as a document of its own.
struct Fragment {
    wrapped: String,
    /// Where the fragment stands in `wrapped`.
    place: Range<usize>,
    quote: char,
}

impl Fragment {
    /// `quote` is used where the fragment shows no preference.
    fn new(text: &str, quote: char) -> Self {
        let is_wrapped = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n', ',']).starts_with('{');
        let (open, close) = if is_wrapped { ("", "") } else { ("{ ", " }") };
        let start = BEFORE.len() + open.len();
        let wrapped = format!("{BEFORE}{open}{text}{close}");
        Fragment { wrapped, place: start..start + text.len(), quote }
    }

    fn sheet(&self) -> Result<Sheet<'_>, LanguageError> {
        let refused = |_| LanguageError::about("flow", "the stored triggers cannot be read; correct them in the text");
        let sheet = Sheet::new(&self.wrapped).map_err(refused)?.preferring(self.quote);
        let is_whole = sheet.document.definitions.len() == 1;
        is_whole.then_some(sheet).ok_or_else(|| refused(LanguageError::about("", "")))
    }

    /// The fragment with the patches in it.
    fn edited(&self, patches: Vec<Patch>) -> String {
        let patches = patches.into_iter().map(|patch| Patch { range: self.within(&patch.range), text: patch.text });
        super::sheet::apply(&self.wrapped[self.place.clone()], patches.collect())
    }

    /// A range of `wrapped` as one of the fragment.
    fn within(&self, range: &Range<usize>) -> Range<usize> {
        let at = |offset: usize| offset.clamp(self.place.start, self.place.end) - self.place.start;
        at(range.start)..at(range.end)
    }

    /// The patches as patches of the string `literal`, which starts at `start` of the document.
    fn carried(&self, patches: Vec<Patch>, start: usize, literal: &str) -> Vec<Patch> {
        let quote = literal.chars().next().unwrap_or('"');
        let Some(map) = places(literal, &self.wrapped[self.place.clone()]) else {
            let text = format!("{quote}{}{quote}", escape(&self.edited(patches), quote));
            return vec![Patch { range: start..start + literal.len(), text }];
        };
        let carry = |patch: Patch| {
            let range = self.within(&patch.range);
            Patch { range: start + map[range.start]..start + map[range.end], text: escape(&patch.text, quote) }
        };
        patches.into_iter().map(carry).collect()
    }
}

/// Where each byte of a string's value stands in its literal. `None` for literals with more than simple escapes.
fn places(literal: &str, value: &str) -> Option<Vec<usize>> {
    if literal.starts_with("\"\"\"") || literal.contains("\\u") || literal.len() < 2 {
        return None;
    }
    let (mut at, mut map) = (1, Vec::with_capacity(value.len() + 1));
    for c in value.chars() {
        let is_escape = literal[at..].starts_with('\\');
        map.extend((0..c.len_utf8()).map(|byte| if is_escape { at } else { at + byte }));
        at += if is_escape { 2 } else { c.len_utf8() };
        if at >= literal.len() {
            return None;
        }
    }
    map.push(at);
    (at + 1 == literal.len()).then_some(map)
}

/// What a fragment holds at its top.
fn top<'s>(sheet: &'s Sheet<'_>) -> &'s [Selection] {
    match sheet.document.definitions.first().map(|definition| &definition.body) {
        Some(Body::Query { selections, .. }) => selections,
        _ => &[],
    }
}

/// The block `triggers` when there is one, and all triggers.
fn triggers<'s>(sheet: &'s Sheet<'_>) -> (Option<&'s Selection>, Vec<&'s Selection>) {
    let top = top(sheet);
    let holder = top.iter().find(|selection| selection.name.is("triggers"));
    let all = top.iter().filter(|selection| !crate::outline::is_ignore_marker(selection));
    let all = all.flat_map(|selection| {
        let inner: Vec<&Selection> =
            if selection.name.is("triggers") { children(selection).collect() } else { vec![selection] };
        inner
    });
    (holder, all.collect())
}
