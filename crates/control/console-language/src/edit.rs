//! Changes of the drawing as changes of the text (API.md, "edit").

mod add;
mod board;
mod clause;
mod sheet;
mod step;
mod success;
mod trigger;
mod wire;

use marram_tdm::Span;
use marram_tdm::model::Model;
use marram_tdm::syntax::ast::Field;
use serde_json::{Value, json};

use crate::analysis::{self, Lazy};
use crate::offsets::{Offsets, floor_boundary};
use crate::outline::{self, Flow, Step};
use crate::request::{Request, clip};
use crate::types::Entities;
use crate::{LanguageError, MAX_EDITS, MAX_TEXT_BYTES, World, drawing, scope};
use sheet::{Patch, Sheet, apply};

/// Bytes read again by all edits of a request together: each reads the text the ones before it left.
const MAX_EDIT_WORK: usize = 100_000_000;
/// Largest coordinate.
const MAX_COORDINATE: f64 = 1_000_000.0;

/// The answer of `edit`.
pub(crate) fn answer(request: &Request<'_>, world: &dyn World) -> Result<Value, LanguageError> {
    let text = request.text()?;
    let edits = request.list("edits")?;
    if edits.len() > MAX_EDITS {
        return Err(LanguageError::about("edits", format!("more than {MAX_EDITS} edits")));
    }
    let before = Lazy::new(text, world);
    let mut edited = text.to_owned();
    let mut work = 0usize;
    let mut index = 0;
    while index < edits.len() {
        work = work.saturating_add(edited.len());
        if work > MAX_EDIT_WORK {
            return Err(LanguageError::about("edits", "too many edits of so long a text"));
        }
        // moves do not change what the other nodes are, so a run of them needs one look at the text
        let is_move = |edit: &&Value| edit["op"] == "move" && edit.get("trigger").is_none();
        let moves = edits[index..].iter().take_while(is_move);
        let run = moves.count().max(1);
        edited = round(&edited, &edits[index..index + run], index, &before)?;
        if edited.len() > MAX_TEXT_BYTES {
            let message = format!("the text would be longer than {MAX_TEXT_BYTES} bytes");
            return Err(LanguageError::about(format!("edits[{index}]"), message));
        }
        index += run;
    }
    let undo = undo(text, &edited);
    let mixed = analysis::check(&edited, world);
    let drawing = drawing::draw(&edited, mixed, world);
    let diagnostics = drawing["diagnostics"].clone();
    Ok(json!({ "text": edited, "drawing": drawing, "diagnostics": diagnostics, "undo": undo }))
}

/// One edit, or a run of moves.
fn round(text: &str, edits: &[Value], first: usize, before: &Lazy<'_>) -> Result<String, LanguageError> {
    let at = |index: usize| move |error: LanguageError| error.within(&format!("edits[{}]", first + index));
    let read = |index: usize| -> Result<(Request<'_>, &str), LanguageError> {
        let edit = Request::new(&edits[index])?;
        Ok((edit, edit.string("op")?))
    };
    let (edit, op) = read(0).map_err(at(0))?;
    if op == "replace" {
        return replace(text, &edit).map_err(at(0));
    }
    let sheet = Sheet::new(text).map_err(at(0))?;
    let flows = outline::flows(&sheet.document);
    let mut patches: Vec<Patch> = Vec::new();
    for index in 0..edits.len() {
        let made = read(index).and_then(|(edit, op)| change(&sheet, &flows, op, &edit, before)).map_err(at(index))?;
        // of several moves of one node the last counts
        patches.retain(|old| !made.iter().any(|new| new.range == old.range));
        patches.extend(made);
    }
    Ok(apply(text, patches))
}

fn change(
    sheet: &Sheet<'_>,
    flows: &[Flow<'_>],
    op: &str,
    edit: &Request<'_>,
    before: &Lazy<'_>,
) -> Result<Vec<Patch>, LanguageError> {
    if edit.get("system").is_some() {
        return board::change_system(sheet, op, edit);
    }
    if edit.get("deployment").is_some() {
        return board::change_deployment(sheet, op, edit);
    }
    let flow = &flows[scope::pick_flow(flows, edit.optional("flow")?)?];
    let bench = Bench { sheet, flow, before };
    match op {
        "move" if edit.get("trigger").is_some() => bench.move_trigger(edit),
        "move" => bench.move_node(edit),
        "add-node" => bench.add_node(edit),
        "remove-node" => bench.remove_node(edit),
        "rename-node" => bench.rename_node(edit),
        "connect" => bench.connect(edit),
        "disconnect" => bench.disconnect(edit),
        "set-argument" => bench.set_argument(edit),
        "set-action" => bench.set_action(edit),
        "set-condition" => bench.set_condition(edit),
        "set-on-error" => bench.set_on_error(edit),
        "set-on-success" => bench.set_on_success(edit),
        "add-trigger" | "set-trigger" | "remove-trigger" => bench.change_trigger(op, edit),
        "set-field" => bench.set_field(edit),
        "add-variable" => bench.add_variable(edit),
        "remove-variable" => bench.remove_variable(edit),
        "add-parameter" => bench.add_parameter(edit),
        _ => Err(LanguageError::about("op", format!("there is no edit `{}`", clip(op)))),
    }
}

/// One flow being edited.
struct Bench<'b, 't> {
    sheet: &'b Sheet<'t>,
    flow: &'b Flow<'b>,
    before: &'b Lazy<'b>,
}

impl<'b> Bench<'b, '_> {
    fn entities(&self) -> Entities<'b> {
        let own: &Model = &self.before.get().model;
        Entities { own, world: self.before.world() }
    }

    fn step_index(&self, edit: &Request<'_>, member: &str) -> Result<usize, LanguageError> {
        let name = edit.string(member)?;
        let missing = || LanguageError::about(member, format!("the flow has no step `{}`", clip(name)));
        self.flow.step(name).ok_or_else(missing)
    }

    fn step(&self, edit: &Request<'_>) -> Result<&'b Step<'b>, LanguageError> {
        Ok(&self.flow.steps[self.step_index(edit, "node")?])
    }
}

fn replace(text: &str, edit: &Request<'_>) -> Result<String, LanguageError> {
    let new = edit.long_string("text")?;
    let offsets = Offsets::new(text);
    let (from, to) = (offsets.byte(edit.offset("from")?), offsets.byte(edit.offset("to")?));
    if from > to {
        return Err(LanguageError::about("to", "the range ends before it starts"));
    }
    Ok(apply(text, vec![Patch { range: from..to, text: new.to_owned() }]))
}

/// The edits that turn `new` into `old`.
fn undo(old: &str, new: &str) -> Vec<Value> {
    if old == new {
        return Vec::new();
    }
    let same = old.bytes().zip(new.bytes()).take_while(|(one, other)| one == other).count();
    let start = floor_boundary(old, floor_boundary(new, same));
    let most = old.len().min(new.len()) - start;
    let same_end = old.bytes().rev().zip(new.bytes().rev()).take(most).take_while(|(one, other)| one == other).count();
    let mut end = new.len() - same_end;
    while !new.is_char_boundary(end) || !old.is_char_boundary(old.len() - (new.len() - end)) {
        end += 1;
    }
    let offsets = Offsets::new(new);
    let gone = &old[start..old.len() - (new.len() - end)];
    vec![json!({ "op": "replace", "from": offsets.utf16(start), "to": offsets.utf16(end), "text": gone })]
}

/// A coordinate as it is written: at most two decimals.
fn coordinate(edit: &Request<'_>, member: &str) -> Result<String, LanguageError> {
    let number = edit.number(member, MAX_COORDINATE)?;
    let number = (number * 100.0).round() / 100.0;
    // no `-0`
    Ok(format!("{}", if number == 0.0 { 0.0 } else { number }))
}

/// `@position(x: .., y: ..)`.
fn position_text(edit: &Request<'_>) -> Result<String, LanguageError> {
    Ok(format!("@position(x: {}, y: {})", coordinate(edit, "x")?, coordinate(edit, "y")?))
}

/// From the description or name of a field to its last directive.
pub(crate) fn field_span(field: &Field) -> Span {
    let first = field.description.as_ref().map_or(field.name.span(), |text| text.place.0);
    let last = field.directives.last().map_or(field.ty.place.0, |directive| directive.place.0);
    first.to(field.name.span()).to(last)
}

/// A name made of letters and digits, like `waterTheBed`, that none of `taken` equals ignoring case.
fn fresh_name(base: &str, suffix: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = String::new();
    let mut starts_word = false;
    for c in base.chars().take(40) {
        if !c.is_ascii_alphanumeric() && c != '_' {
            starts_word = !name.is_empty();
            continue;
        }
        name.push(if starts_word { c.to_ascii_uppercase() } else { c });
        starts_word = false;
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "step");
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        name.make_ascii_lowercase();
    } else if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    name.push_str(suffix);
    if !is_taken(&name) {
        return name;
    }
    let numbered = (2..).map(|number| format!("{name}{number}"));
    numbered.into_iter().find(|name| !is_taken(name)).unwrap_or(name)
}
