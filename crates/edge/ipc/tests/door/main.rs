//! The door with a core in memory behind it, through its socket only.

mod client;
mod operations;
mod protocol;
mod streams;
