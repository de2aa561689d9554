//! Adapters: how ports of the platform crates are answered by the services of this installation.

pub mod authority;
pub mod certificates;
pub mod desk;
pub mod flow_target;
pub mod language;
pub mod pages;
pub mod reserved;
