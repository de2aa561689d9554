//! The fourteen packets of MQTT 3.1.1 and the fifteen of MQTT 5, as one set of types.
//!
//! Fields that only MQTT 5 has are empty or at their default when the packet came from, or goes to,
//! a 3.1.1 peer; encoding for 3.1.1 leaves them out.

use std::num::NonZeroU16;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::filter::TopicFilter;
use crate::property::{ConnAckProperties, ConnectProperties, PublishProperties, UserProperties};
use crate::publish::Publish;
use crate::reason::ReasonCode;
use crate::topic::Topic;

/// Which standard a connection speaks; fixed by its CONNECT packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V4,
    /// MQTT 5, protocol version 5.
    V5,
}

/// Quality of service of a message or a subscription.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum QoS {
    /// Delivered at most once, never acknowledged.
    #[default]
    AtMostOnce = 0,
    /// Delivered at least once, acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// Delivered exactly once; the codec knows it, our broker refuses it.
    ExactlyOnce = 2,
}

impl QoS {
    /// The two bits of the wire; 3 is no quality of service.
    pub fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet identifier: never zero (MQTT 2.2.1).
pub type PacketId = NonZeroU16;

/// Any control packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// Client asks for a connection.
    Connect(Box<Connect>),
    /// Server's answer to CONNECT.
    ConnAck(Box<ConnAck>),
    /// An application message.
    Publish(Publish),
    /// Acknowledges a QoS 1 PUBLISH.
    PubAck(Ack),
    /// First answer to a QoS 2 PUBLISH.
    PubRec(Ack),
    /// Second message of the QoS 2 exchange.
    PubRel(Ack),
    /// Ends the QoS 2 exchange.
    PubComp(Ack),
    /// Client asks for subscriptions.
    Subscribe(Subscribe),
    /// Server's answer to SUBSCRIBE.
    SubAck(SubAck),
    /// Client gives subscriptions up.
    Unsubscribe(Unsubscribe),
    /// Server's answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// Client shows that it lives.
    PingReq,
    /// Server's answer to PINGREQ.
    PingResp,
    /// Last packet of a connection.
    Disconnect(Disconnect),
    /// MQTT 5 extended authentication.
    Auth(Auth),
}

/// CONNECT (section 3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connect {
    /// Standard spoken on this connection.
    pub version: Version,
    /// Clean Session (3.1.1) or Clean Start (5).
    pub clean_start: bool,
    /// Seconds; 0 means no keep alive.
    pub keep_alive_secs: u16,
    /// As sent, possibly empty: the server decides what an empty one means.
    pub client_id: SmolStr,
    /// Message the server publishes when the connection ends without DISCONNECT.
    pub will: Option<Will>,
    /// User Name.
    pub user_name: Option<SmolStr>,
    /// Password: binary data.
    pub password: Option<Bytes>,
    /// MQTT 5 properties; default for 3.1.1.
    pub properties: ConnectProperties,
}

impl Connect {
    /// A CONNECT with clean start, 60 s keep alive and nothing else.
    pub fn new(version: Version, client_id: impl Into<SmolStr>) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive_secs: 60,
            client_id: client_id.into(),
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        }
    }
}

/// The will of a CONNECT (section 3.1.2.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    /// Where it goes.
    pub topic: Topic,
    /// What it says.
    pub payload: Bytes,
    /// Its quality of service.
    pub qos: QoS,
    /// Whether it becomes the topic's retained message.
    pub retain: bool,
    /// MQTT 5 Will Delay Interval, seconds.
    pub delay_secs: u32,
    /// MQTT 5 properties passed on with the message (no topic alias, no subscription identifier).
    pub properties: PublishProperties,
}

/// CONNACK (section 3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnAck {
    /// The server resumed a session.
    pub session_present: bool,
    /// [`ReasonCode::SUCCESS`] or why not. For 3.1.1 the codes 1 to 5 stand as their MQTT 5 counterparts.
    pub reason: ReasonCode,
    /// MQTT 5 properties.
    pub properties: ConnAckProperties,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// Packet this answers.
    pub packet_id: PacketId,
    /// MQTT 5 reason; success for 3.1.1.
    pub reason: ReasonCode,
    /// MQTT 5 Reason String.
    pub reason_string: Option<SmolStr>,
    /// MQTT 5 user properties.
    pub user_properties: UserProperties,
}

impl Ack {
    /// An acknowledgement without words.
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: Vec::new() }
    }
}

/// What to do with retained messages when a subscription is made (MQTT 5 section 3.8.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send them.
    #[default]
    Send = 0,
    /// Send them only if the subscription did not exist.
    SendIfNew = 1,
    /// Do not send them.
    Never = 2,
}

/// Options of one subscription; 3.1.1 knows only the quality of service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SubscribeOptions {
    /// Highest quality of service the client wants.
    pub qos: QoS,
    /// Do not send the client its own messages.
    pub no_local: bool,
    /// Keep the RETAIN flag of forwarded messages.
    pub retain_as_published: bool,
    /// See [`RetainHandling`].
    pub retain_handling: RetainHandling,
}

/// One entry of a SUBSCRIBE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Which topics.
    pub filter: TopicFilter,
    /// How.
    pub options: SubscribeOptions,
}

/// SUBSCRIBE (section 3.8); at least one filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// Answered by the SUBACK of the same id.
    pub packet_id: PacketId,
    /// In the order of the packet.
    pub filters: Vec<Filter>,
    /// MQTT 5 Subscription Identifier, 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// MQTT 5 user properties.
    pub user_properties: UserProperties,
}

/// SUBACK (section 3.9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubAck {
    /// The SUBSCRIBE this answers.
    pub packet_id: PacketId,
    /// One per filter. Towards 3.1.1 every failure is written as 0x80.
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5 Reason String.
    pub reason_string: Option<SmolStr>,
    /// MQTT 5 user properties.
    pub user_properties: UserProperties,
}

/// UNSUBSCRIBE (section 3.10); at least one filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsubscribe {
    /// Answered by the UNSUBACK of the same id.
    pub packet_id: PacketId,
    /// In the order of the packet.
    pub filters: Vec<TopicFilter>,
    /// MQTT 5 user properties.
    pub user_properties: UserProperties,
}

/// UNSUBACK (section 3.11).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsubAck {
    /// The UNSUBSCRIBE this answers.
    pub packet_id: PacketId,
    /// One per filter for MQTT 5; empty for 3.1.1.
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5 Reason String.
    pub reason_string: Option<SmolStr>,
    /// MQTT 5 user properties.
    pub user_properties: UserProperties,
}

/// DISCONNECT (section 3.14). From a 3.1.1 peer it always means a normal end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disconnect {
    /// Why.
    pub reason: ReasonCode,
    /// MQTT 5 Session Expiry Interval, seconds; only from clients.
    pub session_expiry_secs: Option<u32>,
    /// MQTT 5 Reason String.
    pub reason_string: Option<SmolStr>,
    /// MQTT 5 Server Reference; only from servers.
    pub server_reference: Option<SmolStr>,
    /// MQTT 5 user properties.
    pub user_properties: UserProperties,
}

impl Disconnect {
    /// A DISCONNECT without words.
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry_secs: None,
            reason_string: None,
            server_reference: None,
            user_properties: Vec::new(),
        }
    }
}

/// AUTH (MQTT 5 section 3.15).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Authentication Method.
    pub method: Option<SmolStr>,
    /// Authentication Data.
    pub data: Option<Bytes>,
    /// Reason String.
    pub reason_string: Option<SmolStr>,
    /// User properties.
    pub user_properties: UserProperties,
}
