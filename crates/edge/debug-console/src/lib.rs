//! The local debug console of a core (core-runtime 7.3): a page behind TLS and a password that only the operator can ask for.
//!
//! [`Passwords`] makes and checks passwords; [`Console`] listens. It shows components and their states and changes nothing:
//! whoever commands the core has the command line.
//!
//! Not here: whether the console is deployed, and where it listens.

mod page;
mod passwords;
mod server;

pub use passwords::{LIFE_SECONDS, Passwords, USER};
pub use server::{Console, ConsoleError};
