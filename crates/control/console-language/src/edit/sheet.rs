//! A text being edited: its tree, the author's style, and the small changes edits are made of.
//!
//! Every change is a [`Patch`] of a place the tree knows. What stands between is never touched, so layout, comments,
//! order and spelling stay the author's. A line break is only ever deleted together with the whole line it ends: what
//! follows can therefore not slip into a comment.

use std::ops::Range;

use marram_tdm::syntax::ast::{Argument, Arguments, Document, Selection, Value as Written, ValueKind};
use marram_tdm::syntax::{TokenKind, parse, quote};
use marram_tdm::{LineIndex, Span};
use serde_json::Value;

use crate::LanguageError;

/// A replacement of a range of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub range: Range<usize>,
    pub text: String,
}

impl Patch {
    pub fn insert(at: usize, text: impl Into<String>) -> Self {
        Patch { range: at..at, text: text.into() }
    }

    pub fn replace(span: Span, text: impl Into<String>) -> Self {
        Patch { range: span.range(), text: text.into() }
    }

    pub fn delete(range: Range<usize>) -> Self {
        Patch { range, text: String::new() }
    }
}

/// The text with the patches in it. A patch inside one that starts before it is lost with what it changed; an
/// insertion goes before a deletion that starts where it stands.
pub(crate) fn apply(text: &str, mut patches: Vec<Patch>) -> String {
    patches.sort_by_key(|patch| (patch.range.start, patch.range.end));
    let mut out = String::with_capacity(text.len() + patches.iter().map(|patch| patch.text.len()).sum::<usize>());
    let mut at = 0;
    for patch in patches {
        if patch.range.start < at {
            continue;
        }
        out.push_str(&text[at..patch.range.start]);
        out.push_str(&patch.text);
        at = patch.range.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Lines to insert, each with how many levels it is indented further than the first.
pub(crate) type Lines = Vec<(usize, String)>;

/// A block in braces.
pub(crate) struct Block {
    /// Behind the opening brace.
    pub open: usize,
    /// At the closing brace.
    pub close: usize,
    /// What is in it, in order.
    pub children: Vec<Span>,
}

/// A text with its tree and its style.
pub(crate) struct Sheet<'t> {
    pub text: &'t str,
    pub document: Document,
    newline: &'static str,
    unit: String,
    quote: char,
}

impl<'t> Sheet<'t> {
    /// # Errors
    /// The text has syntax errors: places of its tree cannot be relied on.
    pub fn new(text: &'t str) -> Result<Self, LanguageError> {
        let (document, found) = parse(text);
        if let Some(first) = found.iter().find(|found| found.is_error()) {
            let at = LineIndex::new(text).line_col(text, first.span.start);
            let message = format!("line {}, column {}: {}", at.line, at.column, first.message);
            return Err(LanguageError::about("text", message));
        }
        let newline = match text.find('\n') {
            Some(at) if text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        };
        let strings = document.tokens().iter().filter(|token| token.kind == TokenKind::String);
        let (mut single, mut double) = (0usize, 0usize);
        strings.for_each(|token| match text.as_bytes().get(token.span.start as usize) {
            Some(b'\'') => single += 1,
            _ => double += 1,
        });
        let quote = if single > double { '\'' } else { '"' };
        Ok(Sheet { text, unit: indent_unit(text), document, newline, quote })
    }

    /// The same with another quote where the text has no string that shows one.
    pub fn preferring(mut self, quote: char) -> Self {
        if !self.document.tokens().iter().any(|token| token.kind == TokenKind::String) {
            self.quote = quote;
        }
        self
    }

    // ---- writing

    /// A string literal in the author's quotes; in the others when that saves escapes.
    pub fn quoted(&self, value: &str) -> String {
        quote(value, self.quote)
    }

    /// `["a", "b"]`.
    pub fn list(&self, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| self.quoted(name)).collect();
        format!("[{}]", names.join(", "))
    }

    /// A JSON value as a value of the language.
    pub fn value(&self, value: &Value) -> Option<String> {
        Some(match value {
            Value::String(text) => self.quoted(text),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(items) => {
                let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                self.list(&items?)
            }
            _ => return None,
        })
    }

    // ---- looking

    pub fn is_first_on_line(&self, at: usize) -> bool {
        let before = self.text[..at].trim_end_matches([' ', '\t']);
        before.is_empty() || before.ends_with(['\n', '\r'])
    }

    /// The white space the line of `at` starts with.
    fn indent(&self, at: usize) -> &'t str {
        let start = self.text[..at].rfind(['\n', '\r']).map_or(0, |found| found + 1);
        let line = &self.text[start..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }

    /// Behind what still belongs to a line that nothing but commas and a comment continues; `at` itself otherwise.
    fn line_tail(&self, at: usize) -> usize {
        let tokens = self.document.tokens();
        let first = tokens.partition_point(|token| (token.span.start as usize) < at);
        let mut end = at;
        for token in &tokens[first..] {
            match token.kind {
                TokenKind::Space if token.span.text(self.text).contains(['\n', '\r']) => return end,
                TokenKind::Space => {}
                TokenKind::Comma | TokenKind::Comment => end = token.span.end as usize,
                _ => return at,
            }
        }
        end
    }

    fn has_comment(&self, range: &Range<usize>) -> bool {
        let tokens = self.document.tokens();
        let first = tokens.partition_point(|token| (token.span.start as usize) < range.start);
        let inside = tokens[first..].iter().take_while(|token| (token.span.start as usize) < range.end);
        inside.into_iter().any(|token| token.kind == TokenKind::Comment)
    }

    /// Where a comma stands in a range.
    fn has_comma(&self, range: &Range<usize>) -> bool {
        let tokens = self.document.tokens();
        let first = tokens.partition_point(|token| (token.span.start as usize) < range.start);
        let mut inside = tokens[first..].iter().take_while(|token| (token.span.start as usize) < range.end);
        inside.any(|token| token.kind == TokenKind::Comma)
    }

    /// The first token of a kind at or behind `at`.
    fn token_behind(&self, at: usize, kind: TokenKind) -> Option<Span> {
        let tokens = self.document.tokens();
        let first = tokens.partition_point(|token| (token.span.start as usize) < at);
        tokens[first..].iter().find(|token| token.kind == kind).map(|token| token.span)
    }

    /// The block of a selection.
    pub fn block(&self, selection: &Selection) -> Option<Block> {
        let children = selection.selections.as_ref()?.iter().map(|child| child.place.0).collect();
        self.block_behind(header_end(selection), selection.place.0, children)
    }

    /// The block that opens behind `at` and closes where `place` ends.
    pub fn block_behind(&self, at: usize, place: Span, children: Vec<Span>) -> Option<Block> {
        let open = self.token_behind(at, TokenKind::BraceOpen)?.end as usize;
        let close = (place.end as usize).checked_sub(1).filter(|close| self.text[*close..].starts_with('}'))?;
        (open <= close).then_some(Block { open, close, children })
    }

    // ---- blocks

    fn laid_out(&self, lines: &Lines, indent: &str) -> String {
        let written = lines.iter().map(|(depth, line)| format!("{indent}{}{line}", self.unit.repeat(*depth)));
        written.collect::<Vec<_>>().join(self.newline)
    }

    pub fn in_line(lines: &Lines) -> String {
        lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Puts `lines` into a block behind its child `after`; `None`: before all.
    pub fn insert_child(&self, block: &Block, after: Option<usize>, lines: &Lines) -> Patch {
        let newline = self.newline;
        if block.children.is_empty() {
            return self.insert_only_child(block, lines);
        }
        match after.and_then(|after| block.children.get(after)) {
            Some(child) => {
                let (start, end) = (child.start as usize, child.end as usize);
                if self.is_first_on_line(start) {
                    let text = self.laid_out(lines, self.indent(start));
                    return Patch::insert(self.line_tail(end), format!("{newline}{text}"));
                }
                Patch::insert(end, format!(" {}", Self::in_line(lines)))
            }
            None => {
                let first = block.children[0].start as usize;
                if self.is_first_on_line(first) {
                    let text = self.laid_out(lines, self.indent(first));
                    return Patch::insert(self.line_tail(block.open), format!("{newline}{text}"));
                }
                Patch::insert(first, format!("{} ", Self::in_line(lines)))
            }
        }
    }

    fn insert_only_child(&self, block: &Block, lines: &Lines) -> Patch {
        let newline = self.newline;
        let outer = self.indent(block.open);
        let text = self.laid_out(lines, &format!("{outer}{}", self.unit));
        let inside = block.open..block.close;
        if self.has_comment(&inside) {
            // the comments stay above what is added
            let end = self.text[inside.clone()].trim_end_matches([' ', '\t', '\r', '\n', ',']).len() + block.open;
            return Patch::insert(end, format!("{newline}{text}"));
        }
        if lines.len() == 1 && !self.text[inside.clone()].contains(['\n', '\r']) {
            return Patch { range: inside, text: format!(" {} ", lines[0].1) };
        }
        Patch { range: inside, text: format!("{newline}{text}{newline}{outer}") }
    }

    /// Puts `lines` into the block of a selection, which gets one if it has none.
    pub fn append(&self, selection: &Selection, lines: &Lines) -> Patch {
        match self.block(selection) {
            Some(block) => self.insert_child(&block, block.children.len().checked_sub(1), lines),
            None => {
                let end = selection.place.0.end as usize;
                if lines.len() == 1 {
                    return Patch::insert(end, format!(" {{ {} }}", lines[0].1));
                }
                let outer = self.indent(selection.place.0.start as usize);
                let text = self.laid_out(lines, &format!("{outer}{}", self.unit));
                let newline = self.newline;
                Patch::insert(end, format!(" {{{newline}{text}{newline}{outer}}}"))
            }
        }
    }

    /// Takes out a whole construct: with its lines when nothing else stands on them.
    pub fn remove(&self, span: Span) -> Patch {
        let (start, end) = (span.start as usize, span.end as usize);
        let tail = &self.text[end..];
        let blank = tail.len() - tail.trim_start_matches([' ', '\t', ',']).len();
        let is_last = tail[blank..].is_empty() || tail[blank..].starts_with(['\n', '\r']);
        if self.is_first_on_line(start) && is_last {
            let from = self.text[..start].trim_end_matches([' ', '\t']).len();
            let rest = &tail[blank..];
            let line_break = if rest.starts_with("\r\n") { 2 } else { usize::from(!rest.is_empty()) };
            return Patch::delete(from..end + blank + line_break);
        }
        if self.is_first_on_line(start) {
            return Patch::delete(start..end + blank);
        }
        let from = self.text[..start].trim_end_matches([' ', '\t']).len();
        let is_apart = tail.starts_with([' ', '\t', ',', '\n', '\r', '}', ')', ']']) || tail.is_empty();
        Patch { range: from..end, text: if is_apart { String::new() } else { " ".to_owned() } }
    }

    // ---- lists and arguments

    /// Changes of a bracketed list of items: `removed` are indexes, `added` goes behind the last one kept. `None` when
    /// nothing would be left.
    pub fn change_items(&self, items: &[Span], removed: &[usize], added: &[String]) -> Option<Vec<Patch>> {
        let is_removed = |index: &usize| removed.contains(index);
        let kept: Vec<usize> = (0..items.len()).filter(|index| !is_removed(index)).collect();
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return None };
        if kept.is_empty() {
            if added.is_empty() {
                return None;
            }
            let whole = first.start as usize..last.end as usize;
            return Some(vec![Patch { range: whole, text: added.join(", ") }]);
        }
        let mut patches = Vec::new();
        let mut index = 0;
        while index < items.len() {
            if !is_removed(&index) {
                index += 1;
                continue;
            }
            let run = index;
            while index < items.len() && is_removed(&index) {
                index += 1;
            }
            let range = match run.checked_sub(1) {
                Some(before) => items[before].end as usize..items[index - 1].end as usize,
                None => items[0].start as usize..items[index].start as usize,
            };
            if self.has_comment(&range) {
                // commas never matter, so those that stay behind do no harm
                patches.extend(items[run..index].iter().map(|item| Patch::delete(item.range())));
            } else {
                patches.push(Patch::delete(range));
            }
        }
        if let (Some(last), false) = (kept.last(), added.is_empty()) {
            patches.push(self.insert_items(items, *last, added));
        }
        Some(patches)
    }

    fn insert_items(&self, items: &[Span], after: usize, added: &[String]) -> Patch {
        let end = items[after].end as usize;
        let gap = |index: usize| items[index].end as usize..items[index + 1].start as usize;
        let has_commas = items.len() < 2 || (0..items.len() - 1).any(|index| self.has_comma(&gap(index)));
        let comma = if has_commas { "," } else { "" };
        let start = items[after].start as usize;
        let mut text = String::new();
        for item in added {
            text.push_str(comma);
            if self.is_first_on_line(start) {
                text.push_str(self.newline);
                text.push_str(self.indent(start));
            } else {
                text.push(' ');
            }
            text.push_str(item);
        }
        Patch::insert(end, text)
    }

    /// Sets (`Some`, as written) or removes an argument of something called `name` that ends at `name_end`.
    pub fn set_argument(
        &self,
        arguments: Option<&Arguments>,
        name_end: usize,
        name: &str,
        value: Option<&str>,
    ) -> Vec<Patch> {
        self.set_arguments(arguments, name_end, &[(name, value)])
    }

    /// [`Self::set_argument`] for several.
    pub fn set_arguments(
        &self,
        arguments: Option<&Arguments>,
        name_end: usize,
        changes: &[(&str, Option<&str>)],
    ) -> Vec<Patch> {
        let items: &[Argument] = arguments.map_or(&[], |arguments| &arguments.items);
        let spans: Vec<Span> = items.iter().map(argument_span).collect();
        let (mut patches, mut removed, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in changes {
            let found: Vec<usize> = (0..items.len()).filter(|index| items[*index].name.is(name)).collect();
            match (value, found.last()) {
                (Some(value), Some(last)) => {
                    let span = items[*last].value.span();
                    if span.text(self.text) != *value {
                        patches.push(Patch::replace(span, *value));
                    }
                }
                (Some(value), None) => added.push(format!("{name}: {value}")),
                (None, _) => removed.extend(found),
            }
        }
        if removed.is_empty() && added.is_empty() {
            return patches;
        }
        if let Some(changed) = self.change_items(&spans, &removed, &added) {
            patches.extend(changed);
            return patches;
        }
        match arguments {
            Some(written) if added.is_empty() => patches.push(Patch::delete(written.place.0.range())),
            Some(written) => {
                let inside = written.place.0.start as usize + 1;
                patches.push(Patch::insert(inside, added.join(", ")));
            }
            None if !added.is_empty() => patches.push(Patch::insert(name_end, format!("({})", added.join(", ")))),
            None => {}
        }
        patches
    }

    /// [`Self::set_argument`] of a selection.
    pub fn set_of(&self, selection: &Selection, name: &str, value: Option<&str>) -> Vec<Patch> {
        self.set_argument(selection.arguments.as_ref(), selection.name.span().end as usize, name, value)
    }

    /// Adds names to, and removes values from, an argument that holds one name or a list. `None`: nothing is left.
    pub fn change_names(&self, value: &Written, removed: &[Span], added: &[&str]) -> Option<Vec<Patch>> {
        let written: Vec<String> = added.iter().map(|name| self.quoted(name)).collect();
        match &value.kind {
            ValueKind::List(items) => {
                let spans: Vec<Span> = items.iter().map(Written::span).collect();
                let gone: Vec<usize> = (0..spans.len()).filter(|index| removed.contains(&spans[*index])).collect();
                if spans.is_empty() {
                    let inside = value.span().start as usize + 1;
                    return (!written.is_empty()).then(|| vec![Patch::insert(inside, written.join(", "))]);
                }
                self.change_items(&spans, &gone, &written)
            }
            _ if removed.contains(&value.span()) => match added {
                [] => None,
                [only] => Some(vec![Patch::replace(value.span(), self.quoted(only))]),
                several => Some(vec![Patch::replace(value.span(), self.list(several))]),
            },
            _ if added.is_empty() => Some(Vec::new()),
            _ => {
                let kept = value.span().text(self.text);
                Some(vec![Patch::replace(value.span(), format!("[{kept}, {}]", written.join(", ")))])
            }
        }
    }
}

/// Where the header of a selection ends: before its block.
pub(crate) fn header_end(selection: &Selection) -> usize {
    let mut end = selection.name.span().end;
    if let Some(arguments) = &selection.arguments {
        end = end.max(arguments.place.0.end);
    }
    let last = selection.directives.last().map_or(end, |directive| directive.place.0.end);
    end.max(last) as usize
}

pub(crate) fn argument_span(argument: &Argument) -> Span {
    argument.name.span().to(argument.value.span())
}

/// What the author indents by: the least indentation of a line; tabs when a line starts with one.
fn indent_unit(text: &str) -> String {
    let indents = text.lines().map(|line| &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]);
    let used = indents.zip(text.lines()).filter(|(indent, line)| !indent.is_empty() && indent.len() < line.len());
    let least = used.map(|(indent, _)| indent).min_by_key(|indent| indent.len());
    match least {
        Some(indent) if indent.starts_with('\t') => "\t".to_owned(),
        Some(indent) if indent.len() <= 8 => indent.to_owned(),
        _ => "  ".to_owned(),
    }
}
