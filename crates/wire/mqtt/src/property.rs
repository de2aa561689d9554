//! Properties of MQTT 5 packets (section 2.2.2), grouped by the packet they belong to.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use smol_str::SmolStr;

use crate::packet::QoS;

/// User properties in the order of the packet; names may repeat.
pub type UserProperties = Vec<(SmolStr, SmolStr)>;

/// Properties of a CONNECT (section 3.1.2.11).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnectProperties {
    /// Seconds the session outlives the connection; 0xFFFFFFFF means for ever. Absent counts as 0.
    pub session_expiry_secs: Option<u32>,
    /// QoS 1 and 2 messages the sender is willing to have unacknowledged; absent counts as 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// Bytes of the largest packet the sender accepts.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Highest topic alias the sender accepts.
    pub topic_alias_maximum: u16,
    /// The client would like a Response Information.
    pub request_response_information: bool,
    /// The client wants reason strings and user properties on failures; absent counts as yes.
    pub request_problem_information: Option<bool>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Name of the extended authentication method.
    pub authentication_method: Option<SmolStr>,
    /// Data for the method.
    pub authentication_data: Option<Bytes>,
}

/// Properties of a CONNACK (section 3.2.2.3).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnAckProperties {
    /// Expiry the server uses instead of the client's, seconds.
    pub session_expiry_secs: Option<u32>,
    /// QoS 1 and 2 messages the server is willing to have unacknowledged.
    pub receive_maximum: Option<NonZeroU16>,
    /// Highest quality of service the server supports; absent means 2.
    pub maximum_qos: Option<QoS>,
    /// Whether retained messages are supported; absent means yes.
    pub retain_available: Option<bool>,
    /// Bytes of the largest packet the server accepts.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Client id the server chose.
    pub assigned_client_id: Option<SmolStr>,
    /// Highest topic alias the server accepts.
    pub topic_alias_maximum: Option<u16>,
    /// Human-readable reason.
    pub reason_string: Option<SmolStr>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Whether filters with wildcards are supported; absent means yes.
    pub wildcard_available: Option<bool>,
    /// Whether subscription identifiers are supported; absent means yes.
    pub subscription_ids_available: Option<bool>,
    /// Whether shared subscriptions are supported; absent means yes.
    pub shared_available: Option<bool>,
    /// Keep alive the client has to use, seconds.
    pub server_keep_alive_secs: Option<u16>,
    /// Basis for response topics.
    pub response_information: Option<SmolStr>,
    /// Another server to use.
    pub server_reference: Option<SmolStr>,
    /// Name of the extended authentication method.
    pub authentication_method: Option<SmolStr>,
    /// Data for the method.
    pub authentication_data: Option<Bytes>,
}

/// Properties of a PUBLISH or a will (sections 3.3.2.3 and 3.1.3.2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PublishProperties {
    /// Payload Format Indicator: `Some(true)` promises UTF-8.
    pub payload_is_utf8: Option<bool>,
    /// Seconds the message is worth delivering.
    pub message_expiry_secs: Option<u32>,
    /// Number that stands for the topic on this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// Where an answer should go; never holds wildcards.
    pub response_topic: Option<SmolStr>,
    /// Returned with the answer.
    pub correlation_data: Option<Bytes>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Identifiers of the subscriptions that caused the delivery; only from servers.
    pub subscription_ids: Vec<u32>,
    /// What the payload is.
    pub content_type: Option<SmolStr>,
}

impl PublishProperties {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
