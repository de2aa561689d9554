//! What surrounds a place of a text that may be half written: read from the tokens before it, not from a tree.

use marram_tdm::Span;
use marram_tdm::syntax::{Token, TokenKind, parse};
use smol_str::SmolStr;

/// The header of a definition or selection, as far as it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    /// `type`, `query` or `enum` in lower case; empty for a selection or field.
    pub keyword: SmolStr,
    pub name: SmolStr,
    pub arguments: Vec<(SmolStr, SmolStr)>,
    pub directives: Vec<Called>,
}

/// A directive with its arguments.
#[derive(Clone, Debug, Default)]
pub(super) struct Called {
    pub name: SmolStr,
    pub arguments: Vec<(SmolStr, SmolStr)>,
}

impl Header {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub fn argument(&self, name: &str) -> Option<&str> {
        find(&self.arguments, name)
    }

    pub fn directive(&self, name: &str) -> Option<&Called> {
        self.directives.iter().find(|directive| directive.name.eq_ignore_ascii_case(name))
    }
}

impl Called {
    pub fn argument(&self, name: &str) -> Option<&str> {
        find(&self.arguments, name)
    }
}

fn find<'a>(arguments: &'a [(SmolStr, SmolStr)], name: &str) -> Option<&'a str> {
    let found = arguments.iter().rfind(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// What may be written at the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A definition or a child of the innermost block.
    Item,
    /// A directive of the header at hand.
    Directive,
    /// The name of an argument: of the last directive, or of the header itself.
    ArgumentName { of_directive: bool },
    /// The value of an argument.
    ArgumentValue { of_directive: bool, argument: SmolStr },
    /// A data type.
    DataType,
    /// Nothing that could be proposed.
    Nothing,
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Open blocks, outermost first; a wrapper's has an empty header.
    pub blocks: Vec<Header>,
    /// The header the place is in.
    pub header: Header,
    pub wanted: Wanted,
    /// The string the place is inside of, without its quotes.
    pub string: Option<Span>,
    /// The word at the place; empty when there is none.
    pub word: Span,
}

enum Open {
    Block,
    Arguments { of_directive: bool },
    Parameters,
    List,
    Object,
}

/// Reads what surrounds byte `at`.
pub(super) fn read(text: &str, at: usize) -> Place {
    let (document, _) = parse(text);
    let mut reader = Reader::default();
    let mut place = Place {
        blocks: Vec::new(),
        header: Header::default(),
        wanted: Wanted::Nothing,
        string: None,
        word: Span::at(at),
    };
    let mut is_comment = false;
    for token in document.tokens() {
        let (start, end) = (token.span.start as usize, token.span.end as usize);
        if start >= at {
            if token.kind == TokenKind::Name && start == at {
                place.word = token.span;
            }
            break;
        }
        if end >= at {
            match token.kind {
                TokenKind::Name => {
                    place.word = token.span;
                    break;
                }
                kind if kind.is_string() => {
                    let inside = inside_of(text, *token);
                    if inside.start as usize <= at && at <= inside.end as usize {
                        place.string = Some(inside);
                        break;
                    }
                }
                TokenKind::Comment => is_comment = true,
                _ => {}
            }
        }
        reader.take(text, *token);
    }
    place.wanted = if is_comment { Wanted::Nothing } else { reader.wanted() };
    place.blocks = reader.blocks;
    place.header = reader.header;
    place
}

/// A string without its quotes; to the end of the line when it is not closed.
fn inside_of(text: &str, token: Token) -> Span {
    let raw = token.span.text(text);
    let quotes = if token.kind == TokenKind::BlockString { 3 } else { raw.chars().next().map_or(0, char::len_utf8) };
    let (start, end) = (token.span.start as usize, token.span.end as usize);
    let closing = match token.kind {
        TokenKind::BlockString if raw.len() >= 6 && raw.ends_with("\"\"\"") => 3,
        TokenKind::BlockString => 0,
        _ => {
            let last = raw.chars().next_back().filter(|_| raw.len() > quotes);
            let is_quote = last.is_some_and(|c| "\"'\u{201C}\u{201D}\u{2018}\u{2019}".contains(c));
            if is_quote { last.map_or(0, char::len_utf8) } else { 0 }
        }
    };
    Span::new(start + quotes, end.saturating_sub(closing).max(start + quotes))
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    blocks: Vec<Header>,
    header: Header,
    /// The argument whose value is due, behind its colon.
    argument: Option<SmolStr>,
    /// The name that may turn out to be an argument's.
    candidate: Option<SmolStr>,
    last: Option<TokenKind>,
    /// Names follow that are no items: behind `implements`, in a type.
    in_type: bool,
}

impl Reader {
    fn wanted(&self) -> Wanted {
        match self.open.last() {
            None | Some(Open::Block) => match self.last {
                Some(TokenKind::At) => Wanted::Directive,
                Some(TokenKind::Colon) => Wanted::DataType,
                _ if !self.header.keyword.is_empty() && self.header.name.is_empty() => Wanted::Nothing,
                _ => Wanted::Item,
            },
            Some(Open::Arguments { of_directive }) => match &self.argument {
                Some(argument) => Wanted::ArgumentValue { of_directive: *of_directive, argument: argument.clone() },
                None if self.candidate.is_some() => Wanted::Nothing,
                None => Wanted::ArgumentName { of_directive: *of_directive },
            },
            Some(Open::Parameters) => match self.last {
                Some(TokenKind::Colon) => Wanted::DataType,
                _ => Wanted::Nothing,
            },
            Some(Open::List) => {
                let of = self.open.iter().rev().find_map(|open| match open {
                    Open::Arguments { of_directive } => Some(*of_directive),
                    _ => None,
                });
                match (of, &self.argument) {
                    (Some(of_directive), Some(argument)) => {
                        Wanted::ArgumentValue { of_directive, argument: argument.clone() }
                    }
                    _ => Wanted::DataType,
                }
            }
            Some(Open::Object) => Wanted::Nothing,
        }
    }

    fn take(&mut self, text: &str, token: Token) {
        if token.kind.is_trivia() {
            return;
        }
        let word = token.span.text(text);
        match self.open.last() {
            None | Some(Open::Block) => self.in_block(token.kind, word),
            Some(Open::Arguments { of_directive }) => {
                let of_directive = *of_directive;
                self.in_arguments(token.kind, word, of_directive);
            }
            Some(Open::Parameters) => {
                if token.kind == TokenKind::ParenClose {
                    self.open.pop();
                }
            }
            Some(Open::List) => match token.kind {
                TokenKind::BracketOpen => self.open.push(Open::List),
                TokenKind::BraceOpen => self.open.push(Open::Object),
                TokenKind::BracketClose => {
                    self.open.pop();
                    if matches!(self.open.last(), Some(Open::Arguments { .. })) {
                        self.argument = None;
                    }
                }
                _ => {}
            },
            Some(Open::Object) => match token.kind {
                TokenKind::BraceOpen => self.open.push(Open::Object),
                TokenKind::BracketOpen => self.open.push(Open::List),
                TokenKind::BraceClose => {
                    self.open.pop();
                    if matches!(self.open.last(), Some(Open::Arguments { .. })) {
                        self.argument = None;
                    }
                }
                _ => {}
            },
        }
        self.last = Some(token.kind);
    }

    fn in_block(&mut self, kind: TokenKind, word: &str) {
        match kind {
            TokenKind::Name => self.name(word),
            TokenKind::BracketOpen => self.open.push(Open::List),
            TokenKind::ParenOpen => {
                let is_query = self.header.keyword == "query" && self.header.directives.is_empty();
                let of_directive = !self.header.directives.is_empty();
                self.open.push(if is_query { Open::Parameters } else { Open::Arguments { of_directive } });
                (self.argument, self.candidate) = (None, None);
            }
            TokenKind::BraceOpen => {
                self.open.push(Open::Block);
                self.blocks.push(std::mem::take(&mut self.header));
                self.in_type = false;
            }
            TokenKind::BraceClose => {
                self.open.pop();
                self.blocks.pop();
                self.header = Header::default();
                self.in_type = false;
            }
            TokenKind::Colon => self.in_type = true,
            _ => {}
        }
    }

    fn name(&mut self, word: &str) {
        let lower = word.to_ascii_lowercase();
        let is_outside = self.blocks.iter().all(|block| block.name.is_empty());
        if self.last == Some(TokenKind::At) {
            self.in_type = false;
            self.header.directives.push(Called { name: SmolStr::new(word), arguments: Vec::new() });
        } else if self.last == Some(TokenKind::Colon) || (self.in_type && is_outside) {
            // the type of a field, or what a definition implements
        } else if is_outside && ["type", "query", "enum"].contains(&lower.as_str()) {
            self.header = Header { keyword: SmolStr::new(lower), ..Header::default() };
            self.in_type = false;
        } else if is_outside && lower == "implements" {
            self.in_type = true;
        } else if !self.header.keyword.is_empty() && self.header.name.is_empty() {
            self.header.name = SmolStr::new(word);
        } else if !is_outside {
            self.header = Header { name: SmolStr::new(word), ..Header::default() };
            self.in_type = false;
        }
    }

    fn in_arguments(&mut self, kind: TokenKind, word: &str, of_directive: bool) {
        match kind {
            TokenKind::ParenClose => {
                self.open.pop();
                (self.argument, self.candidate) = (None, None);
            }
            TokenKind::Colon => self.argument = self.candidate.take(),
            TokenKind::BracketOpen => self.open.push(Open::List),
            TokenKind::BraceOpen => self.open.push(Open::Object),
            TokenKind::Name if self.argument.is_none() => self.candidate = Some(SmolStr::new(word)),
            TokenKind::Name | TokenKind::Number => self.value(SmolStr::new(word), of_directive),
            kind if kind.is_string() => {
                let inner = word.trim_matches(['"', '\'', '\u{201C}', '\u{201D}', '\u{2018}', '\u{2019}']);
                self.value(SmolStr::new(inner), of_directive);
            }
            _ => {}
        }
    }

    fn value(&mut self, value: SmolStr, of_directive: bool) {
        let Some(argument) = self.argument.take() else { return };
        let directive = self.header.directives.last_mut().filter(|_| of_directive);
        match directive {
            Some(directive) => directive.arguments.push((argument, value)),
            None => self.header.arguments.push((argument, value)),
        }
    }
}
