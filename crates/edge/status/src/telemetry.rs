//! Metrics of the system and of components, aggregated and sent rarely (CR 7.4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marram_edge_ports::{CloudMessages, CloudPublish, ComponentMetric, ComponentState, Components, Metrics, PortError};
use marram_types::SharedClock;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::message::CoreFacts;
use crate::sample::Sample;

/// Time between two looks at the system.
const LOOK: Duration = Duration::from_secs(60);
/// Shortest and default periods of CR 7.4.
const AGGREGATE_MIN: Duration = Duration::from_secs(3600);
const PUBLISH_MIN: Duration = Duration::from_secs(86_400);
/// Whose name the messages bear in the spool.
const OWNER: &str = "TelemetryAgent";
/// Distinct names kept between two aggregations; more are refused.
const NAMES_MAX: usize = 1000;
/// Aggregated points kept while offline.
const POINTS_MAX: usize = 24 * 7;
/// Longest metric name, bytes (CR 6.6).
const NAME_MAX: usize = 32;

/// `telemetry.*` of CR 7.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// `enabled`.
    pub enabled: bool,
    /// `periodicAggregateMetricsIntervalSeconds`; shorter than an hour counts as an hour.
    pub aggregate: Duration,
    /// `periodicPublishMetricsIntervalSeconds`; shorter than a day counts as a day.
    pub publish: Duration,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        TelemetrySettings { enabled: true, aggregate: AGGREGATE_MIN, publish: PUBLISH_MIN }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: f64,
    count: u32,
}

/// Namespace and name, and the unit.
type Key = (String, String, &'static str);

#[derive(Default)]
struct Gathered {
    sums: BTreeMap<Key, Sum>,
    points: Vec<Value>,
}

/// Gathers and sends metrics.
#[derive(Clone)]
pub struct Telemetry {
    gathered: Arc<Mutex<Gathered>>,
}

impl Telemetry {
    /// Starts gathering.
    pub fn start(
        components: Arc<dyn Components>,
        cloud: Arc<dyn CloudMessages>,
        facts: watch::Receiver<CoreFacts>,
        settings: watch::Receiver<TelemetrySettings>,
        clock: SharedClock,
    ) -> Self {
        let telemetry = Telemetry { gathered: Arc::default() };
        tokio::spawn(telemetry.clone().run(components, cloud, facts, settings, clock));
        telemetry
    }

    async fn run(
        self,
        components: Arc<dyn Components>,
        cloud: Arc<dyn CloudMessages>,
        facts: watch::Receiver<CoreFacts>,
        mut settings: watch::Receiver<TelemetrySettings>,
        clock: SharedClock,
    ) {
        let mut last = Sample::now();
        let (mut aggregated, mut published) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                changed = settings.changed() => if changed.is_err() { return },
            }
            let current = *settings.borrow_and_update();
            if !current.enabled {
                *self.lock() = Gathered::default();
                continue;
            }
            let sample = Sample::now();
            self.look(&sample, &last, &*components);
            last = sample;
            if aggregated.elapsed() >= current.aggregate.max(AGGREGATE_MIN) {
                aggregated = Instant::now();
                self.lock().aggregate(clock.now().as_millis());
            }
            if published.elapsed() >= current.publish.max(PUBLISH_MIN) {
                published = Instant::now();
                let thing = facts.borrow().thing.clone();
                self.publish(&*cloud, &thing).await;
            }
        }
    }

    fn look(&self, sample: &Sample, last: &Sample, components: &dyn Components) {
        let mut gathered = self.lock();
        let mut add =
            |namespace: &str, name: &str, unit, value| gathered.add((namespace.into(), name.into(), unit), value);
        if let Some(usage) = sample.cpu_usage(last) {
            add("SystemMetrics", "CpuUsage", "Percent", usage);
        }
        add("SystemMetrics", "TotalNumberOfFDs", "Count", sample.files);
        add("SystemMetrics", "SystemMemUsage", "Megabytes", sample.memory);
        let states = components.list();
        for (state, name) in [
            (ComponentState::Starting, "NumberOfComponentsStarting"),
            (ComponentState::Installed, "NumberOfComponentsInstalled"),
            (ComponentState::Stopping, "NumberOfComponentsStopping"),
            (ComponentState::Broken, "NumberOfComponentsBroken"),
            (ComponentState::Running, "NumberOfComponentsRunning"),
            (ComponentState::Errored, "NumberOfComponentsErrored"),
            (ComponentState::New, "NumberOfComponentsNew"),
            (ComponentState::Finished, "NumberOfComponentsFinished"),
        ] {
            let count = states.iter().filter(|details| details.state == state).count();
            add("GreengrassComponents", name, "Count", count as f64);
        }
    }

    async fn publish(&self, cloud: &dyn CloudMessages, thing: &str) {
        let points = self.lock().points.clone();
        if points.is_empty() {
            return;
        }
        let message = CloudPublish {
            topic: format!("$aws/things/{thing}/greengrass/health/json"),
            qos: 1,
            payload: json!({ "Schema": "2022-06-30", "ADP": points }).to_string().into_bytes().into(),
            ..CloudPublish::default()
        };
        match cloud.publish(OWNER, message).await {
            Ok(()) => drop(self.lock().points.drain(..points.len())),
            Err(error) => tracing::warn!(%error, "telemetry cannot be sent"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn add(&mut self, key: Key, value: f64) {
        let sum = self.sums.entry(key).or_default();
        sum.total += value;
        sum.count += 1;
    }

    fn aggregate(&mut self, now: i64) {
        let mut spaces: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for ((namespace, name, unit), sum) in std::mem::take(&mut self.sums) {
            let average = sum.total / f64::from(sum.count);
            spaces.entry(namespace).or_default().push(json!({ "N": name, "Average": average, "U": unit }));
        }
        self.points
            .extend(spaces.into_iter().map(|(namespace, metrics)| json!({ "TS": now, "NS": namespace, "M": metrics })));
        let excess = self.points.len().saturating_sub(POINTS_MAX);
        self.points.drain(..excess);
    }
}

/// Units of CR 6.6 and how the message names them.
const UNITS: &[(&str, &str)] = &[
    ("BYTES", "Bytes"),
    ("BYTES_PER_SECOND", "Bytes/Second"),
    ("COUNT", "Count"),
    ("COUNT_PER_SECOND", "Count/Second"),
    ("MEGABYTES", "Megabytes"),
    ("SECONDS", "Seconds"),
];

impl Metrics for Telemetry {
    fn put(&self, component: &str, metrics: Vec<ComponentMetric>) -> Result<(), PortError> {
        let mut keyed = Vec::with_capacity(metrics.len());
        for metric in metrics {
            let invalid = |what: &str| Err(PortError::InvalidArguments(format!("metric {}: {what}", metric.name)));
            if metric.name.is_empty() || metric.name.len() > NAME_MAX {
                return invalid("the name must have 1 to 32 bytes");
            }
            if !metric.value.is_finite() || metric.value < 0.0 {
                return invalid("the value must not be negative");
            }
            let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == metric.unit) else {
                return invalid("the unit is unknown");
            };
            keyed.push(((component.to_owned(), metric.name, *unit), metric.value));
        }
        let mut gathered = self.lock();
        // Values of known names cost nothing more: only names that are new count.
        let new: BTreeSet<&Key> =
            keyed.iter().map(|(key, _)| key).filter(|key| !gathered.sums.contains_key(*key)).collect();
        if !new.is_empty() && gathered.sums.len() + new.len() > NAMES_MAX {
            return Err(PortError::service("too many metrics since the last aggregation"));
        }
        keyed.into_iter().for_each(|(key, value)| gathered.add(key, value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(names: impl IntoIterator<Item = String>, unit: &str) -> Vec<ComponentMetric> {
        names.into_iter().map(|name| ComponentMetric { name, unit: unit.to_owned(), value: 2.0 }).collect()
    }

    /// CR 6.6, 7.4: only names that are new since the last aggregation count toward the limit, each once, and a call that is
    /// refused leaves nothing behind.
    #[test]
    fn only_new_names_count_toward_the_limit() {
        let telemetry = Telemetry { gathered: Arc::default() };
        let numbered = |range: std::ops::Range<usize>| range.map(|n| format!("m{n}"));
        let known = || telemetry.lock().sums.len();
        for _ in 0..3 {
            telemetry.put("aws.a", metrics(numbered(0..NAMES_MAX - 1), "COUNT")).unwrap();
        }
        let twice = metrics(["last".to_owned(), "last".to_owned()], "COUNT");
        telemetry.put("aws.a", twice).unwrap();
        assert_eq!(known(), NAMES_MAX);
        telemetry.put("aws.a", metrics(numbered(0..NAMES_MAX - 1), "COUNT")).unwrap();
        // Another unit, another component and another name are new, also beside known ones.
        for (component, metrics) in [
            ("aws.a", metrics(["m0".to_owned()], "BYTES")),
            ("aws.b", metrics(["m0".to_owned()], "COUNT")),
            ("aws.a", metrics(["m0".to_owned(), "m-new".to_owned()], "COUNT")),
        ] {
            assert!(matches!(telemetry.put(component, metrics), Err(PortError::Service { .. })), "{component}");
        }
        assert_eq!(known(), NAMES_MAX);
        let counted = telemetry.lock().sums[&("aws.a".to_owned(), "m0".to_owned(), "Count")].count;
        assert_eq!(counted, 4, "a refused call counts nothing");
        telemetry.lock().aggregate(0);
        telemetry.put("aws.b", metrics(["m0".to_owned()], "COUNT")).unwrap();
    }
}
