//! Compiled policies, shared by all live sessions that have the same ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use marram_authz::{DevicePolicies, Facts, Policy};
use marram_identity::CallError;
use smol_str::SmolStr;

use crate::realm::Realm;

/// One version of a policy. The generation tells it from a later policy of the same name and version number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct PolicyKey {
    pub(super) name: SmolStr,
    pub(super) version: i64,
    pub(super) generation: SmolStr,
}

/// A compiled document and what it may read.
#[derive(Debug)]
struct Compiled {
    policy: Arc<Policy>,
    reads_things: bool,
    reads_certificate: bool,
    has_variables: bool,
}

/// The policies of a certificate: its own and those of its groups.
#[derive(Debug)]
pub(super) struct PolicySet {
    keys: Box<[PolicyKey]>,
    policies: Box<[Arc<Policy>]>,
    compiled: Box<[Arc<Compiled>]>,
    /// The bound form when nothing in it depends on the connection; then all sessions share it.
    shared: OnceLock<Arc<DevicePolicies>>,
}

impl PolicySet {
    /// Whether a policy of this name is among them.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    /// The keys, sorted.
    pub(super) fn keys(&self) -> &[PolicyKey] {
        &self.keys
    }

    /// The compiled documents.
    pub(super) fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// Whether a document mentions `iot:Connection.Thing`.
    pub(super) fn reads_things(&self) -> bool {
        self.compiled.iter().any(|compiled| compiled.reads_things)
    }

    /// Whether a document mentions `iot:Certificate`.
    pub(super) fn reads_certificate(&self) -> bool {
        self.compiled.iter().any(|compiled| compiled.reads_certificate)
    }

    /// Binds the policies to a connection.
    pub(super) fn bind(&self, prefix: &str, facts: &dyn Facts) -> Arc<DevicePolicies> {
        // A variable without a value makes a Deny match: unknown means no (security.md section 4).
        let bind = || Arc::new(DevicePolicies::bind(&self.policies, prefix, facts, true));
        if self.compiled.iter().any(|compiled| compiled.has_variables) {
            return bind();
        }
        Arc::clone(self.shared.get_or_init(bind))
    }
}

/// Documents and sets in use by somebody; what nobody uses is forgotten.
#[derive(Debug, Default)]
pub(super) struct PolicyCache {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    documents: HashMap<(Realm, PolicyKey), Weak<Compiled>>,
    sets: HashMap<(Realm, Vec<PolicyKey>), Weak<PolicySet>>,
    /// Entries that trigger the next sweep of dead ones.
    sweep_at: usize,
}

/// Entries below which no sweep is worth it.
const SWEEP_MIN: usize = 1024;

impl PolicyCache {
    /// The set of these versions; `read` fetches a document that is not in memory, `None` for one that is not there.
    pub(super) fn set(
        &self,
        realm: &Realm,
        keys: Vec<PolicyKey>,
        mut read: impl FnMut(&PolicyKey) -> Result<Option<(Policy, String)>, CallError>,
    ) -> Result<Arc<PolicySet>, CallError> {
        let set_key = (realm.clone(), keys);
        if let Some(set) = self.lock().sets.get(&set_key).and_then(Weak::upgrade) {
            return Ok(set);
        }
        let mut compiled = Vec::with_capacity(set_key.1.len());
        for key in &set_key.1 {
            let document_key = (realm.clone(), key.clone());
            let known = self.lock().documents.get(&document_key).and_then(Weak::upgrade);
            let document = match known {
                Some(document) => document,
                None => {
                    let Some((policy, text)) = read(key)? else { continue };
                    let document = Arc::new(Compiled::new(policy, &text));
                    self.lock().documents.insert(document_key, Arc::downgrade(&document));
                    document
                }
            };
            compiled.push(document);
        }
        let set = Arc::new(PolicySet {
            keys: set_key.1.clone().into(),
            policies: compiled.iter().map(|document| Arc::clone(&document.policy)).collect(),
            compiled: compiled.into(),
            shared: OnceLock::new(),
        });
        let mut tables = self.lock();
        tables.sets.insert(set_key, Arc::downgrade(&set));
        tables.sweep();
        Ok(set)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn sweep(&mut self) {
        if self.sets.len() + self.documents.len() < self.sweep_at.max(SWEEP_MIN) {
            return;
        }
        self.sets.retain(|_, set| set.strong_count() > 0);
        self.documents.retain(|_, document| document.strong_count() > 0);
        self.sweep_at = 2 * (self.sets.len() + self.documents.len());
    }
}

impl Compiled {
    fn new(policy: Policy, text: &str) -> Self {
        // Escapes could hide a name from this search; a document with any is taken to read everything.
        let lower = text.to_ascii_lowercase();
        let escaped = lower.contains('\\');
        let mentions = |word: &str| escaped || lower.contains(word);
        Self {
            reads_things: mentions("iot:connection.thing"),
            reads_certificate: mentions("iot:certificate"),
            has_variables: mentions("${"),
            policy: Arc::new(policy),
        }
    }
}
