//! Who is told about changes: watchers of configurations, and whoever decides by `accessControl`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use marram_configuration::{Change, Event, Tree};
use marram_edge_ports::ChangedPath;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};

/// News a watcher may be behind. They carry no value, so a watcher with this many unread ones reads everything anyway.
const PENDING_MAX: usize = 32;

#[derive(Debug)]
struct Watcher {
    component: SmolStr,
    /// From the root of the tree.
    path: Vec<SmolStr>,
    sender: mpsc::Sender<ChangedPath>,
}

type Rights = Arc<BTreeMap<SmolStr, Value>>;

#[derive(Debug)]
pub(super) struct Watchers {
    watchers: Mutex<Vec<Watcher>>,
    rights: watch::Sender<Rights>,
}

impl Watchers {
    pub(super) fn new(tree: &Tree) -> Self {
        Self { watchers: Mutex::default(), rights: watch::Sender::new(Arc::new(rights(tree))) }
    }

    pub(super) fn add(&self, component: &str, path: &[SmolStr]) -> mpsc::Receiver<ChangedPath> {
        let (sender, receiver) = mpsc::channel(PENDING_MAX);
        let root = ["services", component, "configuration"].map(SmolStr::from);
        let path = root.iter().chain(path).cloned().collect();
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| !watcher.sender.is_closed());
        watchers.push(Watcher { component: component.into(), path, sender });
        receiver
    }

    /// One event per change, none for times alone (CR 3.5).
    pub(super) fn tell(&self, changes: &[Change]) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| {
            for change in changes {
                let seen = change.seen_from(&watcher.path);
                if seen.is_none_or(|event| matches!(event, Event::TimestampUpdated | Event::InteriorAdded)) {
                    continue;
                }
                let path = change.path.get(3..).unwrap_or_default().to_vec();
                let news = ChangedPath { component: watcher.component.clone(), path };
                if let Err(mpsc::error::TrySendError::Closed(_)) = watcher.sender.try_send(news) {
                    return false;
                }
            }
            !watcher.sender.is_closed()
        });
    }

    pub(super) fn access_control(&self) -> watch::Receiver<Rights> {
        self.rights.subscribe()
    }

    /// Whether rights may look different after `change`.
    pub(super) fn may_change_rights(change: &Change) -> bool {
        let is = |place: usize, word: &str| change.path.get(place).is_none_or(|key| key.eq_ignore_ascii_case(word));
        is(0, "services") && is(2, "configuration") && is(3, "accessControl")
    }

    pub(super) fn refresh_rights(&self, tree: &Tree) {
        let fresh = rights(tree);
        self.rights.send_if_modified(|rights| {
            let differs = **rights != fresh;
            if differs {
                *rights = Arc::new(fresh);
            }
            differs
        });
    }
}

fn rights(tree: &Tree) -> BTreeMap<SmolStr, Value> {
    let services = tree.interior(&["services"]);
    let components = services.into_iter().flat_map(marram_configuration::Interior::children);
    components
        .filter_map(|(name, _)| {
            let value = tree.read(&["services", name.as_str(), "configuration", "accessControl"])?;
            // The original also takes rights written as a JSON text (CR 6.9).
            let value = match &value {
                Value::String(text) => serde_json::from_str(text).unwrap_or(value),
                _ => value,
            };
            Some((name.as_str().into(), value))
        })
        .collect()
}
