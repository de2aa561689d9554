//! The lexer (TG 2.1): text to a gapless token list.

use marram_diag::{Diagnostic, Span};

use super::strings::{is_typographic, plain_quote, unescape};
use super::token::{Token, TokenKind};
use super::{MAX_CHARS, MAX_TOKENS};
use crate::codes::*;

/// How often a line may be read again because a typographic quote turned out to end a string. Bounds the work on a
/// hostile line of a megabyte; past it the quotes are ordinary characters.
const MAX_REREADS: usize = 16;

/// Splits `source` into tokens. A source over the size limit answers no tokens at all.
pub(super) fn lex(source: &str, findings: &mut Findings) -> Vec<Token> {
    let too_long = source.len() > MAX_CHARS && source.chars().nth(MAX_CHARS).is_some();
    if too_long {
        findings.error(TDM1005, Span::at(0), format!("the document has more than {MAX_CHARS} characters"));
        return Vec::new();
    }
    let mut lexer =
        Lexer { source, start: 0, at: 0, tokens: Vec::new(), pending: Vec::new(), rereads: 0, significant: 0 };
    lexer.run(findings);
    lexer.tokens
}

struct Lexer<'s> {
    source: &'s str,
    /// Where the token being read starts.
    start: usize,
    /// Where reading goes on.
    at: usize,
    tokens: Vec<Token>,
    /// Findings of the current line. They are dropped when the line is read again.
    pending: Vec<Diagnostic>,
    rereads: usize,
    significant: usize,
}

impl Lexer<'_> {
    fn run(&mut self, findings: &mut Findings) {
        while self.at < self.source.len() {
            self.start = self.at;
            let kind = self.token();
            if kind == TokenKind::Space && self.source[self.start..self.at].contains(['\n', '\r']) {
                self.pending.drain(..).for_each(|found| findings.push(found));
            }
            self.push(kind);
            if self.significant > MAX_TOKENS {
                let message = format!("the document has more than {MAX_TOKENS} tokens");
                findings.error(TDM1005, Span::new(self.start, self.at), message);
                break;
            }
        }
        self.pending.drain(..).for_each(|found| findings.push(found));
    }

    fn push(&mut self, kind: TokenKind) {
        if kind == TokenKind::Illegal
            && let Some(last) = self.tokens.last_mut().filter(|last| last.kind == kind)
        {
            last.span.end = Span::at(self.at).end;
            return;
        }
        self.significant += usize::from(!kind.is_trivia());
        self.tokens.push(Token { kind, span: Span::new(self.start, self.at) });
    }

    /// Reads one token and leaves `at` behind it.
    fn token(&mut self) -> TokenKind {
        let rest = &self.source[self.at..];
        let byte = rest.as_bytes()[0];
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => self.take(rest, |c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{FEFF}')),
            b',' => {
                self.at += 1;
                return TokenKind::Comma;
            }
            b'#' => {
                self.take(rest, |c| !matches!(c, '\n' | '\r'));
                return TokenKind::Comment;
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take(rest, |c| c == '_' || c.is_ascii_alphanumeric());
                return TokenKind::Name;
            }
            b'-' | b'0'..=b'9' => return self.number(),
            b'"' | b'\'' => return self.string(byte),
            _ => {
                if let Some(kind) = TokenKind::punctuator(byte) {
                    self.at += 1;
                    return kind;
                }
                return self.odd_character();
            }
        }
        TokenKind::Space
    }

    fn take(&mut self, rest: &str, belongs: impl Fn(char) -> bool) {
        self.at += rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    }

    /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, not directly followed by a name character.
    fn number(&mut self) -> TokenKind {
        let bytes = self.source.as_bytes();
        let start = self.at;
        let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut at = start + usize::from(bytes[start] == b'-');
        let whole = digits(at);
        if whole == 0 {
            self.at = at;
            self.illegal(start, "`-` without a number");
            return TokenKind::Illegal;
        }
        let has_leading_zero = whole > 1 && bytes[at] == b'0';
        at += whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            at += if fraction > 0 { fraction + 1 } else { 0 };
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at + 1 + sign);
            at += if exponent > 0 { 1 + sign + exponent } else { 0 };
        }
        let tail = bytes[at..].iter().take_while(|byte| **byte == b'_' || byte.is_ascii_alphanumeric()).count();
        self.at = at + tail;
        if tail > 0 || has_leading_zero {
            self.illegal(start, "malformed number");
        }
        TokenKind::Number
    }

    /// Keeps a finding of the line. More than a document may have are dropped at once: a line may be a megabyte long.
    fn report(&mut self, found: Diagnostic) {
        if self.pending.len() < MAX_DIAGNOSTICS {
            self.pending.push(found);
        }
    }

    fn illegal(&mut self, start: usize, message: &str) {
        self.report(Diagnostic::error(TDM1001, Span::new(start, self.at), message));
    }

    fn odd_character(&mut self) -> TokenKind {
        let start = self.at;
        let character = self.source[start..].chars().next().expect("the lexer stands before a character");
        self.at += character.len_utf8();
        if character == '\u{FEFF}' {
            return TokenKind::Space;
        }
        if is_typographic(character) {
            return self.typographic(character);
        }
        let continues = self.tokens.last().is_some_and(|last| last.kind == TokenKind::Illegal);
        if !continues {
            self.illegal(start, &format!("illegal character `{}`", character.escape_default()));
        }
        TokenKind::Illegal
    }

    /// A string opened by a typographic quote: to the next quote of that weight on the line, whatever its shape.
    fn typographic(&mut self, opening: char) -> TokenKind {
        let start = self.at - opening.len_utf8();
        let plain = plain_quote(opening);
        let line = self.source[self.at..].char_indices().take_while(|(_, c)| !matches!(c, '\n' | '\r'));
        let mut quotes = line.filter(|(_, c)| *c == plain || is_typographic(*c));
        let close = quotes.find(|(_, c)| *c == plain || plain_quote(*c) == plain);
        let opening_span = Span::new(start, self.at);
        self.report(typographic_quote(opening, opening_span));
        if let Some((at, closing)) = close {
            let closing_at = self.at + at;
            self.at = closing_at + closing.len_utf8();
            if closing != plain {
                self.report(typographic_quote(closing, Span::new(closing_at, self.at)));
            }
        }
        TokenKind::TypographicString
    }

    fn string(&mut self, quote: u8) -> TokenKind {
        let start = self.at;
        if self.source[start..].starts_with("\"\"\"") {
            return self.block_string(start);
        }
        let bytes = self.source.as_bytes();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                Some(b'\\') if !matches!(bytes.get(at + 1), None | Some(b'\n' | b'\r')) => at += 2,
                Some(b'\n' | b'\r') | None => return self.unterminated(start, at, char::from(quote)),
                Some(byte) if *byte == quote => break,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        let source = self.source;
        if source[start + 1..at].contains('\\') {
            unescape(&source[start + 1..at], |bad| {
                let span = Span::new(start + 1 + bad.start as usize, start + 1 + bad.end as usize);
                let help = "the escapes are \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX";
                self.report(Diagnostic::error(TDM1003, span, "unknown escape").help(help));
            });
        }
        TokenKind::String
    }

    fn block_string(&mut self, start: usize) -> TokenKind {
        let mut from = start + 3;
        loop {
            match self.source[from..].find("\"\"\"") {
                Some(at) if self.source[..from + at].ends_with('\\') => from += at + 3,
                Some(at) => {
                    self.at = from + at + 3;
                    return TokenKind::BlockString;
                }
                None => {
                    self.at = self.source.len();
                    let span = Span::new(start, start + 3);
                    self.report(Diagnostic::error(TDM1002, span, "block string without closing `\"\"\"`"));
                    return TokenKind::BlockString;
                }
            }
        }
    }

    /// A string that reaches the end of its line. If it, or an earlier string of the line, holds a typographic quote
    /// of the same weight, that quote was meant to end it: the line is read again from there.
    fn unterminated(&mut self, start: usize, end: usize, quote: char) -> TokenKind {
        if self.rereads < MAX_REREADS
            && let Some((string, closing_at, closing)) = self.mistaken_end(start, end)
        {
            self.rereads += 1;
            self.pending.retain(|found| (found.span.start as usize) < string);
            while self.tokens.last().is_some_and(|token| token.span.start as usize >= string) {
                let token = self.tokens.pop().expect("the loop saw one");
                self.significant -= usize::from(!token.kind.is_trivia());
            }
            self.start = string;
            self.at = closing_at + closing.len_utf8();
            self.report(typographic_quote(closing, Span::new(closing_at, self.at)));
            return TokenKind::TypographicString;
        }
        self.at = end;
        let message = format!("string without closing `{quote}` on its line");
        self.report(Diagnostic::error(TDM1002, Span::new(start, end), message));
        TokenKind::String
    }

    /// The first string of the line, up to the one at `start`, that a typographic quote was meant to end: where the
    /// string starts, where the quote is, and the quote.
    fn mistaken_end(&self, start: usize, end: usize) -> Option<(usize, usize, char)> {
        let in_text = |from: usize, to: usize| {
            let opening = self.source[from..].chars().next()?;
            let inside = self.source.get(from + 1..to)?;
            let found = inside.char_indices().find(|(_, c)| is_typographic(*c) && plain_quote(*c) == opening)?;
            Some((from, from + 1 + found.0, found.1))
        };
        let line_start = self.source[..start].rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let earlier = self.tokens.iter().rev().take_while(|token| token.span.start as usize >= line_start);
        let strings = earlier.filter(|token| token.kind == TokenKind::String);
        let first = strings.filter_map(|token| in_text(token.span.start as usize, token.span.end as usize)).last();
        first.or_else(|| in_text(start, end))
    }
}

fn typographic_quote(quote: char, span: Span) -> Diagnostic {
    let plain = plain_quote(quote);
    Diagnostic::error(TDM1004, span, format!("typographic quote `{quote}`; write `{plain}`"))
        .fix(span, plain.to_string())
}
