//! A message on its way through the broker: made once, shared by all who receive it.

use std::time::Instant;

use bytes::Bytes;
use marram_mqtt::{PublishProperties, QoS, Topic};

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

    /// The same with MQTT 5 properties.
    pub fn with_properties(mut self, properties: PublishProperties) -> Self {
        self.properties = (!properties.is_empty()).then(|| Box::new(properties));
        self
    }
}
