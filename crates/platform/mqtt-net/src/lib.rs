//! MQTT over sockets: listener and client drivers.
//!
//! * [`Transport`] is a byte stream without buffers of its own; TCP and any tokio stream are transports.
//! * [`PeerInfo`] is what socket and TLS know about the other end.

mod peer;
mod transport;

pub use peer::{Fingerprint, PeerInfo};
pub use transport::{Io, ReadBuffer, Transport};
