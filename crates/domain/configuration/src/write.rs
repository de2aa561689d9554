//! The write rule, merge and replace, removal.
//!
//! A leaf is left alone when the write is older than what stands there, or says the same; the same value with a newer
//! time only moves the time (CR 3.1); a deployment, which writes whole configurations, moves no time of what it leaves
//! equal, or an older one could not change what nobody touched since. A leaf may become a map and the reverse, under the same rule of time.

use std::collections::HashSet;

use indexmap::map::Entry;
use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::change::{Change, ChangeKind};
use crate::key::{Folded, Key};
use crate::node::{Interior, Leaf, Node, Origin, Tree};

/// When and in whose name something is written.
#[derive(Debug, Clone)]
pub struct Write {
    /// Milliseconds.
    pub time: i64,
    /// By whom.
    pub origin: Origin,
    /// Older values win as well: a rollback.
    pub force: bool,
}

impl Write {
    /// An ordinary write.
    pub fn new(time: i64, origin: Origin) -> Self {
        Self { time, origin, force: false }
    }

    fn may_touch(&self, modified: i64) -> bool {
        self.force || self.time >= modified
    }
}

/// What happens to children that a new value does not mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They stay.
    Merge,
    /// They go.
    Replace,
}

/// A mode for a place, with exceptions for places below it (CR 3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behavior {
    mode: Mode,
    children: Vec<(SmolStr, Behavior)>,
    others: Option<Box<Behavior>>,
    /// Another time than that of the write, for everything below, and the present of the clock that judges times there.
    time: Option<(i64, i64)>,
}

impl Behavior {
    /// The same mode everywhere below.
    pub fn all(mode: Mode) -> Self {
        Self { mode, children: Vec::new(), others: None, time: None }
    }

    /// Another behaviour for one child.
    #[must_use]
    pub fn with(mut self, child: impl Into<SmolStr>, behavior: Self) -> Self {
        self.children.push((child.into(), behavior));
        self
    }

    /// Another behaviour for all children that have none of their own.
    #[must_use]
    pub fn with_others(mut self, behavior: Self) -> Self {
        self.others = Some(Box::new(behavior));
        self
    }

    /// Everything below is written with this time, whatever that of the write, and what it leaves equal keeps its own.
    #[must_use]
    pub fn at(self, time: i64) -> Self {
        self.at_present(time, i64::MAX)
    }

    /// As [`Behavior::at`], by a clock that shows `now` (milliseconds): no later time is written, and one that stands there
    /// comes of a clock that was wrong and protects nothing.
    #[must_use]
    pub fn at_present(mut self, time: i64, now: i64) -> Self {
        self.time = Some((time.min(now), now));
        self
    }

    /// As [`Behavior::services`], with the components' `configuration` written at the deployment's own time, which may be
    /// older than that of the write (CR 3.4): so what a component wrote since survives, and a version never does.
    pub fn deployment<'a>(builtin: impl IntoIterator<Item = &'a str>, time: i64) -> Self {
        Self::dated(builtin, time, i64::MAX)
    }

    /// As [`Behavior::deployment`], by a clock that shows `now` (see [`Behavior::at_present`]), which is also the time of all
    /// that is no configuration.
    pub fn deployment_at<'a>(builtin: impl IntoIterator<Item = &'a str>, time: i64, now: i64) -> Self {
        Self::dated(builtin, time, now).at_present(now, now)
    }

    fn dated<'a>(builtin: impl IntoIterator<Item = &'a str>, time: i64, now: i64) -> Self {
        let mut services = Self::services(builtin);
        if let Some(component) = &mut services.others {
            component.children.push(("configuration".into(), Self::all(Mode::Replace).at_present(time, now)));
        }
        services
    }

    /// How a deployment applies a tree at `services` (CR 3.4): components replaced but for `runtime` and `_private`;
    /// absent components, and the `builtin` services named here, are merged.
    pub fn services<'a>(builtin: impl IntoIterator<Item = &'a str>) -> Self {
        let component =
            Self::all(Mode::Replace).with("runtime", Self::all(Mode::Merge)).with("_private", Self::all(Mode::Merge));
        let mut services = Self::all(Mode::Merge).with("_AUTHENTICATION_TOKENS", Self::all(Mode::Merge));
        for name in builtin {
            services = services.with(name, Self::all(Mode::Merge));
        }
        services.with_others(component)
    }

    fn of_child(&self, key: &str) -> std::borrow::Cow<'_, Self> {
        use std::borrow::Cow;
        match self.children.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
            Some((_, behavior)) => Cow::Borrowed(behavior),
            None => match &self.others {
                Some(others) => Cow::Borrowed(others),
                None if self.children.is_empty() => Cow::Borrowed(self),
                None => Cow::Owned(Self { time: self.time, ..Self::all(self.mode) }),
            },
        }
    }
}

impl Tree {
    /// Writes `value` at `path`: objects are merged deeply, everything else becomes a leaf.
    ///
    /// An empty path takes objects only; a leaf there is ignored.
    pub fn merge<S: AsRef<str>>(&mut self, path: &[S], value: &Value, write: &Write) -> Vec<Change> {
        self.apply(path, value, &Behavior::all(Mode::Merge), write)
    }

    /// Writes `value` at `path` as `behavior` says.
    pub fn apply<S: AsRef<str>>(
        &mut self,
        path: &[S],
        value: &Value,
        behavior: &Behavior,
        write: &Write,
    ) -> Vec<Change> {
        let mut writer = Writer { write, now: None, path: Vec::new(), changes: Vec::new() };
        match path.split_last() {
            None => {
                if let Value::Object(map) = value {
                    writer.map(&mut self.root, map, behavior);
                }
            }
            Some((last, above)) => {
                if let Some(at) = writer.descend(&mut self.root, above) {
                    writer.child(at, last.as_ref(), value, behavior);
                    self.raise_times(above, write.time);
                }
            }
        }
        writer.changes
    }

    /// Removes what is at `path`, unless it is newer than `write` (and the write is not forced).
    pub fn remove<S: AsRef<str>>(&mut self, path: &[S], write: &Write) -> Vec<Change> {
        let Some((last, above)) = path.split_last() else { return Vec::new() };
        let mut writer = Writer { write, now: None, path: Vec::new(), changes: Vec::new() };
        let Some(at) = self.interior_mut(above, &mut writer.path) else { return Vec::new() };
        if at.child(last.as_ref()).is_some_and(|node| write.may_touch(node.modified())) {
            writer.remove(at, last.as_ref());
            self.raise_times(above, write.time);
        }
        writer.changes
    }

    /// Puts a node where it stood before, without any rule: for reading back what was stored.
    ///
    /// Maps above it are made with time 0 when missing. An empty path is ignored.
    pub fn load<S: AsRef<str>>(&mut self, path: &[S], node: Node) {
        let Some((last, above)) = path.split_last() else { return };
        let mut at = &mut self.root;
        for key in above {
            let slot =
                at.children.entry(Key::from(key.as_ref())).or_insert_with(|| Node::Interior(Interior::default()));
            if let Node::Leaf(_) = slot {
                *slot = Node::Interior(Interior::default());
            }
            let Node::Interior(next) = slot else { return };
            at = next;
        }
        match (at.children.entry(Key::from(last.as_ref())), node) {
            // a map's row may come after those of its children
            (Entry::Occupied(mut old), Node::Interior(new)) if new.is_empty() => match old.get_mut() {
                Node::Interior(map) => map.modified = new.modified,
                slot @ Node::Leaf(_) => *slot = Node::Interior(new),
            },
            (Entry::Occupied(mut old), node) => drop(old.insert(node)),
            (Entry::Vacant(free), node) => drop(free.insert(node)),
        }
    }

    /// Makes the places below `path` equal to those of `snapshot`, older values included; answers what changed.
    ///
    /// Children for which `keep` answers true stay as they are now, present or not.
    pub fn restore<S: AsRef<str>>(
        &mut self,
        path: &[S],
        snapshot: &Self,
        time: i64,
        keep: impl Fn(&[SmolStr]) -> bool,
    ) -> Vec<Change> {
        let write = Write { time, origin: Origin::Runtime, force: true };
        let mut writer = Writer { write: &write, now: None, path: Vec::new(), changes: Vec::new() };
        let empty = Interior::default();
        let old = snapshot.interior(path).unwrap_or(&empty);
        if let Some(at) = writer.descend(&mut self.root, path) {
            writer.restore(at, old, &keep);
        }
        writer.changes
    }

    fn interior_mut<S: AsRef<str>>(&mut self, path: &[S], spelled: &mut Vec<SmolStr>) -> Option<&mut Interior> {
        let mut at = &mut self.root;
        for key in path {
            let (index, name, _) = at.children.get_full(&Folded(key.as_ref()))?;
            spelled.push(name.spelled());
            match at.children.get_index_mut(index)?.1 {
                Node::Interior(next) => at = next,
                Node::Leaf(_) => return None,
            }
        }
        Some(at)
    }

    fn raise_times<S: AsRef<str>>(&mut self, path: &[S], time: i64) {
        let mut at = &mut self.root;
        at.modified = at.modified.max(time);
        for key in path {
            match at.children.get_mut(&Folded(key.as_ref())) {
                Some(Node::Interior(next)) => {
                    next.modified = next.modified.max(time);
                    at = next;
                }
                _ => return,
            }
        }
    }
}

struct Writer<'a> {
    write: &'a Write,
    /// For what a deployment writes: the present by which times are judged.
    now: Option<i64>,
    path: Vec<SmolStr>,
    changes: Vec<Change>,
}

impl Writer<'_> {
    fn may_touch(&self, modified: i64) -> bool {
        self.write.may_touch(modified) || self.now.is_some_and(|now| modified > now)
    }

    fn note(&mut self, key: &Key, kind: ChangeKind) {
        let mut path = self.path.clone();
        path.push(key.spelled());
        self.changes.push(Change { path, kind, time: self.write.time });
    }

    /// Walks to the map at `path`, making maps on the way; none when a newer leaf stands in the way.
    fn descend<'t, S: AsRef<str>>(&mut self, root: &'t mut Interior, path: &[S]) -> Option<&'t mut Interior> {
        let mut at = root;
        for key in path {
            at = self.map_at(at, key.as_ref())?;
        }
        Some(at)
    }

    /// The map at `key` of `at`, made when missing; pushes the key's spelling onto the path.
    fn map_at<'t>(&mut self, at: &'t mut Interior, key: &str) -> Option<&'t mut Interior> {
        match at.children.get(&Folded(key)) {
            Some(Node::Interior(_)) => {}
            Some(Node::Leaf(leaf)) if !self.may_touch(leaf.modified) => return None,
            found => {
                let was_leaf = found.is_some();
                let key =
                    at.children.get_key_value(&Folded(key)).map_or_else(|| Key::from(key), |(key, _)| key.clone());
                if was_leaf {
                    self.note(&key, ChangeKind::Removed);
                }
                self.note(&key, ChangeKind::InteriorAdded);
                let empty = Interior { modified: self.write.time, ..Interior::default() };
                at.children.insert(key, Node::Interior(empty));
            }
        }
        let (index, name, _) = at.children.get_full(&Folded(key))?;
        self.path.push(name.spelled());
        match at.children.get_index_mut(index)?.1 {
            Node::Interior(map) => Some(map),
            Node::Leaf(_) => None,
        }
    }

    fn map(&mut self, at: &mut Interior, map: &Map<String, Value>, behavior: &Behavior) {
        for (key, value) in map {
            self.child(at, key, value, &behavior.of_child(key));
        }
        // what the container itself merges stays, whatever the rule for its children
        if behavior.mode == Mode::Replace {
            let named: HashSet<Key> = map.keys().map(|name| Key::from(name.as_str())).collect();
            let gone = at.children.keys().filter(|key| !named.contains(*key));
            let gone = gone.filter(|key| behavior.of_child(key.as_str()).mode == Mode::Replace);
            for key in gone.map(Key::spelled).collect::<Vec<_>>() {
                self.remove(at, &key);
            }
        }
        at.modified = at.modified.max(self.write.time);
    }

    fn child(&mut self, at: &mut Interior, key: &str, value: &Value, behavior: &Behavior) {
        if let Some((time, now)) =
            behavior.time.filter(|(time, now)| (self.write.time, self.now) != (*time, Some(*now)))
        {
            let write = Write { time, ..self.write.clone() };
            let mut writer = Writer { write: &write, now: Some(now), path: self.path.clone(), changes: Vec::new() };
            writer.child(at, key, value, behavior);
            self.changes.append(&mut writer.changes);
            return;
        }
        if let Value::Object(map) = value {
            let depth = self.path.len();
            if let Some(next) = self.map_at(at, key) {
                self.map(next, map, behavior);
            }
            self.path.truncate(depth);
            return;
        }
        let new = Leaf { value: value.clone(), modified: self.write.time, origin: self.write.origin.clone() };
        self.leaf(at, key, new);
    }

    fn leaf(&mut self, at: &mut Interior, key: &str, new: Leaf) {
        let Some((index, name, node)) = at.children.get_full(&Folded(key)) else {
            let key = Key::from(key);
            self.note(&key, ChangeKind::Initialized);
            at.children.insert(key, Node::Leaf(new));
            return;
        };
        if !self.may_touch(node.modified()) {
            return;
        }
        let name = name.clone();
        let Some((_, slot)) = at.children.get_index_mut(index) else { return };
        match slot {
            Node::Interior(_) => {
                self.note(&name, ChangeKind::Removed);
                self.note(&name, ChangeKind::Initialized);
                *slot = Node::Leaf(new);
            }
            Node::Leaf(old) if old.value != new.value => {
                self.note(&name, ChangeKind::Changed);
                *old = new;
            }
            Node::Leaf(old) if old.modified != new.modified && self.now.is_none() => {
                self.note(&name, ChangeKind::TimestampUpdated);
                old.modified = new.modified;
            }
            Node::Leaf(_) => {}
        }
    }

    fn remove(&mut self, at: &mut Interior, key: &str) {
        if let Some((name, _)) = at.children.shift_remove_entry(&Folded(key)) {
            self.note(&name, ChangeKind::Removed);
        }
    }

    fn restore(&mut self, at: &mut Interior, old: &Interior, keep: &impl Fn(&[SmolStr]) -> bool) {
        let depth = self.path.len();
        let present: Vec<SmolStr> = at.children.keys().map(Key::spelled).collect();
        for key in present {
            self.path.push(key.clone());
            // private keys are in no snapshot
            let kept = old.child(&key).is_some() || key.starts_with('_') || keep(&self.path);
            self.path.truncate(depth);
            if !kept {
                self.remove(at, &key);
            }
        }
        for (key, node) in old.children() {
            self.path.push(key.spelled());
            let kept = keep(&self.path);
            self.path.truncate(depth);
            if kept {
                continue;
            }
            match node {
                Node::Interior(before) => {
                    if let Some(next) = self.map_at(at, key.as_str()) {
                        self.restore(next, before, keep);
                    }
                    self.path.truncate(depth);
                }
                Node::Leaf(before) => {
                    self.leaf(at, key.as_str(), before.clone());
                    if let Some(Node::Leaf(now)) = at.children.get_mut(&Folded(key.as_str())) {
                        *now = before.clone();
                    }
                }
            }
        }
        at.modified = old.modified;
    }
}
