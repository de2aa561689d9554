//! Telemetry: one metric registry, one log set-up; printing for readers who may be gone.
//!
//! Metrics are made once at start through [`Metrics`] and kept as cheap handles; labels come from closed sets only.
//! Logs are sentence fragments with fields, on standard error. Neither ever holds a secret, a payload or a token.

mod log;
mod metrics;
#[doc(hidden)]
pub mod print;

pub use log::{LogError, LogFormat, init_log};
pub use metrics::{
    Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily, LabelSet, Labels, Metrics,
    OPENMETRICS_CONTENT_TYPE,
};
