//! Requests in flight per thing (CP 5.7: at most ten).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marram_registry::Realm;
use marram_shadow::ShadowError;
use marram_types::ThingName;

/// Unfinished requests of one thing.
const MAX_IN_FLIGHT: u32 = 10;

type Counts = HashMap<(Realm, ThingName), u32>;

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<Counts>);

/// A request that is counted until this is dropped.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: (Realm, ThingName),
}

impl Flights {
    pub(crate) fn enter(self: &Arc<Self>, realm: &Realm, thing: &ThingName) -> Result<Flight, ShadowError> {
        let key = (realm.clone(), thing.clone());
        let mut counts = self.counts();
        let count = counts.entry(key.clone()).or_insert(0);
        if *count >= MAX_IN_FLIGHT {
            return Err(ShadowError::TooManyRequests);
        }
        *count += 1;
        drop(counts);
        Ok(Flight { flights: Arc::clone(self), key })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut counts = self.flights.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
