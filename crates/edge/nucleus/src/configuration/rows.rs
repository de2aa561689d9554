//! The tree as rows: one per node, by its place.
//!
//! A place is the keys joined like a JSON pointer, so that everything below `/a/b` lies between `/a/b/` and `/a/b0` (`0`
//! follows `/`). The time of a map is that of the newest node below it and is worked out while reading.

use std::collections::BTreeMap;

use marram_configuration::{Change, ChangeKind, Interior, Leaf, Node, Origin, Tree};
use marram_store::{Migration, Snapshot, StoreError, Tx, params};
use serde_json::Value;
use smol_str::SmolStr;

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    component: "configuration",
    number: 1,
    sql: "CREATE TABLE configuration_node (
        path TEXT NOT NULL PRIMARY KEY,
        value TEXT,
        modified BIGINT NOT NULL,
        origin TEXT NOT NULL
    ) WITHOUT ROWID",
}];

/// One change of the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operation {
    /// Everything.
    Clear,
    /// A place and everything below it.
    Remove(String),
    /// A node; a map has no value.
    Put { path: String, value: Option<String>, modified: i64, origin: String },
}

/// What has to be done to the table so that it shows `changes` of `tree`.
pub(super) fn operations(tree: &Tree, changes: &[Change]) -> Vec<Operation> {
    let mut operations = Vec::with_capacity(changes.len());
    for change in changes.iter().filter(|change| !is_private(&change.path)) {
        if change.kind == ChangeKind::Removed {
            operations.push(Operation::Remove(place(&change.path)));
        } else if let Some(node) = tree.get(&change.path) {
            operations.push(put(&change.path, node));
        }
    }
    operations
}

/// The whole table anew.
pub(super) fn everything(tree: &Tree) -> Vec<Operation> {
    let mut operations = vec![Operation::Clear];
    tree.walk(|path, node| {
        if !is_private(path) {
            operations.push(put(path, node));
        }
    });
    operations
}

pub(super) fn apply(tx: &mut Tx<'_>, operations: &[Operation]) -> Result<(), StoreError> {
    for operation in operations {
        match operation {
            Operation::Clear => drop(tx.execute("DELETE FROM configuration_node", params![])?),
            Operation::Remove(path) => {
                let (first, last) = (format!("{path}/"), format!("{path}0"));
                tx.execute(
                    "DELETE FROM configuration_node WHERE path = $1 OR (path >= $2 AND path < $3)",
                    params![path.as_str(), first.as_str(), last.as_str()],
                )?;
            }
            Operation::Put { path, value, modified, origin } => {
                tx.execute(
                    "INSERT INTO configuration_node (path, value, modified, origin) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (path) DO UPDATE SET value = excluded.value, modified = excluded.modified,
                         origin = excluded.origin",
                    params![path.as_str(), value.as_deref(), *modified, origin.as_str()],
                )?;
            }
        }
    }
    Ok(())
}

/// The tree, or the path of a row that cannot be read.
pub(super) fn read(snapshot: &Snapshot<'_>) -> Result<Result<Tree, String>, StoreError> {
    let mut nodes: BTreeMap<Vec<SmolStr>, Node> = BTreeMap::new();
    let mut bad = None;
    snapshot.query_each("SELECT path, value, modified, origin FROM configuration_node", params![], |row| {
        let (path, value) = (row.get::<String>(0)?, row.get::<Option<String>>(1)?);
        match node(value.as_deref(), row.get(2)?, &row.get::<String>(3)?) {
            Some(node) => drop(nodes.insert(keys(&path), node)),
            None => bad = Some(path),
        }
        Ok::<_, StoreError>(true)
    })?;
    if let Some(path) = bad {
        return Ok(Err(path));
    }
    let mut newest: BTreeMap<&[SmolStr], i64> = BTreeMap::new();
    for (path, node) in &nodes {
        for end in 1..path.len() {
            let time = newest.entry(&path[..end]).or_default();
            *time = (*time).max(node.modified());
        }
    }
    let mut tree = Tree::new();
    for (path, node) in &nodes {
        let mut node = node.clone();
        if let Node::Interior(map) = &mut node {
            map.modified = map.modified.max(newest.get(path.as_slice()).copied().unwrap_or(0));
        }
        tree.load(path, node);
    }
    Ok(Ok(tree))
}

fn node(value: Option<&str>, modified: i64, origin: &str) -> Option<Node> {
    let Some(text) = value else {
        let mut map = Interior::default();
        map.modified = modified;
        return Some(Node::Interior(map));
    };
    let value: Value = serde_json::from_str(text).ok().filter(|value: &Value| !value.is_object())?;
    let origin = match origin.parse::<Origin>() {
        Ok(origin) => origin,
        Err(never) => match never {},
    };
    Some(Node::Leaf(Leaf { value, modified, origin }))
}

fn put(path: &[SmolStr], node: &Node) -> Operation {
    let (value, origin) = match node {
        Node::Leaf(leaf) => (Some(leaf.value.to_string()), leaf.origin.to_string()),
        Node::Interior(_) => (None, String::new()),
    };
    Operation::Put { path: place(path), value, modified: node.modified(), origin }
}

fn place(path: &[SmolStr]) -> String {
    let mut text = String::new();
    for key in path {
        text.push('/');
        text.push_str(&key.replace('~', "~0").replace('/', "~1"));
    }
    text
}

fn keys(place: &str) -> Vec<SmolStr> {
    place.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~").into()).collect()
}

/// Runtime-private places are not kept (CR 3.1).
fn is_private(path: &[SmolStr]) -> bool {
    path.iter().any(|key| key.starts_with('_'))
}
