//! PUBLISH (section 3.3): the packet as a value.

use bytes::Bytes;

use crate::packet::{PacketId, QoS};
use crate::property::PublishProperties;
use crate::topic::Topic;

/// An application message on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// The sender may have sent it before; only with QoS above 0.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// The message is (or becomes) the topic's retained message.
    pub retain: bool,
    /// `None` only in MQTT 5, where a topic alias stands for the topic.
    pub topic: Option<Topic>,
    /// Present exactly when `qos` is above 0.
    pub packet_id: Option<PacketId>,
    /// MQTT 5 properties.
    pub properties: PublishProperties,
    /// The message; shares the buffer it was read from.
    pub payload: Bytes,
}
