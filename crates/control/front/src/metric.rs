//! What the door counts: calls by service and outcome, and how long they took.

use std::collections::HashMap;
use std::fmt;

use marram_aws_api::{ApiError, ServiceId};
use marram_obs::{Counter, Histogram, Metrics};
use serde_json::Value;

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Ok,
    Refused,
    Denied,
    Throttled,
    Failed,
    Unauthenticated,
}

impl Outcome {
    const ALL: [Outcome; 6] =
        [Outcome::Ok, Outcome::Refused, Outcome::Denied, Outcome::Throttled, Outcome::Failed, Outcome::Unauthenticated];

    fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Refused => "refused",
            Outcome::Denied => "denied",
            Outcome::Throttled => "throttled",
            Outcome::Failed => "failed",
            Outcome::Unauthenticated => "unauthenticated",
        }
    }

    /// The outcome of a streamed answer, by its status.
    pub(crate) fn of_status(status: u16, authenticated: bool) -> Outcome {
        match status {
            _ if !authenticated => Outcome::Unauthenticated,
            500.. => Outcome::Failed,
            403 => Outcome::Denied,
            400.. => Outcome::Refused,
            _ => Outcome::Ok,
        }
    }

    pub(crate) fn of(result: &Result<Value, ApiError>) -> Outcome {
        match result {
            Ok(_) => Outcome::Ok,
            Err(error) if error.status >= 500 => Outcome::Failed,
            Err(error) => match error.code.as_ref() {
                "AccessDeniedException" | "AccessDenied" => Outcome::Denied,
                "ThrottlingException" => Outcome::Throttled,
                _ => Outcome::Refused,
            },
        }
    }
}

/// Counters of the front door. The default counts for nobody.
#[derive(Clone, Default)]
pub struct FrontMetrics {
    /// Handles are made once: nothing is looked up by label on the way.
    calls: HashMap<(ServiceId, Outcome), Counter>,
    seconds: HashMap<ServiceId, Histogram>,
}

impl fmt::Debug for FrontMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrontMetrics")
    }
}

impl FrontMetrics {
    /// `marram_api_calls_total{service, outcome}` and `marram_api_call_seconds{service}` in `metrics`.
    pub fn new(metrics: &Metrics) -> FrontMetrics {
        let calls = metrics.counters("api_calls", "API calls by service and outcome");
        let seconds = metrics.seconds_by("api_call_seconds", "Time from the whole request to its answer");
        let mut own = FrontMetrics::default();
        for service in ServiceId::ALL {
            for outcome in Outcome::ALL {
                let labels = vec![("service", service.as_str()), ("outcome", outcome.as_str())];
                own.calls.insert((service, outcome), calls.get_or_create(&labels).clone());
            }
            own.seconds.insert(service, seconds.get_or_create(&vec![("service", service.as_str())]).clone());
        }
        own
    }

    pub(crate) fn count(&self, service: ServiceId, outcome: Outcome) {
        if let Some(counter) = self.calls.get(&(service, outcome)) {
            counter.inc();
        }
    }

    pub(crate) fn took(&self, service: ServiceId, seconds: f64) {
        if let Some(histogram) = self.seconds.get(&service) {
            histogram.observe(seconds);
        }
    }
}
