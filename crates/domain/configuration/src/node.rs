//! The tree itself and how to look into it.

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde_json::Value;
use smol_str::SmolStr;

use crate::key::{Folded, Key};

/// Who wrote a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// Not known: imported or from before a migration.
    #[default]
    Unknown,
    /// The recipe's `DefaultConfiguration`.
    Default,
    /// A deployment, by its id.
    Deployment(SmolStr),
    /// A component, through IPC.
    Ipc(SmolStr),
    /// An operator on the device.
    Operator(SmolStr),
    /// A configuration file given at start, by its name.
    File(SmolStr),
    /// The runtime itself.
    Runtime,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Default => f.write_str("default"),
            Self::Runtime => f.write_str("runtime"),
            Self::Deployment(id) => write!(f, "deployment {id}"),
            Self::Ipc(component) => write!(f, "ipc {component}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::File(name) => write!(f, "file {name}"),
        }
    }
}

impl FromStr for Origin {
    type Err = std::convert::Infallible;

    /// Reads what `Display` wrote; anything else is `Unknown`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(' ') {
            None if text == "default" => Self::Default,
            None if text == "runtime" => Self::Runtime,
            Some(("deployment", id)) => Self::Deployment(id.into()),
            Some(("ipc", component)) => Self::Ipc(component.into()),
            Some(("operator", name)) => Self::Operator(name.into()),
            Some(("file", name)) => Self::File(name.into()),
            _ => Self::Unknown,
        })
    }
}

/// A value of a tree: null, text, number, boolean or list (never an object).
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The value; lists are opaque.
    pub value: Value,
    /// When it was written, milliseconds; 1 marks a default.
    pub modified: i64,
    /// By whom.
    pub origin: Origin,
}

/// A map of a tree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Interior {
    pub(crate) children: IndexMap<Key, Node>,
    /// The newest write at or below, milliseconds.
    pub modified: i64,
}

/// A place of a tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A value.
    Leaf(Leaf),
    /// A map.
    Interior(Interior),
}

impl Node {
    /// When it (or something below) was written last.
    pub fn modified(&self) -> i64 {
        match self {
            Self::Leaf(leaf) => leaf.modified,
            Self::Interior(interior) => interior.modified,
        }
    }

    /// Plain JSON, private keys included.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Leaf(leaf) => leaf.value.clone(),
            Self::Interior(interior) => interior.to_value(),
        }
    }
}

impl Interior {
    /// The child, whatever the case of `key`.
    pub fn child(&self, key: &str) -> Option<&Node> {
        self.children.get(&Folded(key))
    }

    /// Children in the order they appeared.
    pub fn children(&self) -> impl ExactSizeIterator<Item = (&Key, &Node)> {
        self.children.iter()
    }

    /// Whether it has no children.
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Plain JSON, private keys included.
    pub fn to_value(&self) -> Value {
        Value::Object(self.children.iter().map(|(key, node)| (key.as_str().to_owned(), node.to_value())).collect())
    }
}

/// One leaf and its story, for `config explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Keys from the root.
    pub path: Vec<SmolStr>,
    /// Its value.
    pub value: Value,
    /// When it was written, milliseconds; 1 marks a default.
    pub modified: i64,
    /// By whom.
    pub origin: Origin,
}

/// A whole tree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree {
    pub(crate) root: Interior,
}

impl Tree {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The root's children.
    pub fn root(&self) -> &Interior {
        &self.root
    }

    /// The node at `path`; none when it is missing or below a leaf. An empty path is refused: see [`Tree::root`].
    pub fn get<S: AsRef<str>>(&self, path: &[S]) -> Option<&Node> {
        let (last, above) = path.split_last()?;
        self.interior(above)?.child(last.as_ref())
    }

    /// The map at `path`; the root for an empty path.
    pub fn interior<S: AsRef<str>>(&self, path: &[S]) -> Option<&Interior> {
        let mut at = &self.root;
        for key in path {
            match at.child(key.as_ref())? {
                Node::Interior(next) => at = next,
                Node::Leaf(_) => return None,
            }
        }
        Some(at)
    }

    /// The leaf at `path`.
    pub fn leaf<S: AsRef<str>>(&self, path: &[S]) -> Option<&Leaf> {
        match self.get(path)? {
            Node::Leaf(leaf) => Some(leaf),
            Node::Interior(_) => None,
        }
    }

    /// Plain JSON of what is at `path` (CR 3.5: keys only lead through maps, never into lists).
    pub fn read<S: AsRef<str>>(&self, path: &[S]) -> Option<Value> {
        if path.is_empty() { Some(self.root.to_value()) } else { self.get(path).map(Node::to_value) }
    }

    /// A copy of the map at `path` as a tree of its own; empty when there is none.
    pub fn subtree<S: AsRef<str>>(&self, path: &[S]) -> Self {
        Self { root: self.interior(path).cloned().unwrap_or_default() }
    }

    /// Calls `visit` for every node below the root, parents first.
    pub fn walk<'a>(&'a self, mut visit: impl FnMut(&[SmolStr], &'a Node)) {
        fn below<'a>(at: &'a Interior, path: &mut Vec<SmolStr>, visit: &mut impl FnMut(&[SmolStr], &'a Node)) {
            for (key, node) in at.children() {
                path.push(key.spelled());
                visit(path, node);
                if let Node::Interior(next) = node {
                    below(next, path, visit);
                }
                path.pop();
            }
        }
        below(&self.root, &mut Vec::new(), &mut visit);
    }

    /// Every leaf at or below `path` with its story, in order of appearance.
    pub fn explain<S: AsRef<str>>(&self, path: &[S]) -> Vec<Explained> {
        let mut found = Vec::new();
        let within = |at: &[SmolStr]| {
            at.len() >= path.len() && at.iter().zip(path).all(|(a, b)| a.eq_ignore_ascii_case(b.as_ref()))
        };
        self.walk(|at, node| {
            if let Node::Leaf(leaf) = node
                && within(at)
            {
                let Leaf { value, modified, origin } = leaf.clone();
                found.push(Explained { path: at.to_vec(), value, modified, origin });
            }
        });
        found
    }
}
