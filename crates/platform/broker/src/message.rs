//! A message on its way through the broker: made once, shared by all who receive it.

use std::time::Instant;

use bytes::Bytes;
use marram_mqtt::{PublishProperties, QoS, Topic};

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

    /// A copy that does not keep the read buffer alive its payload came in: for messages that stay.
    pub(crate) fn unpinned(&self) -> Self {
        Self { payload: Bytes::copy_from_slice(&self.payload), ..self.clone() }
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
