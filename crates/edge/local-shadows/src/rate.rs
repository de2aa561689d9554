//! How many requests a second: fixed windows of one second, all things together, then each (core-components.md section 3.2).

use std::collections::HashMap;

use marram_parts::RateLimits;
use marram_types::ThingName;

/// Counts of the running second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    second: i64,
    total: u32,
    things: HashMap<ThingName, u32>,
}

impl Rates {
    /// Counts a request; false when it is one too many. `second`: since the epoch. The number of things counted is bounded
    /// by the total.
    pub(crate) fn admit(&mut self, limits: RateLimits, thing: &ThingName, second: i64) -> bool {
        if self.second != second {
            self.second = second;
            self.total = 0;
            self.things.clear();
        }
        if self.total >= limits.total {
            return false;
        }
        let of_thing = self.things.entry(thing.clone()).or_default();
        if *of_thing >= limits.per_thing {
            return false;
        }
        *of_thing += 1;
        self.total += 1;
        true
    }
}
