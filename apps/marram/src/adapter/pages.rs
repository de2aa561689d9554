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

impl StatusPages {
    /// The registry's text with the broker's counters (CP 10.3) before its end mark.
    fn metrics_text(&self) -> String {
        let mut text = self.metrics.encode();
        text.truncate(text.trim_end().trim_end_matches("# EOF").len());
        text.push_str("# HELP marram_mqtt_events MQTT events by the name of the original metric.\n");
        text.push_str("# TYPE marram_mqtt_events counter\n");
        for (event, count) in self.broker.metrics().snapshot() {
            text.push_str(&format!("marram_mqtt_events_total{{event=\"{event}\"}} {count}\n"));
        }
        text.push_str("# EOF\n");
        text
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
            "/metrics" => Some(Page::metrics(self.metrics_text())),
            _ => None,
        }
    }
}
