//! MQTT 3.1.1 and 5: strict packets and session machines, no I/O.
//!
//! * [`Packet`] is one type for both versions; [`decode`] and [`Packet::encode`] take the [`Version`].
//!   The decoder refuses everything the standards forbid (sections 1.5, 2 and 3 of both), so nothing
//!   behind it validates twice.
//! * [`Topic`], [`TopicFilter`] and [`ClientId`] can only be made by parsing.
//! * [`session`] holds what a connection remembers: packet ids, the window of unacknowledged
//!   messages, topic aliases, keep alive. Time comes in as an argument.
//!
//! Not here: sockets (`marram-mqtt-net`), routing and permissions (`marram-broker`).

mod codec;
pub mod filter;
pub mod packet;
pub mod property;
pub mod publish;
pub mod reason;
pub mod session;
pub mod topic;

pub use codec::decode::{decode, decode_frame};
pub use codec::encode::encode_puback;
pub use codec::error::{DecodeError, EncodeError};
pub use codec::frame::{FixedHeader, Frame, MAX_REMAINING_LENGTH, next_frame};
pub use filter::{SharedFilter, TopicFilter, matches};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Filter, Packet, PacketId, QoS, RetainHandling, SubAck, Subscribe,
    SubscribeOptions, UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{ConnAckProperties, ConnectProperties, PublishProperties, UserProperties};
pub use publish::{Publish, PublishHead, PublishView, encode_publish};
pub use reason::ReasonCode;
pub use topic::{ClientId, Topic, TopicError};
