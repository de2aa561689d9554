//! Things as the registry knows them.

use marram_identity::CallError;
use marram_store::Snapshot;

use crate::ports::{ThingFacts, Things};
use crate::realm::Realm;

/// The registry's tables behind the [`Things`] port.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistryThings;

impl Things for RegistryThings {
    fn find(&self, snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<ThingFacts>, CallError> {
        let place = realm.registry();
        let thing = marram_registry::find_thing(snapshot, &place, name)?;
        Ok(thing.map(|thing| ThingFacts { arn: thing.arn, attributes: thing.attributes }))
    }
}
