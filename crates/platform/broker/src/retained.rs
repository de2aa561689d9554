//! Retained messages of one tenant, and how many of them there may be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use marram_mqtt::Topic;

use crate::message::Message;
use crate::options::BrokerOptions;
use crate::rate::Cell;

/// What a retained message costs in memory besides its topic and payload, bytes, roughly.
const OVERHEAD: usize = 256;

/// Why a message is not retained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RetainRefused {
    /// The account has as many, or as many bytes, as it may.
    Full,
    /// The account's metered rate is spent.
    Rate,
}

#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: HashMap<Topic, Arc<Message>>,
    bytes: usize,
    writes: Cell,
}

fn weight(message: &Message) -> usize {
    let users = message.properties.as_ref().map_or(0, |properties| {
        properties.user_properties.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    });
    message.topic.len() + message.payload.len() + users + OVERHEAD
}

impl Retained {
    pub(crate) fn get(&self, topic: &Topic) -> Option<Arc<Message>> {
        self.messages.get(topic).cloned()
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Message>> {
        self.messages.values().cloned().collect()
    }

    /// Whether `message` may be kept: one that replaces another has that one's room.
    pub(crate) fn admit(&mut self, message: &Message, options: &BrokerOptions) -> Result<(), RetainRefused> {
        let replaced = self.messages.get(&message.topic).map(|old| weight(old));
        let bytes = self.bytes - replaced.unwrap_or(0) + weight(message);
        let is_full = replaced.is_none() && self.messages.len() >= options.retained_messages;
        // A smaller message in the place of a larger one is welcome even in a store that is too full.
        if is_full || (bytes > options.retained_bytes && bytes > self.bytes) {
            return Err(RetainRefused::Full);
        }
        match &options.quotas {
            Some(quotas) if !self.writes.take(quotas.retained, Instant::now()) => Err(RetainRefused::Rate),
            _ => Ok(()),
        }
    }

    /// Keeps a message, whatever the limits say: it was admitted, or it comes from the store.
    pub(crate) fn put(&mut self, message: Arc<Message>) {
        self.bytes += weight(&message);
        if let Some(old) = self.messages.insert(message.topic.clone(), message) {
            self.bytes -= weight(&old);
        }
    }

    /// Forgets the message of a topic. Whether there was one.
    pub(crate) fn clear(&mut self, topic: &Topic) -> bool {
        let Some(old) = self.messages.remove(topic) else { return false };
        self.bytes -= weight(&old);
        true
    }
}
