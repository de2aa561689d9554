//! MQTT over sockets: listener and client drivers.

mod peer;

pub use peer::{Fingerprint, PeerInfo};
