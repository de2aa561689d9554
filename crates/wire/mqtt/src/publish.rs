//! PUBLISH (section 3.3): as a value, as a view for the hot path, and its bytes.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::error::{DecodeError, EncodeError};
use crate::codec::frame::{MAX_REMAINING_LENGTH, varint};
use crate::codec::properties::{self, List};
use crate::codec::read::Reader;
use crate::codec::write::{put_varint, varint_len};
use crate::packet::{PacketId, QoS, Version};
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

impl Publish {
    /// A QoS 0 message without properties.
    pub fn new(topic: Topic, payload: impl Into<Bytes>) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            properties: PublishProperties::default(),
            payload: payload.into(),
        }
    }

    /// Decodes the body of a PUBLISH with the flags of its fixed header.
    pub(crate) fn decode(version: Version, flags: u8, body: &Bytes) -> Result<Self, DecodeError> {
        let view = PublishView::parse(version, flags, body)?;
        Ok(Self {
            dup: view.dup,
            qos: view.qos,
            retain: view.retain,
            topic: view.topic()?,
            packet_id: view.packet_id,
            properties: view.properties()?,
            payload: view.payload(),
        })
    }
}

/// A PUBLISH taken apart but not yet believed: the topic's text and the properties are checked when asked for.
/// A broker that has seen the very same topic bytes before need not check them again.
#[derive(Debug)]
pub struct PublishView<'a> {
    /// The sender may have sent it before.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// RETAIN flag.
    pub retain: bool,
    /// Present exactly when `qos` is above 0.
    pub packet_id: Option<PacketId>,
    body: &'a Bytes,
    topic: Range<usize>,
    properties: Range<usize>,
}

impl<'a> PublishView<'a> {
    /// Takes the body of a PUBLISH apart. `flags` are those of the fixed header, already checked by `next_frame`.
    #[inline]
    pub fn parse(version: Version, flags: u8, body: &'a Bytes) -> Result<Self, DecodeError> {
        const SHORT: DecodeError = DecodeError::Malformed("packet ends inside a field");
        let qos = QoS::from_bits((flags >> 1) & 3).ok_or(DecodeError::Malformed("quality of service 3"))?;
        let &[high, low, ..] = body.as_ref() else { return Err(SHORT) };
        let topic = 2..2 + usize::from(u16::from_be_bytes([high, low]));
        let mut at = topic.end;
        let packet_id = if qos == QoS::AtMostOnce {
            None
        } else {
            let id = body.get(at..at + 2).ok_or(SHORT)?;
            at += 2;
            let id = PacketId::new(u16::from_be_bytes([id[0], id[1]]));
            Some(id.ok_or(DecodeError::Protocol("packet identifier 0"))?)
        };
        let mut properties = at..at;
        if version == Version::V5 {
            let (length, used) = varint(body.get(at..).ok_or(SHORT)?)?.ok_or(SHORT)?;
            properties = at..at + used + length as usize;
        }
        if properties.end > body.len() {
            return Err(SHORT);
        }
        Ok(Self { dup: flags & 8 != 0, qos, retain: flags & 1 != 0, packet_id, body, topic, properties })
    }

    /// The topic's bytes, unchecked; empty where an alias stands for it.
    #[inline]
    pub fn topic_bytes(&self) -> &'a [u8] {
        &self.body[self.topic.clone()]
    }

    /// The topic, checked; `None` where an MQTT 5 alias stands for it.
    pub fn topic(&self) -> Result<Option<Topic>, DecodeError> {
        let bytes = self.topic_bytes();
        if bytes.is_empty() && !self.properties.is_empty() && self.properties()?.topic_alias.is_some() {
            return Ok(None);
        }
        if bytes.is_empty() && !self.properties.is_empty() {
            return Err(DecodeError::Protocol("neither topic nor topic alias"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("text that is not UTF-8"))?;
        Topic::new(text).map(Some).map_err(DecodeError::TopicName)
    }

    /// Whether there is at least one property.
    #[inline]
    pub fn has_properties(&self) -> bool {
        self.properties.len() > 1
    }

    /// The properties, checked.
    pub fn properties(&self) -> Result<PublishProperties, DecodeError> {
        if !self.has_properties() {
            return Ok(PublishProperties::default());
        }
        let part = self.body.slice(self.properties.clone());
        properties::publish(&mut Reader::new(&part), None)
    }

    /// The message, sharing the body's buffer.
    #[inline]
    pub fn payload(&self) -> Bytes {
        self.body.slice(self.properties.end..)
    }

    /// Bytes of the message.
    #[inline]
    pub fn payload_len(&self) -> usize {
        self.body.len() - self.properties.end
    }
}

/// The parts of a PUBLISH that differ from one receiver of a message to the next.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead {
    /// DUP flag.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// RETAIN flag.
    pub retain: bool,
    /// Needed exactly when `qos` is above 0.
    pub packet_id: Option<PacketId>,
}

/// Appends a PUBLISH to `out` without building a packet first. `topic` may be empty if the properties hold an
/// alias; `properties` are left out towards 3.1.1. On an error `out` is unchanged.
#[inline]
pub fn encode_publish(
    version: Version,
    out: &mut BytesMut,
    head: PublishHead,
    topic: &str,
    properties: Option<&PublishProperties>,
    payload: &[u8],
) -> Result<(), EncodeError> {
    let list = match (version, properties) {
        (Version::V5, Some(properties)) if !properties.is_empty() => {
            let mut list = BytesMut::new();
            let mut collected = List::new();
            collected.publish(properties)?;
            collected.write(&mut list);
            Some(list)
        }
        _ => None,
    };
    let properties: &[u8] = match (version, &list) {
        (Version::V4, _) => &[],
        (Version::V5, None) => &[0],
        (Version::V5, Some(list)) => list,
    };
    let topic_len = u16::try_from(topic.len()).map_err(|_| EncodeError::FieldTooLong)?;
    let id_len = if head.packet_id.is_some() { 2 } else { 0 };
    let remaining = 2 + topic.len() + id_len + properties.len() + payload.len();
    if remaining > MAX_REMAINING_LENGTH {
        return Err(EncodeError::PacketTooLong);
    }
    out.reserve(1 + varint_len(remaining) + remaining);
    out.put_u8(0x30 | u8::from(head.dup) << 3 | (head.qos as u8) << 1 | u8::from(head.retain));
    put_varint(out, remaining);
    out.put_u16(topic_len);
    out.put_slice(topic.as_bytes());
    if let Some(packet_id) = head.packet_id {
        out.put_u16(packet_id.get());
    }
    out.put_slice(properties);
    out.put_slice(payload);
    Ok(())
}
