//! Unsigned pages of the API port: `/healthz` and `/metrics`.

use marram_broker::Broker;
use marram_front::{Page, Pages};
use marram_obs::Metrics;
use serde_json::json;

/// Health and metrics of this installation; nothing of any account.
pub struct StatusPages {
    metrics: Metrics,
    broker: Broker,
}

impl StatusPages {
    /// Pages that show these.
    pub fn new(metrics: Metrics, broker: Broker) -> StatusPages {
        StatusPages { metrics, broker }
    }
}

impl Pages for StatusPages {
    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/healthz" => Some(Page::json(
                200,
                &json!({
                    "status": "ok",
                    "version": env!("CARGO_PKG_VERSION"),
                    "mqtt_connections": self.broker.connected(),
                }),
            )),
            "/metrics" => Some(Page::metrics(self.metrics.encode())),
            _ => None,
        }
    }
}
