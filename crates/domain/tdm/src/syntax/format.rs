//! The formatter: one layout for every document, comments kept.
//!
//! The tree is printed in order. Comments are taken from the token list: one that ends a line stays on that line, any
//! other goes on a line of its own before what follows it. Blank lines inside a block are kept, one at a time.
//! Formatting twice changes nothing more, and the tree of the result equals the tree of the source.

use marram_diag::{Diagnostic, Span};

use super::ast::*;
use super::strings::quote;
use super::token::TokenKind;
use crate::codes::TDM1004;

/// Columns an argument list may reach before it is written one argument per line.
const WIDTH: usize = 100;
const INDENT: &str = "  ";

/// How to format.
#[derive(Clone, Copy, Debug, Default)]
pub struct FormatOptions {
    /// Typographic quotes that were meant as quotes become plain ones (TDM1004 is no error then).
    pub repair_quotes: bool,
}

/// The document in its one layout, or why it cannot be read.
pub fn format(source: &str, options: FormatOptions) -> Result<String, Vec<Diagnostic>> {
    let (document, found) = super::parse(source);
    let is_fatal = |found: &Diagnostic| found.is_error() && !(options.repair_quotes && found.code == TDM1004);
    if found.iter().any(is_fatal) {
        return Err(found);
    }
    let mut printer = Printer { source, comments: comments(source, &document), next: 0, out: String::new(), depth: 0 };
    printer.document(&document);
    Ok(printer.out)
}

struct Comment {
    span: Span,
    /// Something stands before it on its line.
    is_trailing: bool,
    /// An empty line follows it.
    has_gap_after: bool,
}

fn comments(source: &str, document: &Document) -> Vec<Comment> {
    let mut found = Vec::new();
    let tokens = document.tokens();
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Comment) {
        let breaks = |token: Option<&super::Token>| {
            let space = token.filter(|token| token.kind == TokenKind::Space);
            space.map_or(0, |space| space.span.text(source).matches('\n').count())
        };
        let before = index.checked_sub(1).and_then(|index| tokens.get(index));
        let is_first = before.is_none() || (index == 1 && before.is_some_and(|token| token.kind == TokenKind::Space));
        found.push(Comment {
            span: token.span,
            is_trailing: !is_first && breaks(before) == 0,
            has_gap_after: breaks(tokens.get(index + 1)) > 1,
        });
    }
    found
}

struct Printer<'s> {
    source: &'s str,
    comments: Vec<Comment>,
    next: usize,
    out: String,
    depth: usize,
}

impl Printer<'_> {
    fn document(&mut self, document: &Document) {
        let brace = |kind| move |token: &&super::Token| token.kind == kind;
        let mut closing = u32::MAX;
        if document.is_wrapped {
            let opening = document.tokens().iter().find(brace(TokenKind::BraceOpen));
            let last = document.tokens().iter().rfind(brace(TokenKind::BraceClose));
            closing = last.map_or(closing, |token| token.span.start);
            self.comments_before(opening.map_or(0, |token| token.span.start), false);
            self.out.push('{');
            self.end_line(opening.map_or(0, |token| token.span.end));
        }
        for (index, definition) in document.definitions.iter().enumerate() {
            if index > 0 {
                self.out.push('\n');
            }
            let start = definition.description.as_ref().map_or(definition.keyword.0, |text| text.place.0);
            self.comments_before(start.start, false);
            self.definition(definition);
        }
        let has_rest = self.comments.get(self.next).is_some_and(|comment| comment.span.start < closing);
        if has_rest && !document.definitions.is_empty() {
            self.out.push('\n');
        }
        self.comments_before(closing, true);
        if document.is_wrapped {
            self.out.push('}');
            self.end_line(closing.saturating_add(1));
            self.comments_before(u32::MAX, true);
        }
    }

    // ---- lines and comments

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str(INDENT);
        }
    }

    /// Whether the line being written is too long. Looks at its last bytes only: a line may be a megabyte long.
    fn is_too_wide(&self) -> bool {
        let tail = self.out.as_bytes();
        let tail = &tail[tail.len().saturating_sub(4 * WIDTH + 1)..];
        let line = tail.iter().rev().take_while(|byte| **byte != b'\n');
        line.filter(|byte| (**byte & 0xC0) != 0x80).count() > WIDTH
    }

    /// Comments that stand before byte `start`, each on its own line. `is_last` drops the gap after the last one.
    fn comments_before(&mut self, start: u32, is_last: bool) {
        while let Some(comment) = self.comments.get(self.next).filter(|comment| comment.span.start < start) {
            let (text, gap) = (comment.span.text(self.source).trim_end(), comment.has_gap_after);
            self.next += 1;
            let is_end = is_last && self.comments.get(self.next).is_none_or(|comment| comment.span.start >= start);
            self.indent();
            self.out.push_str(text);
            self.out.push('\n');
            if gap && !is_end {
                self.out.push('\n');
            }
        }
    }

    /// Ends the line of something whose last byte is before `end`, with the comment that stood behind it.
    fn end_line(&mut self, end: u32) {
        if let Some(comment) = self.comments.get(self.next) {
            let behind = self.source.get(end as usize..).unwrap_or_default();
            let gap = behind.len() - behind.trim_start_matches([' ', '\t', ',', '\u{FEFF}']).len();
            if comment.is_trailing && end as usize + gap == comment.span.start as usize {
                self.out.push_str("  ");
                self.out.push_str(comment.span.text(self.source).trim_end());
                self.next += 1;
            }
        }
        self.out.push('\n');
    }

    /// Whether the source has an empty line before the item at `start`, its comments aside.
    fn has_gap_before(&self, start: u32) -> bool {
        let comment = self.comments.get(self.next).filter(|comment| comment.span.start < start);
        let start = comment.map_or(start, |comment| comment.span.start);
        let before = self.source.get(..start as usize).unwrap_or_default();
        let space = before.len() - before.trim_end_matches([' ', '\t', '\r', '\n', ',', '\u{FEFF}']).len();
        before[before.len() - space..].matches('\n').count() > 1
    }

    /// `{`, each item on its line, `}`. `end` is where the block's closing brace ends.
    fn block<T>(&mut self, items: &[T], end: u32, start_of: impl Fn(&T) -> u32, print: impl Fn(&mut Self, &T)) {
        let closing = end.saturating_sub(1);
        let has_comment = self.comments.get(self.next).is_some_and(|comment| comment.span.start < closing);
        if items.is_empty() && !has_comment {
            self.out.push_str("{}");
            return;
        }
        self.out.push('{');
        let first = items.first().map_or(closing, &start_of);
        let opening = self.source.get(..first as usize).and_then(|before| before.rfind('{'));
        self.end_line(opening.map_or(first, |at| Span::at(at + 1).start));
        self.depth += 1;
        for (index, item) in items.iter().enumerate() {
            let start = start_of(item);
            if index > 0 && self.has_gap_before(start) {
                self.out.push('\n');
            }
            self.comments_before(start, false);
            self.indent();
            print(self, item);
        }
        self.comments_before(closing, true);
        self.depth -= 1;
        self.indent();
        self.out.push('}');
    }

    // ---- constructs

    fn definition(&mut self, definition: &Definition) {
        if let Some(description) = &definition.description {
            self.text(description);
            self.out.push('\n');
        }
        let keyword = match definition.body {
            Body::Type { .. } => "type ",
            Body::Query { .. } => "query ",
            Body::Enum { .. } => "enum ",
        };
        self.out.push_str(keyword);
        self.out.push_str(&definition.name.text);
        let end = definition.place.0.end;
        if let Body::Query { variables, .. } = &definition.body
            && !variables.is_empty()
        {
            let before = self.out.len();
            self.variables(variables, false);
            if self.is_too_wide() {
                self.out.truncate(before);
                self.variables(variables, true);
            }
        }
        self.directives(&definition.directives);
        if let Body::Type { implements, .. } = &definition.body {
            for (index, interface) in implements.iter().enumerate() {
                self.out.push_str(if index == 0 { " implements " } else { " & " });
                self.out.push_str(&interface.name.text);
                self.directives(&interface.directives);
            }
        }
        self.out.push(' ');
        match &definition.body {
            Body::Type { fields, .. } => {
                let has_comment = self.comments.get(self.next).is_some_and(|comment| comment.span.start < end);
                match fields.as_slice() {
                    [only] if only.is_ignore_marker() && !has_comment && is_plain(only) => {
                        self.out.push_str(&format!("{{ {}: {} }}", only.name.text, only.ty.word().text));
                    }
                    _ => self.block(fields, end, field_start, |printer, field| printer.field(field)),
                }
            }
            Body::Query { selections, .. } => {
                self.block(selections, end, selection_start, |printer, selection| printer.selection(selection));
            }
            Body::Enum { members } => self.block(
                members,
                end,
                |member| member.name.span().start,
                |printer, member| {
                    printer.out.push_str(&member.name.text);
                    printer.directives(&member.directives);
                    printer.end_line(end_of(member.name.span(), &member.directives));
                },
            ),
        }
        self.end_line(end);
    }

    fn variables(&mut self, variables: &[VariableDefinition], is_broken: bool) {
        self.out.push('(');
        self.depth += 1;
        for (index, variable) in variables.iter().enumerate() {
            self.separate(index, is_broken);
            self.out.push('$');
            self.out.push_str(&variable.name.text);
            self.out.push_str(": ");
            self.type_ref(&variable.ty);
            if let Some(default) = &variable.default {
                self.out.push_str(" = ");
                self.value(default);
            }
            self.directives(&variable.directives);
        }
        self.depth -= 1;
        self.close_list(is_broken, ')');
    }

    /// What stands before item `index` of a list.
    fn separate(&mut self, index: usize, is_broken: bool) {
        if is_broken {
            self.out.push('\n');
            self.indent();
        } else if index > 0 {
            self.out.push_str(", ");
        }
    }

    fn close_list(&mut self, is_broken: bool, close: char) {
        if is_broken {
            self.out.push('\n');
            self.indent();
        }
        self.out.push(close);
    }

    fn field(&mut self, field: &Field) {
        if let Some(description) = &field.description {
            self.text(description);
            self.out.push('\n');
            self.indent();
        }
        self.out.push_str(&field.name.text);
        self.arguments(field.arguments.as_ref());
        self.out.push_str(": ");
        self.type_ref(&field.ty);
        self.directives(&field.directives);
        self.end_line(end_of(field.ty.place.0, &field.directives));
    }

    fn selection(&mut self, selection: &Selection) {
        if let Some(alias) = &selection.alias {
            self.out.push_str(&alias.text);
            self.out.push_str(": ");
        }
        self.out.push_str(&selection.name.text);
        self.arguments(selection.arguments.as_ref());
        self.directives(&selection.directives);
        let end = selection.place.0.end;
        if let Some(inner) = &selection.selections {
            self.out.push(' ');
            self.block(inner, end, selection_start, |printer, selection| printer.selection(selection));
        }
        self.end_line(end);
    }

    fn directives(&mut self, directives: &[Directive]) {
        for directive in directives {
            self.out.push_str(" @");
            self.out.push_str(&directive.name.text);
            self.arguments(directive.arguments.as_ref());
        }
    }

    fn arguments(&mut self, arguments: Option<&Arguments>) {
        let Some(arguments) = arguments else { return };
        let before = self.out.len();
        self.argument_list(&arguments.items, false);
        if arguments.items.len() > 1 && self.is_too_wide() {
            self.out.truncate(before);
            self.argument_list(&arguments.items, true);
        }
    }

    fn argument_list(&mut self, items: &[Argument], is_broken: bool) {
        self.out.push('(');
        self.depth += 1;
        self.entries(items, is_broken);
        self.depth -= 1;
        self.close_list(is_broken, ')');
    }

    fn entries(&mut self, items: &[Argument], is_broken: bool) {
        for (index, argument) in items.iter().enumerate() {
            self.separate(index, is_broken);
            self.out.push_str(&argument.name.text);
            self.out.push_str(": ");
            self.value(&argument.value);
        }
    }

    fn type_ref(&mut self, ty: &TypeRef) {
        match &ty.shape {
            TypeShape::Named(name) => self.out.push_str(&name.text),
            TypeShape::List(item) => {
                self.out.push('[');
                self.type_ref(item);
                self.out.push(']');
            }
        }
        self.out.push_str(if ty.is_required { "!" } else { "" });
    }

    fn value(&mut self, value: &Value) {
        match &value.kind {
            ValueKind::Number(text) | ValueKind::Name(text) => self.out.push_str(text),
            ValueKind::Text(text) => self.text(text),
            ValueKind::Variable(name) => {
                self.out.push('$');
                self.out.push_str(name);
            }
            ValueKind::List(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index, false);
                    self.value(item);
                }
                self.out.push(']');
            }
            ValueKind::Object(items) => {
                self.out.push('{');
                self.entries(items, false);
                self.out.push('}');
            }
        }
    }

    /// A string: block strings and strings with escapes as written, others in the quotes that need no escape.
    fn text(&mut self, text: &Text) {
        let raw = text.place.0.text(self.source);
        let is_plain = raw.starts_with(['"', '\'']) && raw.ends_with(['"', '\'']);
        if text.is_block || (is_plain && raw.contains('\\')) {
            self.out.push_str(raw);
        } else {
            self.out.push_str(&quote(&text.value, '"'));
        }
    }
}

fn is_plain(field: &Field) -> bool {
    field.description.is_none() && field.arguments.is_none() && field.directives.is_empty() && !field.ty.is_required
}

fn field_start(field: &Field) -> u32 {
    field.description.as_ref().map_or(field.name.span(), |text| text.place.0).start
}

fn selection_start(selection: &Selection) -> u32 {
    selection.place.0.start
}

/// Where the last of `directives` ends, or `own` when there is none.
fn end_of(own: Span, directives: &[Directive]) -> u32 {
    directives.last().map_or(own, |directive| directive.place.0).end
}
