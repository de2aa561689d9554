//! The local debug console of a core (core-runtime 7.3): a page behind TLS and passwords that only the operator can ask for.
//!
//! A [`Console`] listens on loopback for as long as one of its passwords is good and it is held; then the listener, every
//! connection and the passwords are gone. It shows components and their states and changes nothing: whoever commands the core
//! has the command line. No process of the machine keeps the operator out by connections of its own (`room`).
//!
//! Not here: whether the console is deployed, and where it listens.

mod attempts;
mod page;
mod passwords;
mod peers;
mod room;
mod server;

pub use passwords::{LIFE, USER};
pub use server::{Console, ConsoleError, NewPassword};
