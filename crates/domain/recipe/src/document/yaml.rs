//! YAML through the event parser of `serde-saphyr`: places, source text of scalars, aliases under a budget.
//!
//! Plain scalars become JSON as a careful reader expects: `true`/`false`, `null`/`~`/nothing and plain decimal numbers
//! are typed, everything else stays text (`yes`, `010`, `1_000`, `2020-01-25`), so the hazards of YAML 1.1 cannot bite.

use std::collections::HashMap;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::{Kind, MAX_DEPTH, MAX_NODES, Name, Node, SyntaxError};
use crate::finding::Place;

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut builder = Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut document = None;
    loop {
        let (event, place) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(..) if document.is_some() => {
                return Err(SyntaxError {
                    place,
                    message: "a recipe is one document, here a second begins".to_owned(),
                });
            }
            Event::DocumentStart(..) => {
                let (event, place) = builder.next()?;
                document = Some(builder.node(event, place, 0)?.0);
            }
            Event::StreamEnd => break,
            _ => return Err(SyntaxError { place, message: "content outside of a document".to_owned() }),
        }
    }
    document.ok_or_else(|| SyntaxError { place: Place { line: 1, column: 1 }, message: "the text is empty".to_owned() })
}

struct Builder<'a, I: Iterator<Item = Result<(Event<'a>, serde_saphyr::granit_parser::Span), ScanError>>> {
    parser: I,
    /// Finished anchored nodes and how many nodes each has.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a, I: Iterator<Item = Result<(Event<'a>, serde_saphyr::granit_parser::Span), ScanError>>> Builder<'a, I> {
    fn next(&mut self) -> Result<(Event<'a>, Place), SyntaxError> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, place(&span.start))),
            Some(Err(error)) => Err(SyntaxError { place: place(error.marker()), message: error.info() }),
            None => Ok((Event::StreamEnd, Place { line: 1, column: 1 })),
        }
    }

    fn count(&mut self, nodes: usize, place: Place, depth: usize) -> Result<(), SyntaxError> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(SyntaxError { place, message: "nested too deeply or too large".to_owned() });
        }
        Ok(())
    }

    /// A node and how many it is made of.
    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<(Node, usize), SyntaxError> {
        self.count(1, place, depth)?;
        let mut size = 1;
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix() == "str");
                let text = text.into_owned();
                let value = if is_text { Value::String(text.clone()) } else { typed(&text) };
                (Kind::Scalar { text, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, place) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    let (item, nodes) = self.node(event, place, depth + 1)?;
                    size += nodes;
                    items.push(item);
                }
                (Kind::List(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                let (members, nodes) = self.members(depth)?;
                size += nodes;
                (Kind::Map(members), anchor)
            }
            Event::Alias(anchor) => {
                let (node, nodes) = self.anchors.get(&anchor).cloned().ok_or_else(|| SyntaxError {
                    place,
                    message: "an alias inside of what it stands for".to_owned(),
                })?;
                self.count(nodes, place, depth)?;
                return Ok((Node { place, ..node }, nodes));
            }
            _ => return Err(SyntaxError { place, message: "a value is missing".to_owned() }),
        };
        let node = Node { place, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok((node, size))
    }

    fn members(&mut self, depth: usize) -> Result<(Vec<(Name, Node)>, usize), SyntaxError> {
        let mut members: Vec<(Name, Node)> = Vec::new();
        let mut merged: Vec<(Name, Node)> = Vec::new();
        let mut size = 0;
        loop {
            let (event, key_place) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let (key, _) = self.node(event, key_place, depth + 1)?;
            let Kind::Scalar { text, .. } = key.kind else {
                return Err(SyntaxError { place: key_place, message: "a list or map as a key".to_owned() });
            };
            let (event, place) = self.next()?;
            let (node, nodes) = self.node(event, place, depth + 1)?;
            size += nodes + 1;
            if text == "<<" {
                merged.extend(sources(node)?);
                continue;
            }
            if members.iter().any(|(name, _)| name.text == text) {
                return Err(SyntaxError { place: key_place, message: format!("`{text}` is written twice") });
            }
            members.push((Name { place: key_place, text }, node));
        }
        for (name, node) in merged {
            if !members.iter().any(|(present, _)| present.text == name.text) {
                members.push((name, node));
            }
        }
        Ok((members, size))
    }
}

/// Members that a merge key brings in, the first source first.
fn sources(node: Node) -> Result<Vec<(Name, Node)>, SyntaxError> {
    match node.kind {
        Kind::Map(members) => Ok(members),
        Kind::List(items) => Ok(items.into_iter().map(sources).collect::<Result<Vec<_>, _>>()?.concat()),
        Kind::Scalar { .. } => {
            Err(SyntaxError { place: node.place, message: "`<<` merges maps, this is none".to_owned() })
        }
    }
}

fn place(marker: &Marker) -> Place {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Place { line: number(marker.line().max(1)), column: number(marker.col()).saturating_add(1) }
}

fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        // JSON's grammar of numbers has no leading zeros, signs of plus, or underscores
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            serde_json::from_str::<serde_json::Number>(text)
                .map_or_else(|_| Value::String(text.to_owned()), Value::Number)
        }
        _ => Value::String(text.to_owned()),
    }
}
