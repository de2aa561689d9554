//! The message broker: sessions, routing, retained messages, authorization port.
//!
//! The way of a publish: `mqtt-net` accepts and hands a [`Transport`](marram_mqtt_net::Transport) to
//! [`Serve::serve`](marram_mqtt_net::Serve::serve) of the [`Broker`]; `connect` turns CONNECT into an attached session; `connection` polls it; `inbound` checks and
//! authorizes a PUBLISH with what it remembers of the topic; `deliver` retains it, records it for persistent sessions
//! and leaves it in the inboxes along its route; each receiver's `outbound` checks `iot:Receive` and writes it.
//!
//! No lock is shared between connections on that way, except a receiver's inbox for the length of one push.

pub mod authorize;
mod broker;
mod budget;
mod connect;
mod connection;
mod deliver;
mod inbound;
pub mod intercept;
mod lifecycle;
mod local;
pub mod message;
pub mod metrics;
pub mod options;
mod outbound;
mod pace;
mod rate;
mod retained;
mod routes;
mod session;
mod stall;
pub mod store;
mod sweep;
mod tenant;
mod topic_cache;
mod tree;

pub use authorize::{
    Authenticating, Authenticator, ConnectAttributes, Decision, Denied, FullAuthority, SessionAuthority, Tenant,
};
pub use broker::{Broker, Ports, Selector, SessionSummary};
pub use intercept::{Interception, Interceptor, Origin, Reply};
pub use lifecycle::DisconnectReason;
pub use local::{LocalClient, LocalError, LocalPublisher, Received};
pub use marram_mqtt_net::{Fingerprint, PeerInfo};
pub use message::Message;
pub use metrics::Metrics;
pub use options::{BrokerOptions, Quotas, Rate};
pub use store::{FileStore, SessionStore, StoreError, fuzz_session_log};
