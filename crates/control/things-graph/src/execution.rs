//! Executions: their history, and starting and aborting them by hand (TG 6.9, 6.10, 11.1).

pub(crate) mod control;
pub(crate) mod read;
