//! MQTT 3.1.1 and 5: strict packets and session machines, no I/O.
//!
//! * [`Packet`] is one type for both versions.
//! * [`Topic`], [`TopicFilter`] and [`ClientId`] can only be made by parsing.

pub mod filter;
pub mod packet;
pub mod property;
pub mod publish;
pub mod reason;
pub mod topic;

pub use filter::{SharedFilter, TopicFilter, matches};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Filter, Packet, PacketId, QoS, RetainHandling, SubAck,
    Subscribe, SubscribeOptions, UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{ConnAckProperties, ConnectProperties, PublishProperties, UserProperties};
pub use publish::Publish;
pub use reason::ReasonCode;
pub use topic::{ClientId, Topic, TopicError};
