//! Updates of a component's configuration: by a deployment (CR 3.3) and by the component itself (CR 3.5).

use serde_json::Value;
use smol_str::SmolStr;

use crate::change::{Change, ChangeKind};
use crate::node::{Interior, Leaf, Node, Origin, Tree};
use crate::write::{Behavior, Mode, Write};
use crate::{DEFAULT_TIME, MAX_DEPTH, MAX_UPDATED_BYTES, MAX_UPDATED_LEAVES};

/// A JSON pointer (RFC 6901) as keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(pub Vec<String>);

impl Pointer {
    /// Reads `""` or `/a/b`, with `~0` and `~1`; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let rest = text.strip_prefix('/')?;
        Some(Self(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

/// What a deployment does to one component's configuration: reset, then defaults, then merge.
#[derive(Debug, Clone)]
pub struct ConfigurationUpdate<'a> {
    /// Pointers to forget; `""` forgets everything and ends the list.
    pub reset: &'a [String],
    /// The recipe's `DefaultConfiguration`: fills gaps, never overrides.
    pub defaults: &'a Value,
    /// Deeply merged; none or null is nothing.
    pub merge: Option<&'a Value>,
    /// Time of the merge: leaves written later survive it.
    pub time: i64,
    /// Who deploys.
    pub origin: Origin,
}

/// What came of a [`ConfigurationUpdate`].
#[derive(Debug, Clone)]
pub struct Update {
    /// The new configuration, with times and origins.
    pub tree: Tree,
    /// Reset pointers that led nowhere.
    pub ignored: Vec<String>,
}

/// Why a component's own update was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// `InvalidArgumentsError`: rights are changed by deployments only.
    #[error("config update is not allowed for following fields [accessControl]")]
    AccessControl,
    /// `InvalidArgumentsError`: so are a component's sandbox and the policy of its session (SEC-131, SEC-134).
    #[error("config update is not allowed for following fields [marram]")]
    Bounds,
    /// `InvalidArgumentsError`: a map cannot be merged into a leaf.
    #[error("cannot merge a map into the value at {0}")]
    IntoLeaf(String),
    /// `FailedUpdateConditionCheckError`.
    #[error("proposed timestamp is older than the latest modification at {0}")]
    Stale(String),
    /// `InvalidArgumentsError`: nested too deeply.
    #[error("the value lies deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// `InvalidArgumentsError`: the configuration would become too large.
    #[error("the configuration would hold more than {MAX_UPDATED_LEAVES} values or {MAX_UPDATED_BYTES} bytes")]
    TooLarge,
}

impl Tree {
    /// The configuration after `update`; `self` is the configuration now (see [`Tree::subtree`]) and stays as it is.
    pub fn updated(&self, update: &ConfigurationUpdate<'_>) -> Update {
        self.updated_at(update, i64::MAX)
    }

    /// As [`Tree::updated`], by a clock that shows `now` (see [`Behavior::at_present`]).
    pub fn updated_at(&self, update: &ConfigurationUpdate<'_>, now: i64) -> Update {
        let mut tree = self.clone();
        let mut ignored = Vec::new();
        let forget = Write { time: update.time, origin: update.origin.clone(), force: true };
        for text in update.reset {
            match Pointer::parse(text) {
                Some(Pointer(keys)) if keys.is_empty() => {
                    tree = Self::new();
                    break;
                }
                Some(Pointer(keys)) if !tree.remove(&keys, &forget).is_empty() => {}
                _ => ignored.push(text.clone()),
            }
        }
        let nowhere: &[&str] = &[];
        fill(&mut tree, &mut Vec::new(), update.defaults);
        if let Some(merge) = update.merge {
            let behavior = Behavior::all(Mode::Merge).at_present(update.time, now);
            tree.apply(nowhere, merge, &behavior, &Write::new(update.time.min(now), update.origin.clone()));
        }
        Update { tree, ignored }
    }

    /// A component's own update of its configuration, which lies at `base`: merges `value` at `key_path`.
    ///
    /// # Errors
    /// [`UpdateError`]; nothing changed then.
    pub fn update_configuration<B: AsRef<str>, S: AsRef<str>>(
        &mut self,
        base: &[B],
        key_path: &[S],
        value: &Value,
        write: &Write,
    ) -> Result<Vec<Change>, UpdateError> {
        let touches = |guarded: &str| match key_path.first() {
            Some(first) => first.as_ref().eq_ignore_ascii_case(guarded),
            None => value.as_object().is_some_and(|map| map.keys().any(|key| key.eq_ignore_ascii_case(guarded))),
        };
        if touches("accessControl") {
            return Err(UpdateError::AccessControl);
        }
        if touches("marram") {
            return Err(UpdateError::Bounds);
        }
        if base.len() + key_path.len() + depth(value) > MAX_DEPTH {
            return Err(UpdateError::TooDeep);
        }
        let path: Vec<SmolStr> =
            base.iter().map(|key| key.as_ref().into()).chain(key_path.iter().map(|key| key.as_ref().into())).collect();
        for end in base.len() + 1..path.len() {
            if let Some(Node::Leaf(_)) = self.get(&path[..end]) {
                return Err(UpdateError::IntoLeaf(place(&path[base.len()..end])));
            }
        }
        if let Some(node) = self.get(&path) {
            check(node, value, write.time, &mut path[base.len()..].to_vec())?;
        }
        if !self.has_room(base, &path[base.len()..], value, write) {
            return Err(UpdateError::TooLarge);
        }
        Ok(self.merge(&path, value, write))
    }
}

impl Tree {
    /// Whether the configuration at `base` stays within its limits, or at least does not grow, by a component's update.
    fn has_room<B: AsRef<str>>(&self, base: &[B], key_path: &[SmolStr], value: &Value, write: &Write) -> bool {
        let now = self.interior(base).map(Size::of).unwrap_or_default();
        let names = key_path.iter().map(|key| key.len()).sum();
        let more = Size::of_value(value).and(Size { leaves: 0, bytes: names });
        if now.and(more).fits() {
            return true;
        }
        // Together they are too much, but what is new may stand in the place of what was there.
        if !more.fits() {
            return false;
        }
        let mut tree = self.subtree(base);
        tree.merge(key_path, value, write);
        let then = Size::of(tree.root());
        then.fits() || (then.leaves <= now.leaves && then.bytes <= now.bytes)
    }

    /// Says of leaves below `base` that `changes` wrote and that hold what `defaults` say: the recipe brought them.
    pub fn credit_defaults<S: AsRef<str>>(&mut self, base: &[S], defaults: &Value, changes: &[Change]) {
        let written =
            changes.iter().filter(|change| matches!(change.kind, ChangeKind::Initialized | ChangeKind::Changed));
        for Change { path, .. } in written {
            let below = path.len() > base.len()
                && path.iter().zip(base).all(|(key, base)| key.eq_ignore_ascii_case(base.as_ref()));
            let default = path.iter().skip(base.len()).try_fold(defaults, |at, key| {
                at.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
            });
            if let Some(default) = default.filter(|_| below)
                && let Some(leaf) = self.leaf(path).filter(|leaf| leaf.value == *default)
            {
                let leaf = Leaf { origin: Origin::Default, ..leaf.clone() };
                self.load(path, Node::Leaf(leaf));
            }
        }
    }
}

/// What a configuration takes.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    leaves: usize,
    bytes: usize,
}

impl Size {
    fn fits(self) -> bool {
        self.leaves <= MAX_UPDATED_LEAVES && self.bytes <= MAX_UPDATED_BYTES
    }

    fn and(self, other: Self) -> Self {
        Self { leaves: self.leaves + other.leaves, bytes: self.bytes + other.bytes }
    }

    fn of(interior: &Interior) -> Self {
        interior.children().fold(Self::default(), |sum, (key, node)| {
            let below = match node {
                Node::Leaf(leaf) => Self::of_value(&leaf.value),
                Node::Interior(below) => Self::of(below).and(Self { leaves: 1, bytes: 0 }),
            };
            sum.and(below).and(Self { leaves: 0, bytes: key.as_str().len() })
        })
    }

    /// Items of lists count like values of their own. An empty map takes a place too.
    fn of_value(value: &Value) -> Self {
        const SMALL: usize = 8;
        match value {
            Value::String(text) => Self { leaves: 1, bytes: text.len() },
            Value::Array(items) => items.iter().map(Self::of_value).fold(Self { leaves: 1, bytes: SMALL }, Self::and),
            Value::Object(map) => map.iter().fold(Self { leaves: 1, bytes: 0 }, |sum, (key, value)| {
                sum.and(Self::of_value(value)).and(Self { leaves: 0, bytes: key.len() })
            }),
            _ => Self { leaves: 1, bytes: SMALL },
        }
    }
}

/// Writes `defaults` where nothing stands yet; a present leaf or map of another shape stays.
fn fill(tree: &mut Tree, path: &mut Vec<String>, defaults: &Value) {
    let Value::Object(map) = defaults else { return };
    let write = Write::new(DEFAULT_TIME, Origin::Default);
    for (key, value) in map {
        path.push(key.clone());
        match tree.get(path) {
            None => drop(tree.merge(path, value, &write)),
            Some(Node::Interior(_)) => fill(tree, path, value),
            Some(Node::Leaf(_)) => {}
        }
        path.pop();
    }
}

fn check(node: &Node, value: &Value, time: i64, path: &mut Vec<SmolStr>) -> Result<(), UpdateError> {
    match (node, value) {
        (Node::Leaf(_), Value::Object(_)) => Err(UpdateError::IntoLeaf(place(path))),
        (Node::Interior(interior), Value::Object(map)) => {
            for (key, value) in map {
                if let Some(child) = Interior::child(interior, key) {
                    path.push(key.into());
                    // a map that replaces a leaf further down is an ordinary merge
                    match child {
                        Node::Leaf(leaf) if leaf.modified > time => return Err(UpdateError::Stale(place(path))),
                        Node::Leaf(_) => {}
                        Node::Interior(_) => check(child, value, time, path)?,
                    }
                    path.pop();
                }
            }
            Ok(())
        }
        (node, _) if node.modified() > time => Err(UpdateError::Stale(place(path))),
        _ => Ok(()),
    }
}

fn place(path: &[SmolStr]) -> String {
    let mut text = String::new();
    for key in path {
        text.push('/');
        text.push_str(key);
    }
    text
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
