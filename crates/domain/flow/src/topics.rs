//! The topics of a deployment: everything its things and its runtime say to each other (TG 10.1, 11.3).
//!
//! Topics are known once things are bound, so rules for the local broker are made from the snapshot and from nothing else.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::exchange::event_filter;
use crate::fault::Fault;
use crate::program::Operation;
use crate::snapshot::Snapshot;

/// What one thing says and hears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThingTopics {
    /// Filters of what the thing publishes: events and responses.
    pub publishes: BTreeSet<SmolStr>,
    /// Topics the thing is sent requests on.
    pub receives: BTreeSet<SmolStr>,
}

impl Snapshot {
    /// The topics of every bound thing that speaks MQTT, by thing name.
    ///
    /// # Errors
    /// A topic that does not resolve.
    pub fn topics(&self) -> Result<BTreeMap<SmolStr, ThingTopics>, Fault> {
        let mut all = BTreeMap::new();
        for (name, thing) in &self.site.things {
            let Some(device) = self.site.devices.get(usize::from(thing.device)) else { continue };
            let mut topics = ThingTopics::default();
            for source in &device.events {
                topics.publishes.insert(event_filter(&source.topic, &self.site, name)?);
            }
            for action in &device.actions {
                if let Operation::Publish { topic, response, .. } = &action.operation {
                    topics.receives.insert(event_filter(topic, &self.site, name)?);
                    if let Some(response) = response {
                        topics.publishes.insert(event_filter(&response.topic, &self.site, name)?);
                    }
                }
            }
            if topics != ThingTopics::default() {
                all.insert(name.clone(), topics);
            }
        }
        Ok(all)
    }
}
