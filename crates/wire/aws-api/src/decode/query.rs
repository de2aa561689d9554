//! The query protocol: forms whose dotted names spell a tree (`Tags.member.1.Key=a`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode;
use serde_json::{Map, Value};

use super::rest::typed;
use super::{Violation, json};
use crate::message::Request;
use crate::model::{Kind, Shape};

/// Most parameters of one form: 50 tags of two members, ten policies and their like fit many times over.
const MAX_PARAMETERS: usize = 2048;

/// Most dots in a name, and so the depth of the tree: the deepest shape of the tables has less.
const MAX_NAME_PARTS: usize = 24;

/// Decoded parameters in order of arrival.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the query string `a=b&c`. `None` when it is not UTF-8 after decoding or has too many parameters.
    pub fn parse(text: &str) -> Option<Form> {
        Form::default().and(text.as_bytes(), Plus::Itself)
    }

    /// The parameters of a query-protocol request: the body's, then the query string's.
    pub fn of(request: &Request<'_>) -> Option<Form> {
        let form = if request.media_type() == "application/x-www-form-urlencoded" {
            Form::default().and(request.body, Plus::Blank)?
        } else {
            Form::default()
        };
        form.and(request.query.as_bytes(), Plus::Itself)
    }

    fn and(mut self, text: &[u8], plus: Plus) -> Option<Form> {
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if self.0.len() == MAX_PARAMETERS {
                return None;
            }
            let cut = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(cut + 1..).unwrap_or_default();
            self.0.push((decode_part(&pair[..cut], plus)?, decode_part(value, plus)?));
        }
        Some(self)
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What `+` means. In a form it is a blank; in a query string it is itself, since signatures are verified with that
/// reading and what was signed is what is executed.
#[derive(Clone, Copy, PartialEq)]
enum Plus {
    Blank,
    Itself,
}

fn decode_part(raw: &[u8], plus: Plus) -> Option<String> {
    let blanks: Cow<'_, [u8]> = if plus == Plus::Blank && raw.contains(&b'+') {
        raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<_>>().into()
    } else {
        raw.into()
    };
    percent_decode(&blanks).decode_utf8().ok().map(Cow::into_owned)
}

/// Reads the members of `shape` from the request's form.
pub(super) fn structure(shape: &'static Shape, request: &Request<'_>) -> Result<Value, Violation> {
    let form = Form::of(request).ok_or_else(|| Violation::new("", "form cannot be read"))?;
    let mut root = Node::default();
    for (name, value) in form.0 {
        root.insert(&name, value)?;
    }
    from_node(shape, &root, &mut json::Path::default())
}

/// A name part of the form and what stands below it.
#[derive(Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn insert(&mut self, name: &str, value: String) -> Result<(), Violation> {
        let mut node = self;
        for (depth, part) in name.split('.').enumerate() {
            if depth == MAX_NAME_PARTS {
                return Err(Violation::new("", "form is nested too deeply"));
            }
            node = node.children.entry(part.to_owned()).or_default();
        }
        // The first value stands; a second one under the same name is not the caller's to slip in.
        node.value.get_or_insert(value);
        Ok(())
    }

    /// The children with a number for a name, in order of the numbers.
    fn numbered(&self) -> Vec<&Node> {
        let mut items: Vec<(u32, &Node)> =
            self.children.iter().filter_map(|(name, node)| Some((name.parse().ok()?, node))).collect();
        items.sort_by_key(|(index, _)| *index);
        items.into_iter().map(|(_, node)| node).collect()
    }
}

fn from_node(shape: &'static Shape, node: &Node, path: &mut json::Path) -> Result<Value, Violation> {
    match &shape.kind {
        Kind::Structure { members } => {
            let mut into = Map::new();
            for member in *members {
                if let Some(child) = node.children.get(member.wire) {
                    let length = path.push(member.name);
                    into.insert(member.name.to_owned(), from_node(member.shape, child, path)?);
                    path.truncate(length);
                }
            }
            Ok(Value::Object(into))
        }
        Kind::List { member, element, flattened, .. } => {
            let holder = if *flattened { Some(node) } else { node.children.get(*element) };
            let mut list = Vec::new();
            for (index, item) in holder.map(Node::numbered).unwrap_or_default().into_iter().enumerate() {
                let length = path.push_index(index);
                list.push(from_node(member, item, path)?);
                path.truncate(length);
            }
            Ok(Value::Array(list))
        }
        Kind::Map { value, .. } => {
            let mut map = Map::new();
            for entry in node.children.get("entry").map(Node::numbered).unwrap_or_default() {
                let (Some(key), Some(held)) = (entry.children.get("key"), entry.children.get("value")) else {
                    return Err(path.violation("must have a key and a value in each entry"));
                };
                let key = key.value.clone().unwrap_or_default();
                let length = path.push(&key);
                map.insert(key, from_node(value, held, path)?);
                path.truncate(length);
            }
            Ok(Value::Object(map))
        }
        _ => match &node.value {
            Some(text) => typed(shape, text, path.as_str()),
            None => Err(path.violation(json::expectation(shape))),
        },
    }
}
