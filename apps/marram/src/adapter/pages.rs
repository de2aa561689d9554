//! Unsigned pages of the API port: `/healthz` and `/metrics`.

use marram_audit::Audit;
use marram_broker::Broker;
use marram_front::{Page, Pages};
use marram_obs::Metrics;
use marram_store::Store;
use serde_json::json;

/// Health and metrics of this installation; nothing of any account.
pub struct StatusPages {
    metrics: Metrics,
    broker: Broker,
    store: Store,
    audit: Audit,
}

impl StatusPages {
    /// Pages that show these.
    pub fn new(metrics: Metrics, broker: Broker, store: Store, audit: Audit) -> StatusPages {
        StatusPages { metrics, broker, store, audit }
    }

    /// 503 while nothing can be stored or recorded: a balancer should send calls elsewhere.
    fn health(&self) -> Page {
        let is_recording = !matches!(self.audit.room_now(), Some(Err(_)));
        let is_storing = !self.store.is_failing();
        let ok = is_recording && is_storing;
        Page::json(
            if ok { 200 } else { 503 },
            &json!({
                "status": if ok { "ok" } else { "failing" },
                "version": env!("CARGO_PKG_VERSION"),
                "store": if is_storing { "ok" } else { "cannot be written" },
                "audit": if is_recording { "ok" } else { "cannot be written" },
                "mqtt_connections": self.broker.connected(),
            }),
        )
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
            "/healthz" => Some(self.health()),
            "/metrics" => Some(Page::metrics(self.metrics_text())),
            _ => None,
        }
    }
}
