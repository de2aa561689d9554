//! The message broker: sessions, routing, retained messages, authorization port.

pub mod authorize;
pub mod intercept;
pub mod message;

pub use authorize::{
    Authenticating, Authenticator, ConnectAttributes, Decision, Denied, FullAuthority,
    SessionAuthority, Tenant,
};
pub use intercept::{Interception, Interceptor, Origin, Reply};
pub use marram_mqtt_net::{Fingerprint, PeerInfo};
pub use message::Message;
