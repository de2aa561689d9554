//! A text as nodes and edges: what the designer draws (API.md, "flow: the drawing").
//!
//! The drawing follows the syntax, so a document with mistakes is drawn as far as it can be read; what the namespace
//! knows (names of entities, inputs of actions) is added where it is known.

mod deployment;
mod flow;
mod system;
mod trigger;

pub(crate) use deployment::parts as deployment_parts;
pub(crate) use flow::{catch, retry};
pub(crate) use system::ROLES;

use marram_tdm::Span;
use marram_tdm::check::Mixed;
use marram_tdm::syntax::ast::{Argument, Directive, Value as Written, ValueKind};
use marram_tdm::syntax::{self};
use serde_json::{Map, Value, json};

use crate::World;
use crate::analysis::{self, Findings};
use crate::offsets::Offsets;
use crate::types::{Entities, Types};

/// Most edges of one flow, system or deployment that are listed.
pub(crate) const MAX_EDGES: usize = 4_000;

/// The answer of `flow`.
pub(crate) fn answer(text: &str, world: &dyn World) -> Value {
    let mixed = analysis::check(text, world);
    draw(text, mixed, world)
}

/// The drawing of a text that was checked.
pub(crate) fn draw(text: &str, mixed: Mixed, world: &dyn World) -> Value {
    let (document, _) = syntax::parse(text);
    let Mixed { model, flows, diagnostics, .. } = mixed;
    let entities = Entities { own: &model, world };
    let findings = Findings::new(text, diagnostics);
    let pen = Pen { offsets: Offsets::new(text), findings, types: Types::new(entities), flows: &flows };
    let drawn_flows = flow::draw(&document, &pen);
    let systems = system::draw(&document, &pen);
    let deployments = deployment::draw(&document, &pen);
    json!({
        "flows": drawn_flows,
        "systems": systems,
        "deployments": deployments,
        "diagnostics": pen.findings.to_json(&pen.offsets),
    })
}

/// What drawing needs of its surroundings.
struct Pen<'t> {
    offsets: Offsets<'t>,
    findings: Findings<'t>,
    types: Types<'t>,
    /// The text's flows that have no errors.
    flows: &'t [std::sync::Arc<marram_tdm::model::Flow>],
}

/// A JSON object written member by member.
type Members = Map<String, Value>;

impl Pen<'_> {
    /// `from` and `to`.
    fn place(&self, into: &mut Members, span: Span) {
        let (from, to) = self.offsets.range(span);
        into.insert("from".to_owned(), json!(from));
        into.insert("to".to_owned(), json!(to));
    }

    /// The members every node has.
    fn node(&self, kind: &str, name: &str, span: Span) -> Members {
        let mut node = Members::new();
        node.insert("name".to_owned(), json!(name));
        node.insert("kind".to_owned(), json!(kind));
        node.insert("urn".to_owned(), Value::Null);
        node.insert("title".to_owned(), json!(name));
        node.insert("description".to_owned(), Value::Null);
        node.insert("position".to_owned(), Value::Null);
        node.insert("readOnly".to_owned(), json!(false));
        node.insert("problems".to_owned(), json!(self.findings.within(span.start as usize, span.end as usize)));
        self.place(&mut node, span);
        node
    }
}

/// Puts `value` under `name`.
fn set(members: &mut Members, name: &str, value: impl Into<Value>) {
    members.insert(name.to_owned(), value.into());
}

/// A value as the page edits it: a string, number or Boolean.
fn plain(value: &Written) -> Value {
    match &value.kind {
        ValueKind::Number(number) => serde_json::from_str(number).unwrap_or_else(|_| json!(number)),
        ValueKind::Text(text) => json!(text.value),
        ValueKind::Name(word) if word.eq_ignore_ascii_case("true") => json!(true),
        ValueKind::Name(word) if word.eq_ignore_ascii_case("false") => json!(false),
        ValueKind::Name(word) => json!(word),
        ValueKind::Variable(name) => json!(format!("${name}")),
        ValueKind::List(items) => items.iter().map(plain).collect(),
        ValueKind::Object(members) => {
            members.iter().map(|member| (member.name.text.to_string(), plain(&member.value))).collect()
        }
    }
}

fn coordinate(argument: Option<&Argument>) -> Option<f64> {
    let text = match &argument?.value.kind {
        ValueKind::Number(number) => number.as_str(),
        ValueKind::Text(text) => text.value.trim(),
        _ => return None,
    };
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// `x` and `y` of a directive.
fn point(directive: &Directive) -> Option<Value> {
    let (x, y) = (coordinate(directive.argument("x"))?, coordinate(directive.argument("y"))?);
    Some(json!({ "x": number(x), "y": number(y) }))
}

/// Whole numbers without a fraction.
fn number(value: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)] // tested to be whole and small
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

/// The position of something with directives, else of the `@annotation` with its name beside it.
fn position<'d>(own: impl Iterator<Item = &'d Directive>, around: &[Directive], name: &str) -> Value {
    let mut own = own.filter(|directive| directive.name.is("position"));
    let stored = || {
        let annotations = around.iter().filter(|directive| directive.name.is("annotation"));
        let is_its = |directive: &&Directive| {
            let id = directive.argument("id").and_then(|argument| argument.value.as_text());
            id.is_some_and(|id| id.eq_ignore_ascii_case(name))
        };
        annotations.filter(is_its).find_map(point)
    };
    own.find_map(point).or_else(stored).unwrap_or(Value::Null)
}
