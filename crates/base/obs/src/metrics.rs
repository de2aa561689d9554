//! The metric registry: names begin with `marram_`, counters end in `_total`, times are `_seconds`.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge;
use prometheus_client::metrics::histogram;
use prometheus_client::registry::Registry;

/// Content type of [`Metrics::encode`].
pub const OPENMETRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of time histograms, in seconds: 50 us to 10 s.
const SECONDS_BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Only rises.
pub type Counter = prometheus_client::metrics::counter::Counter;
/// Rises and falls.
pub type Gauge = gauge::Gauge;
/// Spread of times, in seconds.
pub type Histogram = histogram::Histogram;
/// Label names and values of one metric of a family; both from closed sets.
pub type Labels = Vec<(&'static str, &'static str)>;
/// A counter per label set.
pub type CounterFamily = Family<Labels, Counter>;
/// A gauge per label set.
pub type GaugeFamily = Family<Labels, Gauge>;
/// A histogram per label set.
pub type HistogramFamily = Family<Labels, Histogram, fn() -> Histogram>;

/// Derive this for a struct to use it as the labels of a family of one's own.
pub use prometheus_client::encoding::EncodeLabelSet as LabelSet;

/// All metrics of the process; a cheap clone. Names are given without the `marram_` prefix.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::with_prefix("marram"))) }
    }
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// `counter("mqtt_published", ..)` becomes `marram_mqtt_published_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// A histogram of seconds, 50 us to 10 s; the name ends in `_seconds`.
    pub fn seconds(&self, name: &str, help: &str) -> Histogram {
        self.register(name, help, seconds_histogram())
    }

    /// A counter per label set: `family.get_or_create(&vec![("result", "ok")]).inc()`. Keep the handle on hot paths.
    pub fn counters(&self, name: &str, help: &str) -> CounterFamily {
        self.register(name, help, CounterFamily::default())
    }

    /// A gauge per label set.
    pub fn gauges(&self, name: &str, help: &str) -> GaugeFamily {
        self.register(name, help, GaugeFamily::default())
    }

    /// A histogram of seconds per label set.
    pub fn seconds_by(&self, name: &str, help: &str) -> HistogramFamily {
        self.register(name, help, HistogramFamily::new_with_constructor(seconds_histogram))
    }

    /// Registers a metric made elsewhere; answers it.
    pub fn register<M>(&self, name: &str, help: &str, metric: M) -> M
    where
        M: prometheus_client::registry::Metric + Clone,
    {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric.clone());
        metric
    }

    /// Everything in the OpenMetrics text format, for `GET /metrics`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a String does not fail");
        text
    }
}

fn seconds_histogram() -> Histogram {
    Histogram::new(SECONDS_BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 10.3: one text with every metric, whoever holds its handle.
    #[test]
    fn metrics_are_encoded_with_prefix_and_labels() {
        let metrics = Metrics::new();
        metrics.counter("mqtt_published", "Messages accepted").inc_by(3);
        metrics.clone().gauge("mqtt_connections", "Open connections").set(7);
        metrics.counters("api_calls", "Calls").get_or_create(&vec![("result", "denied")]).inc();
        metrics.seconds("api_call_seconds", "Time").observe(0.002);
        let text = metrics.encode();
        for line in [
            "marram_mqtt_published_total 3",
            "marram_mqtt_connections 7",
            r#"marram_api_calls_total{result="denied"} 1"#,
            r#"marram_api_call_seconds_bucket{le="0.0025"} 1"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
    }
}
