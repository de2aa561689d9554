//! The launcher and the supervisor with real processes.

mod abuse;
mod host;
mod network;
mod processes;
