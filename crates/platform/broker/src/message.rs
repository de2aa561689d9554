//! A message on its way through the broker: made once, shared by all who receive it.

use std::time::Instant;

use bytes::Bytes;
use marram_mqtt::{PublishProperties, QoS, Topic};

use crate::budget::{Budget, Charge};

/// What a message costs in memory besides its text, bytes: itself, two allocations, a place in a queue.
const OVERHEAD: usize = 192;
/// The same of its MQTT 5 properties, and of one user property.
const PROPERTIES_OVERHEAD: usize = 192;
const USER_PROPERTY_OVERHEAD: usize = 48;

/// A message outlived its Message Expiry Interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expired;

/// An application message. Cheap to share behind an `Arc`; the payload is never copied on the way.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it was published.
    pub topic: Topic,
    /// What it says; at most 131,072 bytes.
    pub payload: Bytes,
    /// QoS 0 or 1.
    pub qos: QoS,
    /// Whether the publisher asked to retain it.
    pub retain: bool,
    /// MQTT 5 properties that travel with the message; never a topic alias or subscription identifiers.
    /// The message expiry, if any, counts from `at`.
    pub properties: Option<Box<PublishProperties>>,
    /// When the broker accepted it.
    pub at: Instant,
    /// What it takes of the memory for messages, once the broker accepted it.
    pub(crate) charge: Charge,
}

impl Message {
    /// A QoS 0 message without properties.
    pub fn new(topic: Topic, payload: impl Into<Bytes>) -> Self {
        Self {
            topic,
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: None,
            at: Instant::now(),
            charge: Charge::default(),
        }
    }

    /// The same at another quality of service.
    pub fn with_qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// The same, retained.
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// The message as the broker keeps it: counted, and holding no more than its own bytes. A payload that shares the
    /// buffer it was read from would keep all of that, a thousand times its size, for as long as one receiver is slow.
    pub(crate) fn accepted(mut self, budget: &'static Budget) -> Self {
        self.payload = own(&self.payload);
        if let Some(properties) = &mut self.properties {
            properties.correlation_data = properties.correlation_data.as_ref().map(own);
        }
        self.counted(budget)
    }

    /// The same, counted; for messages whose bytes are their own already.
    pub(crate) fn counted(mut self, budget: &'static Budget) -> Self {
        self.charge = Charge::new(budget, self.qos.into(), self.weight());
        self
    }

    /// What it costs in memory, bytes.
    pub(crate) fn weight(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |properties| {
            let texts = [&properties.content_type, &properties.response_topic].into_iter().flatten();
            PROPERTIES_OVERHEAD
                + properties.correlation_data.as_ref().map_or(0, Bytes::len)
                + texts.map(|text| text.len()).sum::<usize>()
                + properties
                    .user_properties
                    .iter()
                    .map(|(name, value)| name.len() + value.len() + USER_PROPERTY_OVERHEAD)
                    .sum::<usize>()
        });
        self.payload.len() + self.topic.len() + properties + OVERHEAD
    }

    /// Whether it is no longer worth delivering, and if not, the seconds it still is (`None`: for ever).
    pub(crate) fn remaining_expiry(&self, now: Instant) -> Result<Option<u32>, Expired> {
        let Some(expiry) = self.properties.as_ref().and_then(|properties| properties.message_expiry_secs) else {
            return Ok(None);
        };
        let waited = now.saturating_duration_since(self.at).as_secs();
        match u64::from(expiry).checked_sub(waited) {
            Some(left) if left > 0 => Ok(Some(left as u32)),
            _ => Err(Expired),
        }
    }

    /// The same with MQTT 5 properties.
    pub fn with_properties(mut self, properties: PublishProperties) -> Self {
        self.properties = (!properties.is_empty()).then(|| Box::new(properties));
        self
    }
}

fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
