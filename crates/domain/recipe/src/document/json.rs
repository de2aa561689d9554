//! A JSON reader that keeps places: structure by hand, scalars by `serde_json`.

use serde_json::Value;

use super::{Kind, MAX_DEPTH, MAX_NODES, Name, Node, SyntaxError};
use crate::finding::Place;

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut reader = Reader { rest: text, line: 1, column: 1, nodes: 0 };
    reader.blanks();
    let node = reader.value(0)?;
    reader.blanks();
    if reader.rest.is_empty() { Ok(node) } else { Err(reader.error("text after the end of the JSON object")) }
}

struct Reader<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn place(&self) -> Place {
        Place { line: self.line, column: self.column }
    }

    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError { place: self.place(), message: message.to_owned() }
    }

    /// Takes `bytes` bytes, which end at a character's end.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        for c in taken.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    fn blanks(&mut self) {
        let end = self.rest.find(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')).unwrap_or(self.rest.len());
        self.take(end);
    }

    fn next_is(&mut self, c: char) -> bool {
        let found = self.rest.starts_with(c);
        if found {
            self.take(1);
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(self.error("nested too deeply or too large"));
        }
        let place = self.place();
        let kind = match self.rest.chars().next() {
            Some('{') => Kind::Map(self.map(depth)?),
            Some('[') => Kind::List(self.list(depth)?),
            Some('"') => {
                let text = self.string()?;
                Kind::Scalar { value: Value::String(text.clone()), text }
            }
            Some(_) => self.word()?,
            None => return Err(self.error("the text ends in the middle of a value")),
        };
        Ok(Node { place, kind })
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Name, Node)>, SyntaxError> {
        self.take(1);
        let mut members: Vec<(Name, Node)> = Vec::new();
        self.blanks();
        if self.next_is('}') {
            return Ok(members);
        }
        loop {
            self.blanks();
            if !self.rest.starts_with('"') {
                return Err(self.error("a member's name in double quotes is missing"));
            }
            let place = self.place();
            let text = self.string()?;
            if members.iter().any(|(name, _)| name.text == text) {
                return Err(SyntaxError { place, message: format!("`{text}` is written twice") });
            }
            self.blanks();
            if !self.next_is(':') {
                return Err(self.error("a `:` is missing"));
            }
            self.blanks();
            let node = self.value(depth + 1)?;
            members.push((Name { place, text }, node));
            self.blanks();
            if self.next_is('}') {
                return Ok(members);
            }
            if !self.next_is(',') {
                return Err(self.error("a `,` or `}` is missing"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, SyntaxError> {
        self.take(1);
        let mut items = Vec::new();
        self.blanks();
        if self.next_is(']') {
            return Ok(items);
        }
        loop {
            self.blanks();
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.next_is(']') {
                return Ok(items);
            }
            if !self.next_is(',') {
                return Err(self.error("a `,` or `]` is missing"));
            }
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let mut escaped = false;
        let end = self
            .rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            })
            .map(|(index, _)| index + 1)
            .ok_or_else(|| self.error("a text without its closing quote"))?;
        let text = serde_json::from_str(&self.rest[..end])
            .map_err(|_| self.error("a text with a raw control character or an unknown escape"))?;
        self.take(end);
        Ok(text)
    }

    fn word(&mut self) -> Result<Kind, SyntaxError> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'))
            .unwrap_or(self.rest.len());
        let value: Value = serde_json::from_str(&self.rest[..end])
            .map_err(|_| self.error("neither a text, number, true, false nor null"))?;
        let text = self.take(end).to_owned();
        Ok(Kind::Scalar { text, value })
    }
}
