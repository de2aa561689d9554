//! The IPC door of a core: authentication, authorization, all operations, local publish/subscribe (CR 6).
//!
//! The way of a request: `server` accepts; `connection` reads frames and writes answers, once per readiness event;
//! `operation` holds one handler per operation, which asks `authorize` and then a port; `topics` routes local messages
//! into the bounded queues of `subscription`s, which their connections drain.
//!
//! Not here: who holds a token ([`marram_edge_ports::Identities`]), what a component is, where configuration lies.

mod audit;
mod authorize;
mod connection;
mod fuzz;
mod operation;
mod operators;
mod pattern;
mod server;
mod share;
mod socket;
mod subscription;
mod topics;

pub use authorize::{PolicyProblem, check_access_control};
pub use fuzz::{fuzz_pattern, fuzz_request};
pub use operation::Operation;
pub use operators::{OperatorError, Operators, Principal};
pub use server::{Counters, Handle, Options, Ports, Server};
pub use socket::{Socket, SocketError, SocketOptions, component_path};
