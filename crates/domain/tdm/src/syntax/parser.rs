//! The parser (TG 2.2): recursive descent that always reaches the end of the text.
//!
//! A mistake costs the item it is in. Recovery goes to the end of the enclosing block, or to a word that starts a
//! definition, whichever comes first. Depth is bounded by `MAX_NESTING`; over it the rest of the text is not read.

use marram_diag::{Diagnostic, Span};
use smol_str::SmolStr;

use super::ast::*;
use super::strings::{dedent, unescape};
use super::token::{Token, TokenKind};
use super::{MAX_DEFINITIONS, MAX_NESTING};
use crate::codes::*;

/// The item at hand cannot be read; the mistake is reported already.
struct Broken;

type Parsed<T> = Result<T, Broken>;

const KEYWORDS: [&str; 3] = ["type", "query", "enum"];
const UNSUPPORTED: [&str; 10] =
    ["mutation", "subscription", "fragment", "schema", "scalar", "interface", "union", "input", "directive", "extend"];

pub(super) struct Parser<'s> {
    source: &'s str,
    all: &'s [Token],
    /// Indices into `all` of the tokens the grammar sees.
    seen: Vec<u32>,
    at: usize,
    depth: usize,
    /// The rest of the text is not read: what is missing there is no further mistake.
    has_given_up: bool,
    findings: &'s mut Findings,
}

impl<'s> Parser<'s> {
    pub fn new(source: &'s str, all: &'s [Token], findings: &'s mut Findings) -> Self {
        let seen = all.iter().enumerate().filter(|(_, token)| !token.kind.is_trivia());
        let seen = seen.map(|(index, _)| u32::try_from(index).expect("fewer tokens than bytes")).collect();
        Parser { source, all, seen, at: 0, depth: 0, has_given_up: false, findings }
    }

    pub fn document(mut self) -> Document {
        let mut document = Document::default();
        if self.kind() == Some(TokenKind::BraceOpen) {
            let opening = self.span();
            let is_wrapper = self.kind_after(1).is_some_and(|kind| kind == TokenKind::BraceClose || kind.is_string())
                || self.is_word_at(1, &KEYWORDS)
                || self.is_word_at(1, &UNSUPPORTED);
            if is_wrapper || self.kind_after(1).is_none() {
                self.at += 1;
                document.is_wrapped = true;
                self.definitions(&mut document.definitions);
                if self.kind() == Some(TokenKind::BraceClose) {
                    self.at += 1;
                } else if !self.has_given_up {
                    self.findings.error(TDM2003, opening, "the outer `{` is never closed");
                }
            } else {
                self.anonymous(opening);
            }
        }
        loop {
            self.definitions(&mut document.definitions);
            match self.kind() {
                None => break,
                Some(TokenKind::BraceClose) => {
                    let message = "`}` without an opening brace";
                    self.findings.error(TDM2003, self.span(), message);
                    self.at += 1;
                }
                Some(_) => {
                    self.skip_group();
                }
            }
        }
        document
    }

    /// `Fragment = [ "{" ] Selection* [ "}" ] EOF`.
    pub fn fragment(mut self) -> Vec<Selection> {
        let opening = (self.kind() == Some(TokenKind::BraceOpen)).then(|| self.span());
        self.at += usize::from(opening.is_some());
        let mut selections = Vec::new();
        while self.kind().is_some_and(|kind| kind != TokenKind::BraceClose) {
            match self.selection() {
                Ok(selection) => selections.push(selection),
                Err(Broken) => self.recover(),
            }
        }
        match (opening, self.kind()) {
            (Some(_), Some(_)) => self.at += 1,
            (Some(span), None) => self.findings.error(TDM2003, span, "the outer `{` is never closed"),
            (None, _) => {}
        }
        if self.kind().is_some() {
            self.unexpected("the end of the fragment");
        }
        selections
    }

    fn anonymous(&mut self, opening: Span) {
        let found = Diagnostic::error(TDM2004, opening, "a selection set without `query` defines nothing")
            .help("start each definition with `type`, `query` or `enum`");
        self.findings.push(found);
        self.skip_group();
    }

    /// Reads definitions up to a closing brace or the end.
    fn definitions(&mut self, into: &mut Vec<Definition>) {
        while let Some(kind) = self.kind() {
            if kind == TokenKind::BraceClose {
                return;
            }
            if into.len() >= MAX_DEFINITIONS {
                let message = format!("the document has more than {MAX_DEFINITIONS} definitions");
                self.findings.error(TDM1005, self.span(), message);
                self.give_up();
                return;
            }
            if kind == TokenKind::BraceOpen {
                self.anonymous(self.span());
                continue;
            }
            match self.definition() {
                Ok(definition) => into.push(definition),
                Err(Broken) => self.recover_to_definition(),
            }
        }
    }

    fn definition(&mut self) -> Parsed<Definition> {
        let description = match self.kind() {
            Some(kind) if kind.is_string() => Some(self.text()?),
            _ => None,
        };
        let first = description.as_ref().map_or_else(|| self.span(), |text| text.place.0);
        let keyword = self.span();
        let word = if self.kind() == Some(TokenKind::Name) { keyword.text(self.source) } else { "" };
        let Some(form) = KEYWORDS.iter().position(|known| known.eq_ignore_ascii_case(word)) else {
            if UNSUPPORTED.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                let message = format!("`{word}` definitions do not exist in TDM");
                let found = Diagnostic::error(TDM2002, keyword, message).help("use `type`, `query` or `enum`");
                self.findings.push(found);
                self.at += 1;
            } else {
                self.unexpected("`type`, `query` or `enum`");
            }
            return Err(Broken);
        };
        self.at += 1;
        let name = self.name("a name")?;
        let mut definition = Definition {
            description,
            name,
            directives: Vec::new(),
            body: Body::Enum { members: Vec::new() },
            keyword: Place(keyword),
            place: Place(keyword),
            slice: Place(keyword),
        };
        match form {
            0 => self.type_definition(&mut definition)?,
            1 => self.query_definition(&mut definition)?,
            _ => self.enum_definition(&mut definition)?,
        }
        definition.place = Place(keyword.to(self.previous_span()));
        definition.slice = Place(self.slice_start(first).to(self.previous_span()));
        Ok(definition)
    }

    fn type_definition(&mut self, definition: &mut Definition) -> Parsed<()> {
        let mut implements = Vec::new();
        loop {
            match self.kind() {
                // once a name follows `implements`, directives belong to it
                Some(TokenKind::At) => definition.directives.push(self.directive()?),
                Some(TokenKind::Name) if self.is_word_at(0, &["implements"]) => {
                    self.at += 1;
                    self.interfaces(&mut implements)?;
                }
                _ => break,
            }
        }
        let fields = self.block(Self::field)?;
        definition.body = Body::Type { implements, fields };
        Ok(())
    }

    fn interfaces(&mut self, into: &mut Vec<Interface>) -> Parsed<()> {
        let before = into.len();
        loop {
            let ampersand = self.eat(TokenKind::Ampersand);
            if !ampersand && into.len() > before && self.kind() != Some(TokenKind::Name)
                || self.is_word_at(0, &["implements"])
            {
                return Ok(());
            }
            let name = self.name("the name of what is implemented")?;
            into.push(Interface { name, directives: self.directives()? });
        }
    }

    fn query_definition(&mut self, definition: &mut Definition) -> Parsed<()> {
        let mut variables = Vec::new();
        if self.kind() == Some(TokenKind::ParenOpen) {
            let opening = self.span();
            self.at += 1;
            while !self.eat(TokenKind::ParenClose) {
                if self.kind().is_none() {
                    self.unclosed(opening, ")");
                    return Err(Broken);
                }
                variables.push(self.variable_definition()?);
            }
        }
        definition.directives = self.directives()?;
        let selections = self.block(Self::selection)?;
        definition.body = Body::Query { variables, selections };
        Ok(())
    }

    fn enum_definition(&mut self, definition: &mut Definition) -> Parsed<()> {
        definition.directives = self.directives()?;
        let members = self.block(|parser| {
            let name = parser.name("the name of a member")?;
            Ok(Member { name, directives: parser.directives()? })
        })?;
        definition.body = Body::Enum { members };
        Ok(())
    }

    /// `{ item* }`. A broken item is skipped to the end of its line's construct, not to the end of the block.
    fn block<T>(&mut self, item: impl Fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let opening = self.span();
        self.expect(TokenKind::BraceOpen, "`{`")?;
        self.enter(opening)?;
        let mut items = Vec::new();
        loop {
            match self.kind() {
                Some(TokenKind::BraceClose) => break,
                None => {
                    self.unclosed(opening, "}");
                    self.depth -= 1;
                    return Ok(items);
                }
                _ => {}
            }
            if self.is_definition_start() {
                self.unclosed(opening, "}");
                self.depth -= 1;
                return Ok(items);
            }
            match item(self) {
                Ok(item) => items.push(item),
                Err(Broken) => self.recover(),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(items)
    }

    fn field(&mut self) -> Parsed<Field> {
        let description = match self.kind() {
            Some(kind) if kind.is_string() => Some(self.text()?),
            _ => None,
        };
        let name = self.name("the name of a field")?;
        let arguments = self.arguments()?;
        self.expect(TokenKind::Colon, "`:` and a type")?;
        let ty = self.type_ref()?;
        Ok(Field { description, name, arguments, ty, directives: self.directives()? })
    }

    fn variable_definition(&mut self) -> Parsed<VariableDefinition> {
        self.expect(TokenKind::Dollar, "`$` and the name of a parameter")?;
        let name = self.name("the name of a parameter")?;
        self.expect(TokenKind::Colon, "`:` and a type")?;
        let ty = self.type_ref()?;
        let default = if self.eat(TokenKind::Equals) { Some(self.value()?) } else { None };
        Ok(VariableDefinition { name, ty, default, directives: self.directives()? })
    }

    fn selection(&mut self) -> Parsed<Selection> {
        let start = self.span();
        let mut name = self.name("a name")?;
        let mut alias = None;
        if self.eat(TokenKind::Colon) {
            alias = Some(std::mem::replace(&mut name, self.name("a name after the alias")?));
        }
        let arguments = self.arguments()?;
        let directives = self.directives()?;
        let selections =
            if self.kind() == Some(TokenKind::BraceOpen) { Some(self.block(Self::selection)?) } else { None };
        let place = Place(start.to(self.previous_span()));
        Ok(Selection { alias, name, arguments, directives, selections, place })
    }

    fn directives(&mut self) -> Parsed<Vec<Directive>> {
        let mut directives = Vec::new();
        while self.kind() == Some(TokenKind::At) {
            directives.push(self.directive()?);
        }
        Ok(directives)
    }

    fn directive(&mut self) -> Parsed<Directive> {
        let start = self.span();
        self.at += 1;
        let name = self.name("the name of a directive")?;
        let arguments = self.arguments()?;
        Ok(Directive { name, arguments, place: Place(start.to(self.previous_span())) })
    }

    fn arguments(&mut self) -> Parsed<Option<Arguments>> {
        if self.kind() != Some(TokenKind::ParenOpen) {
            return Ok(None);
        }
        let opening = self.span();
        self.at += 1;
        let items = self.entries(opening, TokenKind::ParenClose, ")")?;
        Ok(Some(Arguments { items, place: Place(opening.to(self.previous_span())) }))
    }

    /// `( Name ":" Value )*` up to `close`.
    fn entries(&mut self, opening: Span, close: TokenKind, text: &str) -> Parsed<Vec<Argument>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            if self.kind().is_none() {
                self.unclosed(opening, text);
                return Err(Broken);
            }
            let name = self.name("the name of an argument")?;
            self.expect(TokenKind::Colon, "`:` and a value")?;
            items.push(Argument { name, value: self.value()? });
        }
        Ok(items)
    }

    fn type_ref(&mut self) -> Parsed<TypeRef> {
        let start = self.span();
        let shape = if self.eat(TokenKind::BracketOpen) {
            self.enter(start)?;
            let item = self.type_ref()?;
            self.expect(TokenKind::BracketClose, "`]`")?;
            self.depth -= 1;
            TypeShape::List(Box::new(item))
        } else {
            TypeShape::Named(self.name("a type")?)
        };
        let is_required = self.eat(TokenKind::Bang);
        Ok(TypeRef { shape, is_required, place: Place(start.to(self.previous_span())) })
    }

    fn value(&mut self) -> Parsed<Value> {
        let start = self.span();
        let word = || SmolStr::new(start.text(self.source));
        let kind = match self.kind() {
            Some(TokenKind::Number) => {
                let number = word();
                self.at += 1;
                ValueKind::Number(number)
            }
            Some(TokenKind::Name) => {
                let name = word();
                self.at += 1;
                ValueKind::Name(name)
            }
            Some(kind) if kind.is_string() => ValueKind::Text(self.text()?),
            Some(TokenKind::Dollar) => {
                self.at += 1;
                ValueKind::Variable(self.name("the name of a variable")?.text)
            }
            Some(TokenKind::BracketOpen) => {
                self.at += 1;
                self.enter(start)?;
                let mut items = Vec::new();
                while !self.eat(TokenKind::BracketClose) {
                    if self.kind().is_none() {
                        self.unclosed(start, "]");
                        return Err(Broken);
                    }
                    items.push(self.value()?);
                }
                self.depth -= 1;
                ValueKind::List(items)
            }
            Some(TokenKind::BraceOpen) => {
                self.at += 1;
                self.enter(start)?;
                let items = self.entries(start, TokenKind::BraceClose, "}")?;
                self.depth -= 1;
                ValueKind::Object(items)
            }
            _ => {
                self.unexpected("a value");
                return Err(Broken);
            }
        };
        Ok(Value { kind, place: Place(start.to(self.previous_span())) })
    }

    fn text(&mut self) -> Parsed<Text> {
        let span = self.span();
        let raw = span.text(self.source);
        let kind = self.kind();
        self.at += 1;
        let is_block = kind == Some(TokenKind::BlockString);
        let value = if is_block {
            let inside = raw.get(3..).unwrap_or_default();
            dedent(inside.strip_suffix("\"\"\"").unwrap_or(inside))
        } else {
            let mut inside = raw.chars();
            inside.next();
            let is_closed =
                inside.clone().next_back().is_some_and(|c| "\"'\u{201C}\u{201D}\u{2018}\u{2019}".contains(c));
            if is_closed {
                inside.next_back();
            }
            unescape(inside.as_str(), |_| {})
        };
        Ok(Text { value: SmolStr::new(value), is_block, place: Place(span) })
    }

    fn name(&mut self, wanted: &str) -> Parsed<Name> {
        if self.kind() != Some(TokenKind::Name) {
            self.unexpected(wanted);
            return Err(Broken);
        }
        let span = self.span();
        self.at += 1;
        Ok(Name { text: SmolStr::new(span.text(self.source)), place: Place(span) })
    }

    /// One level deeper. Over the limit the rest of the text is given up: it could only nest deeper.
    fn enter(&mut self, opening: Span) -> Parsed<()> {
        self.depth += 1;
        if self.depth <= MAX_NESTING {
            return Ok(());
        }
        let message = format!("blocks, lists and objects nest deeper than {MAX_NESTING}");
        self.findings.error(TDM1005, opening, message);
        self.give_up();
        Err(Broken)
    }

    fn give_up(&mut self) {
        self.at = self.seen.len();
        self.has_given_up = true;
    }

    // ---- looking and moving

    fn token(&self, ahead: usize) -> Option<Token> {
        self.seen.get(self.at + ahead).map(|index| self.all[*index as usize])
    }

    fn kind(&self) -> Option<TokenKind> {
        self.kind_after(0)
    }

    fn kind_after(&self, ahead: usize) -> Option<TokenKind> {
        self.token(ahead).map(|token| token.kind)
    }

    fn span(&self) -> Span {
        self.token(0).map_or_else(|| Span::at(self.source.len()), |token| token.span)
    }

    fn previous_span(&self) -> Span {
        let previous = self.at.checked_sub(1).and_then(|at| self.seen.get(at));
        previous.map_or(Span::at(0), |index| self.all[*index as usize].span)
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let is_there = self.kind() == Some(kind);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, kind: TokenKind, wanted: &str) -> Parsed<()> {
        if self.eat(kind) {
            return Ok(());
        }
        self.unexpected(wanted);
        Err(Broken)
    }

    fn is_word_at(&self, ahead: usize, words: &[&str]) -> bool {
        let Some(token) = self.token(ahead).filter(|token| token.kind == TokenKind::Name) else { return false };
        let text = token.span.text(self.source);
        words.iter().any(|word| word.eq_ignore_ascii_case(text))
    }

    /// Whether a definition starts here although a block is open: `type|query|enum Name @..`, at the start of a line.
    fn is_definition_start(&self) -> bool {
        self.is_word_at(0, &KEYWORDS)
            && self.kind_after(1) == Some(TokenKind::Name)
            && (self.kind_after(2) == Some(TokenKind::At) || self.is_word_at(2, &["implements"]))
            && self.is_first_on_line(self.span())
    }

    /// Costs the indentation, not the line: a line may be a megabyte long.
    fn is_first_on_line(&self, span: Span) -> bool {
        let before = self.source.as_bytes()[..span.start as usize].iter().rev();
        let mut before = before.skip_while(|byte| matches!(byte, b' ' | b'\t'));
        before.next().is_none_or(|byte| matches!(byte, b'\n' | b'\r'))
    }

    // ---- mistakes

    fn unexpected(&mut self, wanted: &str) {
        if self.has_given_up {
            return;
        }
        let span = self.span();
        let found = match span.text(self.source) {
            "" => "the end of the text".to_owned(),
            text if text.chars().nth(40).is_some() => format!("`{}...`", text.chars().take(40).collect::<String>()),
            text => format!("`{text}`"),
        };
        self.findings.error(TDM2001, span, format!("expected {wanted}, found {found}"));
    }

    fn unclosed(&mut self, opening: Span, close: &str) {
        if self.has_given_up {
            return;
        }
        let found = Diagnostic::error(TDM2001, self.span(), format!("expected `{close}`"))
            .label(opening, "this is never closed");
        self.findings.push(found);
    }

    /// Skips to something a block can go on with: its closing brace, a definition, or a name at the start of a line.
    fn recover(&mut self) {
        let stuck = self.at;
        while let Some(kind) = self.kind() {
            if kind == TokenKind::BraceClose || self.is_definition_start() {
                return;
            }
            let is_fresh = self.at > stuck && kind == TokenKind::Name && self.is_first_on_line(self.span());
            if is_fresh {
                return;
            }
            self.skip_group();
        }
    }

    fn recover_to_definition(&mut self) {
        let stuck = self.at;
        while let Some(kind) = self.kind() {
            let starts = self.is_word_at(0, &KEYWORDS) || self.is_word_at(0, &UNSUPPORTED);
            let is_placed = self.kind_after(1) == Some(TokenKind::Name) || self.is_first_on_line(self.span());
            let is_field = self.kind_after(1) == Some(TokenKind::Colon);
            let starts_by_position = self.at > stuck && starts && is_placed && !is_field;
            if kind == TokenKind::BraceClose || self.is_definition_start() || starts_by_position {
                return;
            }
            self.skip_group();
        }
    }

    /// Skips one token, or everything up to the brace that closes this one. Stops early where a definition starts.
    fn skip_group(&mut self) {
        let mut open = 0usize;
        while let Some(kind) = self.kind() {
            if open > 0 && self.is_definition_start() {
                return;
            }
            self.at += 1;
            match kind {
                TokenKind::BraceOpen => open += 1,
                TokenKind::BraceClose => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
    }

    /// Start of the comment block directly above `first`: comments alone on their lines, no blank line between.
    fn slice_start(&self, first: Span) -> Span {
        let mut start = first;
        let index = self.all.partition_point(|token| token.span.start < first.start);
        let mut lines = 0;
        for token in self.all[..index].iter().rev() {
            match token.kind {
                TokenKind::Space => {
                    lines += token.span.text(self.source).matches('\n').count();
                    if lines > 1 {
                        break;
                    }
                }
                TokenKind::Comment if lines == 1 && self.is_first_on_line(token.span) => {
                    start = token.span;
                    lines = 0;
                }
                _ => break,
            }
        }
        start
    }
}
