//! The console's language service over what an account's namespace holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use marram_aws_api::ApiError;
use marram_console::Language;
use marram_console_language::{NamespaceWorld, answer};
use marram_things_graph::{Realm, ThingsGraph};
use marram_types::{AccountId, Partition, Region};
use serde_json::Value;

/// Namespaces kept compiled; beyond it all are forgotten.
const MAX_WORLDS: usize = 64;

/// A namespace as it was at a stamp.
type Kept = (String, Arc<NamespaceWorld>);

/// Reads texts in the namespace of the account that asks.
pub struct NamespaceLanguage {
    things_graph: ThingsGraph,
    partition: Partition,
    worlds: Mutex<HashMap<Realm, Kept>>,
}

impl NamespaceLanguage {
    /// Namespaces of this service.
    pub fn new(things_graph: ThingsGraph, partition: Partition) -> NamespaceLanguage {
        NamespaceLanguage { things_graph, partition, worlds: Mutex::default() }
    }

    fn world(&self, realm: Realm) -> Result<Arc<NamespaceWorld>, ApiError> {
        let stamp = self.things_graph.library_stamp(&realm)?;
        if let Some((known, world)) = self.lock().get(&realm)
            && *known == stamp
        {
            return Ok(Arc::clone(world));
        }
        // Read after the stamp: what changes in between is newer than the stamp says, and looked up again next time.
        let library = self.things_graph.library(&realm)?;
        let world = NamespaceWorld::from_parts(library.namespace, library.entities, library.flows, library.systems);
        let world = Arc::new(world);
        let mut worlds = self.lock();
        if worlds.len() >= MAX_WORLDS {
            worlds.clear();
        }
        worlds.insert(realm, (stamp, Arc::clone(&world)));
        Ok(world)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Realm, Kept>> {
        self.worlds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Language for NamespaceLanguage {
    fn answer(&self, account: &AccountId, region: &Region, verb: &str, input: &Value) -> Result<Value, ApiError> {
        let realm = Realm { partition: self.partition.clone(), account: account.clone(), region: region.clone() };
        let world = self.world(realm)?;
        answer(verb, input, &*world)
            .map_err(|error| ApiError::new(error.code(), 400, error.message).with("field", error.field))
    }
}
