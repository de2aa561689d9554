//! The service `iot` over a real store: every operation, each success and each refusal it models.

mod bench;
mod certificates;
mod groups;
mod policies;
mod things;
mod types_and_tags;
