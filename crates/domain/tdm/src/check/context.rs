//! What every rule needs: resolving references, reading arguments, parsing expressions, reporting.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marram_diag::{Diagnostic, Span};
use marram_expr::{Expr, ParseError, Template, TemplatePart, ValueExpr};
use serde_json::Value as Json;
use smol_str::SmolStr;

use super::{CheckOptions, EntitySource};
use crate::codes::*;
use crate::model::{Entity, MadeTypes, Metatype, Model, Urn};
use crate::syntax::ast::{Argument, Arguments, Definition, Directive, Selection, Value, ValueKind};

/// State of one check run.
pub(crate) struct Context<'a> {
    pub source: &'a dyn EntitySource,
    pub options: &'a CheckOptions,
    pub findings: Findings,
    /// Id or alternate id of everything the documents define, to its identity.
    pub declared: BTreeMap<Urn, Urn>,
    /// Entities checked so far.
    pub built: Model,
    /// What the definition being checked has named so far.
    pub references: BTreeSet<Urn>,
    /// The text the definition being checked comes from.
    pub text: &'a str,
    /// Runtime types made so far.
    pub types: RefCell<MadeTypes>,
    /// Fields and members that may still be inherited in this run.
    pub inheritance_left: usize,
}

/// Fields and members all definitions of one run may inherit together. Bounds what many short definitions under one
/// long parent can unfold to.
const MAX_INHERITED: usize = 100_000;
/// Fields of one state or action, members of one capability or enum.
pub(crate) const MAX_FIELDS: usize = 2_000;

impl<'a> Context<'a> {
    pub fn new(source: &'a dyn EntitySource, options: &'a CheckOptions) -> Self {
        Context {
            source,
            options,
            findings: Findings::default(),
            declared: BTreeMap::new(),
            built: Model::default(),
            references: BTreeSet::new(),
            text: "",
            types: RefCell::default(),
            inheritance_left: MAX_INHERITED,
        }
    }

    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.findings.error(code, span, message);
    }

    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.findings.warning(code, span, message);
    }

    /// TDM1005 when a definition has, or with what it inherits would have, more than [`MAX_FIELDS`] parts.
    pub fn has_room(&mut self, own: usize, inherited: usize, at: Span) -> bool {
        if own + inherited > MAX_FIELDS {
            self.error(TDM1005, at, format!("more than {MAX_FIELDS} fields or members"));
            return false;
        }
        match self.inheritance_left.checked_sub(inherited) {
            Some(left) => {
                self.inheritance_left = left;
                true
            }
            None => {
                let message = format!("the definitions inherit more than {MAX_INHERITED} fields and members together");
                self.error(TDM1005, at, message);
                false
            }
        }
    }

    // ---- references

    /// The checked entity of that id; `None` also when the documents define it but it is not checked yet or wrong.
    pub fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        if self.declared.contains_key(id) { self.built.get(id).cloned() } else { self.source.entity(id) }
    }

    /// The identity behind an id or alternate id, if anything defines it.
    pub fn identity(&self, id: &Urn) -> Option<Urn> {
        self.declared.get(id).cloned().or_else(|| self.source.entity(id).map(|entity| entity.id.clone()))
    }

    /// Reads a URN without resolving it.
    pub fn parse_urn(&mut self, value: &Value) -> Option<Urn> {
        let Some(text) = value.as_text() else {
            self.error(TDM3002, value.span(), "expected a urn");
            return None;
        };
        match Urn::parse(text) {
            Ok(urn) => Some(urn),
            Err(error) => {
                self.error(TDM3002, value.span(), format!("`{}`: {error}", clip(text)));
                None
            }
        }
    }

    /// Reads a URN of one of `wanted` without resolving it.
    pub fn typed_urn(&mut self, value: &Value, wanted: &[Metatype]) -> Option<Urn> {
        let urn = self.parse_urn(value)?;
        if wanted.contains(&urn.metatype()) {
            return Some(urn);
        }
        let names: Vec<&str> = wanted.iter().map(|metatype| metatype.as_str()).collect();
        let message = format!("expected a {} here, `{urn}` is a {}", names.join(" or "), urn.metatype());
        self.error(TDM3003, value.span(), message);
        None
    }

    /// Reads and resolves a reference; answers the identity of what it names.
    pub fn reference(&mut self, value: &Value, wanted: &[Metatype]) -> Option<Urn> {
        let urn = self.typed_urn(value, wanted)?;
        let Some(identity) = self.identity(&urn) else {
            self.error(TDM3004, value.span(), format!("`{urn}` is not defined"));
            return None;
        };
        self.references.insert(identity.clone());
        Some(identity)
    }

    /// A reference to a property that values may have: not an abstract one.
    pub fn value_property(&mut self, value: &Value) -> Option<Urn> {
        let id = self.reference(value, &[Metatype::Property])?;
        if self.is_abstract(&id) {
            let message = format!("`{id}` is abstract; it can only be a parent or an end of a mapping");
            self.error(TDM3010, value.span(), message);
        }
        Some(id)
    }

    fn is_abstract(&self, id: &Urn) -> bool {
        self.entity(id).is_some_and(|entity| match &entity.kind {
            crate::model::EntityKind::Property(property) => property.is_abstract,
            _ => false,
        })
    }

    // ---- arguments

    /// The required argument `name` of a directive, or TDM3006.
    pub fn required<'v>(&mut self, directive: &'v Directive, name: &str) -> Option<&'v Argument> {
        let found = directive.argument(name);
        if found.is_none() {
            let message = format!("@{} needs the argument `{name}`", directive.name.text);
            self.error(TDM3006, directive.place.0, message);
        }
        found
    }

    /// The required argument `name` of a selection, or TDM3006.
    pub fn required_of<'v>(&mut self, selection: &'v Selection, name: &str) -> Option<&'v Argument> {
        let found = selection.argument(name);
        if found.is_none() {
            self.error(TDM3006, selection.span(), format!("`{}` needs the argument `{name}`", selection.name.text));
        }
        found
    }

    /// Warns of arguments nothing reads.
    pub fn known_arguments(&mut self, arguments: Option<&Arguments>, known: &[&str]) {
        for argument in arguments.iter().flat_map(|arguments| &arguments.items) {
            if !known.iter().any(|name| argument.name.is(name)) {
                let message = format!("unknown argument `{}` is ignored", argument.name.text);
                self.warning(TDM3007, argument.name.span(), message);
            }
        }
    }

    /// Warns of directives nothing reads.
    pub fn known_directives(&mut self, directives: &[Directive], known: &[&str]) {
        for directive in directives {
            if !known.iter().any(|name| directive.name.is(name)) {
                let message = format!("unknown directive `@{}` is ignored", directive.name.text);
                self.warning(TDM3007, directive.place.0, message);
            }
        }
    }

    /// A text; `null` and other kinds of value are TDM2001.
    pub fn text_of(&mut self, value: &Value) -> Option<SmolStr> {
        match &value.kind {
            ValueKind::Text(text) => Some(text.value.clone()),
            ValueKind::Name(name) | ValueKind::Number(name) => Some(name.clone()),
            _ => {
                self.error(TDM2001, value.span(), "expected a text");
                None
            }
        }
    }

    /// `true` or `false`, bare or in quotes, any case.
    pub fn boolean(&mut self, value: &Value) -> Option<bool> {
        let word = value.as_text().map(|text| text.to_ascii_lowercase());
        match word.as_deref() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => {
                self.error(TDM2001, value.span(), "expected true or false");
                None
            }
        }
    }

    /// An integer, bare or in quotes, within `range`; else `code`.
    pub fn integer(&mut self, value: &Value, range: std::ops::RangeInclusive<i64>, code: &'static str) -> Option<i64> {
        let text = match &value.kind {
            ValueKind::Number(number) => Some(number.as_str()),
            ValueKind::Text(text) => Some(text.value.trim()),
            _ => None,
        };
        let number = text.and_then(|text| text.parse::<i64>().ok()).filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("expected a whole number from {} to {}", range.start(), range.end());
            self.error(code, value.span(), message);
        }
        number
    }

    /// One name or a list of names. A string with an expression in it is not one.
    pub fn names(&mut self, value: &Value) -> Vec<SmolStr> {
        let items = match &value.kind {
            ValueKind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        let mut names = Vec::new();
        for item in items {
            match item.as_text().map(|text| text.trim()) {
                Some("") => self.error(TDM2001, item.span(), "a name must not be empty"),
                Some(name) => names.push(SmolStr::new(name)),
                None => self.error(TDM2001, item.span(), "expected a name"),
            }
        }
        names
    }

    // ---- expressions

    /// An expression position: one expression.
    pub fn expression(&mut self, value: &Value) -> Option<Expr> {
        self.parse_text(value, marram_expr::parse_expr)
    }

    /// A value position (TG 4.2). Bare numbers, Booleans and null are literals.
    pub fn value_expr(&mut self, value: &Value) -> Option<ValueExpr> {
        match &value.kind {
            ValueKind::Text(_) => self.parse_text(value, marram_expr::classify),
            ValueKind::Variable(name) => {
                let path = marram_expr::parse_expr(name).ok()?;
                Some(ValueExpr::Variable { path, text: SmolStr::new(format!("${name}")) })
            }
            ValueKind::Number(number) => self.literal_expr(value, number),
            ValueKind::Name(word) if ["true", "false", "null"].iter().any(|known| word.eq_ignore_ascii_case(known)) => {
                self.literal_expr(value, word)
            }
            ValueKind::Name(word) => Some(ValueExpr::Literal(word.clone())),
            ValueKind::List(_) | ValueKind::Object(_) => {
                self.error(TDM2001, value.span(), "expected a text, a number, true, false or null");
                None
            }
        }
    }

    fn literal_expr(&mut self, value: &Value, text: &str) -> Option<ValueExpr> {
        match marram_expr::parse_expr(text) {
            Ok(expr) => Some(ValueExpr::Typed(expr)),
            Err(error) => {
                self.error(TDM3018, value.span(), error.message);
                None
            }
        }
    }

    /// Text with interpolations: a topic, URL or ARN. `$aws/rules/x` is text, not a variable.
    pub fn template(&mut self, value: &Value) -> Option<Template> {
        let parts = match self.value_expr(value)? {
            ValueExpr::Typed(expr) => vec![TemplatePart::Interpolation(expr)],
            ValueExpr::Template(template) => return Some(template),
            ValueExpr::Variable { text, .. } | ValueExpr::Literal(text) => vec![TemplatePart::Text(text)],
        };
        Some(Template { parts })
    }

    /// Runs a parser of `marram_expr` over a string and reports its error at the right place.
    pub fn parse_text<T>(&mut self, value: &Value, parse: impl Fn(&str) -> Result<T, ParseError>) -> Option<T> {
        let text = self.text_of(value)?;
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let span = self.place_in(value, error.offset);
                self.error(TDM3018, span, error.message);
                None
            }
        }
    }

    /// Where byte `offset` of a string's value stands; the whole string when escapes shifted it.
    pub fn place_in(&self, value: &Value, offset: usize) -> Span {
        let whole = value.span();
        let ValueKind::Text(text) = &value.kind else { return whole };
        let raw = whole.text(self.text);
        let is_plain = !text.is_block && raw.len() == text.value.len() + 2;
        let start = whole.start as usize + 1 + offset.min(text.value.len());
        if is_plain { Span::new(start, whole.end as usize) } else { whole }
    }

    /// A constant as JSON.
    pub fn constant(&mut self, value: &Value) -> Option<Json> {
        Some(match &value.kind {
            ValueKind::Number(number) => match serde_json::from_str(number) {
                Ok(json) => json,
                Err(_) => {
                    self.error(TDM3010, value.span(), "the number cannot be represented");
                    return None;
                }
            },
            ValueKind::Text(text) => Json::String(text.value.to_string()),
            ValueKind::Name(word) => match word.to_ascii_lowercase().as_str() {
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                "null" => Json::Null,
                _ => Json::String(word.to_string()),
            },
            ValueKind::Variable(_) => {
                self.error(TDM2001, value.span(), "expected a constant");
                return None;
            }
            ValueKind::List(items) => Json::Array(items.iter().map(|item| self.constant(item)).collect::<Option<_>>()?),
            ValueKind::Object(members) => {
                let entries = members.iter();
                let entries = entries.map(|entry| Some((entry.name.text.to_string(), self.constant(&entry.value)?)));
                Json::Object(entries.collect::<Option<_>>()?)
            }
        })
    }

    /// The `description` argument of a definition directive, or the string before the definition.
    pub fn description(&mut self, definition: &Definition, directive: &Directive) -> Option<String> {
        let argument = directive.argument("description").and_then(|argument| argument.value.as_text());
        let before = definition.description.as_ref().map(|text| &text.value);
        argument.or(before).map(ToString::to_string)
    }
}

/// A text short enough for a message.
pub(crate) fn clip(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// An error with a second place.
pub(crate) fn twice(code: &'static str, span: Span, message: String, first: Span) -> Diagnostic {
    Diagnostic::error(code, span, message).label(first, "first here")
}
