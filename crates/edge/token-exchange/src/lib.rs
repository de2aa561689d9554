//! Credentials for components: the container credentials endpoint and its upstream.
//!
//! [`Upstream`] asks the credentials provider with the device's certificate, one request at a time, and keeps the answer
//! ([CR 8.2]). [`Server`] hands credentials to components over the HTTP contract that AWS SDKs know ([CR 8.1]).

mod peer;
mod server;
mod upstream;

pub use server::{Inside, Permission, Server};
pub use upstream::{Believed, SessionPolicies, Upstream, UpstreamSettings};
