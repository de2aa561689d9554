//! MQTT over sockets: listener and client drivers.
//!
//! * [`Transport`] is a byte stream without buffers of its own; TCP and any tokio stream are transports.
//! * [`listen_tls`] accepts connections and hands them to whatever [`Serve`]s: the broker.
//! * [`Client`] is the other side.
//! * [`PeerInfo`] is what socket and TLS know about the other end.

mod client;
mod listen;
mod peer;
mod transport;

pub use client::{Client, ClientError, ClientOptions};
pub use listen::{Serve, listen_plain, listen_tls, serve_stream};
pub use peer::{Fingerprint, PeerInfo};
pub use transport::{Io, ReadBuffer, Transport};
