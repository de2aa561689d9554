//! What the two ends of a connection remember, as plain data: no sockets, no clock.

pub mod alias;
pub mod client;
pub mod negotiate;
pub mod window;

pub use alias::{InboundAliases, OutboundAliases, Outgoing};
pub use client::{ClientEvent, ClientSession, SendError};
pub use negotiate::{Limits, Negotiated, Refusal, negotiate};
pub use window::Window;
