//! Why bytes are not a packet, and why a packet cannot become bytes.

use crate::reason::ReasonCode;
use crate::topic::TopicError;

/// Why a packet was refused. Every case ends the connection (MQTT 4.8 of 3.1.1, 4.13 of 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not follow the packet's layout; the text says which rule.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// Well-formed, but not allowed to be said; the text says which rule.
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// The fixed header announces more than the receiver's maximum.
    #[error("packet of {announced} bytes is larger than {maximum}")]
    TooLarge {
        /// Bytes of the whole packet.
        announced: usize,
        /// The receiver's limit.
        maximum: usize,
    },
    /// A CONNECT for another protocol or level.
    #[error("protocol name or level {0} is not MQTT 3.1.1 or 5")]
    UnsupportedVersion(u8),
    /// A topic name that is none.
    #[error("topic name {0}")]
    TopicName(TopicError),
    /// A topic filter that is none.
    #[error("topic filter {0}")]
    TopicFilter(TopicError),
    /// Topic alias 0.
    #[error("topic alias 0")]
    TopicAlias,
}

impl DecodeError {
    /// The MQTT 5 reason that tells the peer.
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::MALFORMED_PACKET,
            Self::Protocol(_) => ReasonCode::PROTOCOL_ERROR,
            Self::TooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            Self::UnsupportedVersion(_) => ReasonCode::UNSUPPORTED_VERSION,
            Self::TopicName(_) => ReasonCode::TOPIC_NAME_INVALID,
            Self::TopicFilter(_) => ReasonCode::TOPIC_FILTER_INVALID,
            Self::TopicAlias => ReasonCode::TOPIC_ALIAS_INVALID,
        }
    }
}

/// Why a packet cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Text or binary data with a two-byte length.
    #[error("a field is longer than 65535 bytes")]
    FieldTooLong,
    /// The remaining length has four bytes of seven bits.
    #[error("the packet is longer than 268435455 bytes")]
    PacketTooLong,
}
