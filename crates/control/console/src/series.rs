//! `series`: how the installation has been doing, one point every five seconds, for a day, in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use marram_aws_api::ApiError;
use marram_broker::Broker;
use marram_flow::EventType;
use marram_flow_runtime::HistoryBatch;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::request::Asked;

/// Seconds between two points.
const STEP: Duration = Duration::from_secs(5);
/// Points kept: a day.
const POINTS: usize = 24 * 3600 / 5;
/// What one must be allowed to do: the numbers are the installation's, not the account's.
const ACTION: &str = "cloudwatch:GetMetricData";
/// Most series of one request.
const MAX_NAMES: usize = 32;

/// The series, in the order of a point's values. Messages, calls, executions and failures are per second.
const NAMES: [&str; 9] = [
    "messages_in",
    "messages_out",
    "connections",
    "api_calls",
    "api_errors",
    "api_p50_ms",
    "memory_mb",
    "executions",
    "failures",
];

/// The points, oldest first: epoch seconds and a value a series.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    points: Mutex<VecDeque<(f64, [f32; NAMES.len()])>>,
}

/// Counts that only grow, at one moment.
#[derive(Clone, Debug, Default)]
struct Totals {
    messages_in: f64,
    messages_out: f64,
    calls: f64,
    errors: f64,
    /// Calls at most as slow as each bound, in seconds; bounds rise.
    buckets: Vec<(f64, f64)>,
    executions: f64,
    failures: f64,
}

impl Console {
    /// Points of the named series since a moment.
    pub(crate) fn series(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let context = self.context(asked, person)?;
        // The installation belongs to the account it began with.
        if context.account != self.inner.options.home || !context.may(ACTION, "*", |_| {}) {
            return Err(ApiError::not_authorized(&person.principal.arn, ACTION, "*", false));
        }
        let Some(Value::Array(names)) = members.get("names").filter(|names| names.is_array()) else {
            return Err(fault::invalid("names", "names must be a list."));
        };
        if names.len() > MAX_NAMES {
            return Err(fault::invalid("names", format!("At most {MAX_NAMES} series at a time.")));
        }
        let since = members.get("since").and_then(Value::as_f64).unwrap_or(0.0);
        let points = self.inner.ring.points.lock().unwrap_or_else(PoisonError::into_inner);
        let series = names.iter().filter_map(|name| {
            let index = NAMES.iter().position(|known| Some(*known) == name.as_str())?;
            let wanted = points.iter().filter(|(at, _)| *at >= since);
            let points: Vec<Value> = wanted.map(|(at, values)| json!([at, rounded(values[index])])).collect();
            Some(json!({"name": name, "points": points}))
        });
        Ok(json!({"series": series.collect::<Vec<_>>()}))
    }

    /// Takes a sample every five seconds; never ends.
    pub(crate) async fn sample(&self) {
        let options = &self.inner.options;
        let mut history = options.history.watch();
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut executions, mut failures) = (0.0, 0.0);
        let mut last: Option<(f64, Totals)> = None;
        loop {
            tokio::select! {
                batch = history.recv() => match batch {
                    Ok(batch) => count(&batch, &mut executions, &mut failures),
                    // What was missed is missing in the picture; nothing else depends on it.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                _ = ticks.tick() => {
                    let at = self.now().epoch_seconds();
                    let totals = Totals { executions, failures, ..Totals::read(&options.metrics.encode(), &options.broker) };
                    if let Some((before, earlier)) = &last
                        && at > *before
                    {
                        let connections = options.broker.connected() as f64;
                        self.inner.ring.push(at, totals.since(earlier, at - before, connections));
                    }
                    last = Some((at, totals));
                }
            }
        }
    }
}

impl Ring {
    fn push(&self, at: f64, values: [f64; NAMES.len()]) {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        if points.len() >= POINTS {
            points.pop_front();
        }
        points.push_back((at, values.map(|value| value as f32)));
    }
}

impl Totals {
    /// Reads what the registry and the broker count.
    fn read(text: &str, broker: &Broker) -> Totals {
        let mut totals = Totals {
            messages_in: broker.metrics().publish_in_success.get() as f64,
            messages_out: broker.metrics().publish_out_success.get() as f64,
            ..Totals::default()
        };
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            if name.starts_with("marram_api_calls_total{") {
                totals.calls += value;
                if name.contains("outcome=\"failed\"") {
                    totals.errors += value;
                }
            } else if let Some(labels) = name.strip_prefix("marram_api_call_seconds_bucket{") {
                let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
                let bound =
                    bound.and_then(|bound| if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() });
                let Some(bound) = bound else { continue };
                match totals.buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += value,
                    None => totals.buckets.push((bound, value)),
                }
            }
        }
        totals.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        totals
    }

    /// A point: what was added to `earlier` in `seconds`, as rates.
    fn since(&self, earlier: &Totals, seconds: f64, connections: f64) -> [f64; NAMES.len()] {
        let rate = |now: f64, then: f64| (now - then).max(0.0) / seconds;
        [
            rate(self.messages_in, earlier.messages_in),
            rate(self.messages_out, earlier.messages_out),
            connections,
            rate(self.calls, earlier.calls),
            rate(self.errors, earlier.errors),
            self.median_ms(earlier),
            memory_mb(),
            rate(self.executions, earlier.executions),
            rate(self.failures, earlier.failures),
        ]
    }

    /// The median of the calls since `earlier`, in milliseconds, between the bounds of its bucket; 0 without calls.
    fn median_ms(&self, earlier: &Totals) -> f64 {
        let before =
            |bound: f64| earlier.buckets.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
        let added: Vec<(f64, f64)> =
            self.buckets.iter().map(|(bound, count)| (*bound, count - before(*bound))).collect();
        let half = added.last().map_or(0.0, |(_, all)| all / 2.0);
        if half <= 0.0 {
            return 0.0;
        }
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in added {
            if count >= half {
                let high = if bound.is_finite() { bound } else { low };
                let share = if count > below { (half - below) / (count - below) } else { 1.0 };
                return (low + (high - low) * share) * 1000.0;
            }
            (low, below) = (bound, count);
        }
        low * 1000.0
    }
}

fn count(batch: &HistoryBatch, executions: &mut f64, failures: &mut f64) {
    for message in &batch.messages {
        match message.event_type {
            EventType::ExecutionStarted => *executions += 1.0,
            EventType::ExecutionFailed => *failures += 1.0,
            _ => {}
        }
    }
}

/// Memory of this process that is in RAM; 0 where the system does not tell.
fn memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
    kib.map_or(0.0, |kib| kib / 1024.0)
}

fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 10.3: rates come from what was added; the median lies between the bounds of its bucket; the ring forgets the oldest.
    #[test]
    fn points_are_made_of_differences() {
        let totals = |calls: f64, fast: f64, slow: f64| Totals {
            calls,
            buckets: vec![(0.001, fast), (0.01, fast + slow), (f64::INFINITY, fast + slow)],
            ..Totals::default()
        };
        let (before, now) = (totals(10.0, 10.0, 0.0), totals(30.0, 10.0, 20.0));
        let point = now.since(&before, 5.0, 3.0);
        assert_eq!((point[2], point[3]), (3.0, 4.0));
        assert!((5.4..5.6).contains(&point[5]), "{point:?}");
        assert!(point[6] > 1.0, "this process uses memory");
        assert_eq!(before.median_ms(&before), 0.0);
        let ring = Ring::default();
        for at in 0..POINTS + 10 {
            ring.push(at as f64, point);
        }
        let points = ring.points.lock().unwrap();
        assert_eq!((points.len(), points[0].0), (POINTS, 10.0));
    }
}
