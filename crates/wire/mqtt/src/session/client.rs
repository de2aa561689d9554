//! A client's side of a session: what it sent and awaits an answer for, what the server's aliases mean.
//!
//! | packet from the server | becomes |
//! | --- | --- |
//! | PUBLISH | [`ClientEvent::Message`] with its topic resolved; QoS 1 is for the caller to acknowledge |
//! | PUBACK, SUBACK, UNSUBACK | the matching event, once; for an id nobody awaits: ignored |
//! | PINGRESP | [`ClientEvent::Pong`] |
//! | DISCONNECT (5) | [`ClientEvent::Closed`] |
//! | anything else | an error: the connection ends |

use bytes::BytesMut;

use crate::codec::error::{DecodeError, EncodeError};
use crate::packet::{ConnAck, Disconnect, Packet, PacketId, QoS, Subscribe, Unsubscribe, Version};
use crate::publish::Publish;
use crate::reason::ReasonCode;
use crate::session::alias::{InboundAliases, TOPIC_ALIAS_MAX};
use crate::session::window::Window;
use crate::topic::Topic;

/// What the server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// A message; `topic` is always present.
    Message(Publish),
    /// A QoS 1 message of ours was accepted or refused.
    Published(PacketId, ReasonCode),
    /// Answer to a SUBSCRIBE, one code per filter.
    Subscribed(PacketId, Vec<ReasonCode>),
    /// Answer to an UNSUBSCRIBE.
    Unsubscribed(PacketId, Vec<ReasonCode>),
    /// Answer to PINGREQ.
    Pong,
    /// The server ends the connection.
    Closed(Disconnect),
}

/// What awaits an answer.
#[derive(Debug)]
enum Awaited {
    Publish(Publish),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
}

/// Why a request cannot be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The server's Receive Maximum is reached: wait for an answer.
    #[error("too many unanswered requests")]
    WindowFull,
    /// Our codec cannot write it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// QoS 2 is not spoken here.
    #[error("QoS 2 is not supported")]
    QosNotSupported,
}

/// A client's session; survives reconnects.
#[derive(Debug)]
pub struct ClientSession {
    version: Version,
    awaited: Window<Awaited>,
    wanted_window: usize,
    aliases: InboundAliases<Topic>,
}

impl ClientSession {
    /// A new session that keeps at most `window` requests unanswered.
    pub fn new(version: Version, window: usize) -> Self {
        Self {
            version,
            awaited: Window::new(window),
            wanted_window: window,
            aliases: InboundAliases::new(TOPIC_ALIAS_MAX),
        }
    }

    /// Standard spoken.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Requests without an answer.
    pub fn unanswered(&self) -> usize {
        self.awaited.len()
    }

    /// A connection was accepted. Appends to `out` what has to be sent again: unacknowledged messages, with DUP if
    /// the server kept the session. Unanswered SUBSCRIBE and UNSUBSCRIBE are repeated as well.
    pub fn connected(&mut self, connack: &ConnAck, out: &mut BytesMut) -> Result<(), EncodeError> {
        let theirs = connack.properties.receive_maximum.map_or(usize::from(u16::MAX), |maximum| maximum.get().into());
        self.awaited.set_limit(self.wanted_window.min(theirs));
        self.aliases = InboundAliases::new(TOPIC_ALIAS_MAX);
        for (id, awaited) in self.awaited.iter() {
            let packet = match awaited {
                Awaited::Publish(publish) => {
                    Packet::Publish(Publish { dup: connack.session_present, packet_id: Some(id), ..publish.clone() })
                }
                Awaited::Subscribe(subscribe) => Packet::Subscribe(Subscribe { packet_id: id, ..subscribe.clone() }),
                Awaited::Unsubscribe(packet) => Packet::Unsubscribe(Unsubscribe { packet_id: id, ..packet.clone() }),
            };
            packet.encode(self.version, out)?;
        }
        Ok(())
    }

    /// Appends a message to `out`. QoS 1: remembered until its answer comes, under the returned id.
    pub fn publish(&mut self, publish: Publish, out: &mut BytesMut) -> Result<Option<PacketId>, SendError> {
        match publish.qos {
            QoS::AtMostOnce => {
                Packet::Publish(Publish { packet_id: None, dup: false, ..publish }).encode(self.version, out)?;
                Ok(None)
            }
            QoS::AtLeastOnce => self.request(Awaited::Publish(publish.clone()), out, |packet_id| {
                Packet::Publish(Publish { packet_id: Some(packet_id), dup: false, ..publish })
            }),
            QoS::ExactlyOnce => Err(SendError::QosNotSupported),
        }
    }

    /// Appends a SUBSCRIBE; its `packet_id` is replaced by the returned one.
    pub fn subscribe(&mut self, subscribe: Subscribe, out: &mut BytesMut) -> Result<Option<PacketId>, SendError> {
        self.request(Awaited::Subscribe(subscribe.clone()), out, |packet_id| {
            Packet::Subscribe(Subscribe { packet_id, ..subscribe })
        })
    }

    /// Appends an UNSUBSCRIBE; its `packet_id` is replaced by the returned one.
    pub fn unsubscribe(&mut self, unsubscribe: Unsubscribe, out: &mut BytesMut) -> Result<Option<PacketId>, SendError> {
        self.request(Awaited::Unsubscribe(unsubscribe.clone()), out, |packet_id| {
            Packet::Unsubscribe(Unsubscribe { packet_id, ..unsubscribe })
        })
    }

    fn request(
        &mut self,
        awaited: Awaited,
        out: &mut BytesMut,
        packet: impl FnOnce(PacketId) -> Packet,
    ) -> Result<Option<PacketId>, SendError> {
        let id = self.awaited.push(awaited).map_err(|_| SendError::WindowFull)?;
        if let Err(error) = packet(id).encode(self.version, out) {
            self.awaited.acknowledge(id);
            return Err(error.into());
        }
        Ok(Some(id))
    }

    /// What a packet from the server means. `Ok(None)`: nothing to tell.
    pub fn receive(&mut self, packet: Packet) -> Result<Option<ClientEvent>, DecodeError> {
        Ok(match packet {
            Packet::Publish(publish) => Some(ClientEvent::Message(self.resolve(publish)?)),
            Packet::PubAck(ack) => {
                self.awaited.acknowledge(ack.packet_id).map(|_| ClientEvent::Published(ack.packet_id, ack.reason))
            }
            Packet::SubAck(ack) => {
                self.awaited.acknowledge(ack.packet_id).map(|_| ClientEvent::Subscribed(ack.packet_id, ack.reasons))
            }
            Packet::UnsubAck(ack) => {
                self.awaited.acknowledge(ack.packet_id).map(|_| ClientEvent::Unsubscribed(ack.packet_id, ack.reasons))
            }
            Packet::PingResp => Some(ClientEvent::Pong),
            Packet::Disconnect(disconnect) if self.version == Version::V5 => Some(ClientEvent::Closed(disconnect)),
            _ => return Err(DecodeError::Protocol("a packet a client does not expect")),
        })
    }

    fn resolve(&mut self, mut publish: Publish) -> Result<Publish, DecodeError> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(DecodeError::Protocol("a QoS 2 message nobody asked for"));
        }
        if let Some(alias) = publish.properties.topic_alias.take() {
            match &publish.topic {
                Some(topic) => self.aliases.define(alias, topic.clone())?,
                None => publish.topic = Some(self.aliases.resolve(alias)?.clone()),
            }
        }
        Ok(publish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Ack;
    use crate::property::ConnAckProperties;

    /// MQTT 4.4: what was not acknowledged is sent again on a resumed session, with DUP, in order, same ids.
    #[test]
    fn unacknowledged_messages_are_sent_again() {
        let mut session = ClientSession::new(Version::V4, 10);
        let mut out = BytesMut::new();
        let message = |n: u8| Publish { qos: QoS::AtLeastOnce, ..Publish::new(Topic::new("t").unwrap(), vec![n]) };
        let ids: Vec<_> = (0..3).map(|n| session.publish(message(n), &mut out).unwrap().unwrap()).collect();
        let acked = session.receive(Packet::PubAck(Ack::new(ids[1], ReasonCode::SUCCESS))).unwrap();
        assert_eq!(acked, Some(ClientEvent::Published(ids[1], ReasonCode::SUCCESS)));
        out.clear();
        let connack =
            ConnAck { session_present: true, reason: ReasonCode::SUCCESS, properties: ConnAckProperties::default() };
        session.connected(&connack, &mut out).unwrap();
        let mut again = Vec::new();
        while let Some(Packet::Publish(publish)) = crate::decode(Version::V4, &mut out, 1000).unwrap() {
            again.push((publish.packet_id, publish.dup, publish.payload[0]));
        }
        assert_eq!(again, [(Some(ids[0]), true, 0), (Some(ids[2]), true, 2)]);
    }

    /// MQTT 5 4.9: the server's Receive Maximum holds.
    #[test]
    fn the_window_is_the_smaller_of_both() {
        let mut session = ClientSession::new(Version::V5, 10);
        let mut connack =
            ConnAck { session_present: false, reason: ReasonCode::SUCCESS, properties: ConnAckProperties::default() };
        connack.properties.receive_maximum = Some(PacketId::new(1).unwrap());
        let mut out = BytesMut::new();
        session.connected(&connack, &mut out).unwrap();
        let message = Publish { qos: QoS::AtLeastOnce, ..Publish::new(Topic::new("t").unwrap(), "") };
        session.publish(message.clone(), &mut out).unwrap();
        assert_eq!(session.publish(message, &mut out), Err(SendError::WindowFull));
    }
}
