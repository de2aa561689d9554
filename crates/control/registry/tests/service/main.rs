//! The service `iot` over a real store: every operation, each success and each refusal it models; and the device authority
//! on top of it.

mod authority;
mod bench;
mod certificates;
mod data;
mod groups;
mod isolation;
mod live;
mod policies;
mod things;
mod types_and_tags;
