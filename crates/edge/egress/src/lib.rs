//! The network of a sandboxed component (SEC-132, SEC-134, SEC-138, SEC-139): what it may reach, and how it gets there.
//!
//! The component lives in a network namespace of its own, in which every address of the world leads to the namespace itself.
//! The launcher makes listening sockets there, at the declared ports and as a resolver of names, and hands them to the core.
//! A declared name has an address of its own inside ([`Book`]), so that an accepted connection tells which host was meant; the
//! core looks at its [`Policy`](marram_reach::Policy) and connects from the host's network ([`Network`]). TLS stays end to end. What was used and
//! what was refused is counted ([`Ledger`]).
//!
//! Not here: making the namespace and its sockets (`marram-launch`); where policies are configured (`marram-nucleus`).

mod attempts;
mod book;
mod dns;
mod forward;
mod hello;
mod ledger;

pub use book::{Book, INSIDE};
pub use forward::{Local, LocalService, Network, Sockets};
pub use ledger::{Entry, Ledger, Outcome, Watcher};

/// Entry of the fuzz target: a message to the resolver, the first bytes of a connection, a report of the kernel.
pub fn fuzz(data: &[u8]) {
    if let Ok(question) = dns::question(data) {
        for answer in [dns::Answer::Address(INSIDE), dns::Answer::Nothing, dns::Answer::NoName, dns::Answer::Failure] {
            assert!(dns::reply(data, Some(&question), answer).len() <= dns::REPLY_MAX_BYTES);
        }
    }
    let _ = hello::server_name(data);
    for attempt in attempts::attempts(data) {
        let _ = attempt.to;
    }
}
