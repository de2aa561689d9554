//! Log groups, log events and metrics that cores send (control-plane-api 9.3).
//!
//! * [`LogsService`] answers `logs`: groups, streams, events; reading, filtering, retention.
//! * [`MetricsService`] answers `cloudwatch`: data points are gathered by minute when they come.
//!
//! Not built: queries, subscriptions, metric filters, alarms, expressions in `GetMetricData`, structured filter patterns.

mod event;
mod filter;
mod group;
mod metric;
mod schema;
mod service;
mod stream;

pub use filter::fuzz_pattern;
pub use schema::MIGRATIONS;
pub use service::{LogsService, MetricsService};
