//! TLS: the one crate that names rustls.
//!
//! * [`Acceptor`] reads the ClientHello, chooses a [`Plane`] by listener, ALPN and server name
//!   (CP 1.8, 5.1), finishes the handshake within its limits and hands over the stream with a
//!   [`PeerInfo`]. The API plane asks for no client certificate; the device planes insist on one.
//! * [`ServerCertificate`] is swapped while connections live (SEC-35).
//! * [`Connector`] is the client side: pinned roots, optional client certificate, ALPN. Its key may be in a hardware token
//!   ([`RemoteKey`]).
//! * [`Fault`] tells whose certificate a failed connection blames.
//! * [`HandshakeLimits`] bound what a stranger costs (SEC 12.2).
//!
//! TLS 1.2 and 1.3 with the nine suites of SEC-23 and nothing else; aws-lc-rs is named explicitly
//! in every configuration. No tickets, no session store, no early data: each connection proves its
//! key, and an idle one keeps no resumption state.
//!
//! Whose certificate it is, is not decided here: see the module `verifier` for what the handshake proves.

mod accept;
mod client;
mod error;
mod fault;
mod lean;
mod limit;
mod peer;
mod provider;
mod remote;
mod server;
mod verifier;

pub use accept::{Accepted, Acceptor, AcceptorOptions, LeanAccepted, ServerStream};
pub use client::{ClientIdentity, ClientOptions, ClientStream, Connector, public_key_of};
pub use error::{AcceptError, TlsError};
pub use fault::Fault;
pub use lean::LeanStream;
pub use limit::{HandshakeGate, HandshakeLimits, UnauthenticatedPermit};
pub use peer::{ClientCertificate, PeerInfo};
pub use remote::{RemoteIdentity, RemoteKey, SignatureScheme};
pub use server::{Listener, Plane, ServerCertificate};

/// ALPN of MQTT with a client certificate on a shared port.
pub const ALPN_MQTT_CA: &[u8] = b"x-amzn-mqtt-ca";
/// ALPN of HTTPS with a client certificate on a shared port.
pub const ALPN_HTTP_CA: &[u8] = b"x-amzn-http-ca";
/// ALPN of plain MQTT over TLS.
pub const ALPN_MQTT: &[u8] = b"mqtt";
/// ALPN of HTTP/1.1.
pub const ALPN_HTTP11: &[u8] = b"http/1.1";
