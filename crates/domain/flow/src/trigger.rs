//! When a deployment's triggers fire (TG 3.14): events and the clock, as pure functions.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::{SignedDuration, Span, Timestamp, ToSpan, tz::TimeZone};
use marram_expr::{Object, Occurrence, Scope, Value};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::execution::Time;
use crate::fault::Fault;
use crate::snapshot::{ClockUnit, Condition, Snapshot, StartFlow};
use crate::{exchange, scope};

/// An event some trigger refers to: where it arrives and what was seen last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchedEvent {
    /// Role in the system.
    pub role: SmolStr,
    /// Event of the role's capability.
    pub event: SmolStr,
    /// Thing bound to the role.
    pub thing: SmolStr,
    /// Topic filter the event arrives on.
    pub filter: SmolStr,
    /// The last occurrence; null before the first.
    pub last: Value,
}

/// The events a deployment listens to, and their last occurrences. Serialises into journal checkpoints.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// One per (role, event) pair, in order of first mention.
    pub events: Vec<WatchedEvent>,
}

/// An execution a trigger wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Index of the trigger.
    pub trigger: usize,
    /// Index of the flow in [`Snapshot::flows`].
    pub flow: usize,
    /// Parameters by position.
    pub params: Vec<Value>,
}

/// What came of an occurrence or a clock tick.
#[derive(Debug, Default)]
pub struct Fired {
    /// Executions to start, in order.
    pub firings: Vec<Firing>,
    /// Expressions that failed, for the log: they count as false (TG 3.14).
    pub errors: Vec<(SmolStr, Fault)>,
}

impl Watch {
    /// The events the triggers of `snapshot` refer to.
    ///
    /// # Errors
    /// A role, event or topic that the snapshot does not resolve.
    pub fn new(snapshot: &Snapshot) -> Result<Self, Fault> {
        let mut watch = Self::default();
        for trigger in &snapshot.triggers {
            let Condition::Event { events, .. } = &trigger.condition else { continue };
            for (role, event) in events {
                if watch.find(role, event).is_some() {
                    continue;
                }
                let (thing, source) = snapshot.event(role, event).ok_or_else(|| {
                    Fault::new(crate::fault::DEVICE_NOT_BOUND, format!("no event `{event}` in role `{role}`"))
                })?;
                watch.events.push(WatchedEvent {
                    role: role.clone(),
                    event: source.name.clone(),
                    thing: thing.clone(),
                    filter: exchange::event_filter(&source.topic, &snapshot.site, thing)?,
                    last: Value::Null,
                });
            }
        }
        Ok(watch)
    }

    fn find(&self, role: &str, event: &str) -> Option<usize> {
        self.events
            .iter()
            .position(|entry| entry.role.eq_ignore_ascii_case(role) && entry.event.eq_ignore_ascii_case(event))
    }

    /// Takes a message for the watched event `index` and evaluates every trigger that refers to it, once, in order.
    ///
    /// # Errors
    /// `TG.PayloadInvalid`: the message is no occurrence, nothing changed.
    pub fn occur(&mut self, snapshot: &Snapshot, index: usize, payload: &[u8], now: Time) -> Result<Fired, Fault> {
        let entry = &self.events[index];
        let source = snapshot.event(&entry.role, &entry.event).map(|(_, source)| source);
        let payload = match source.and_then(|source| source.payload.as_ref()) {
            Some(property) => exchange::payload(payload, property)?,
            None => Value::Null,
        };
        let (event, thing) = (entry.event.clone(), entry.thing.clone());
        self.events[index].last = Value::Occurrence(Arc::new(Occurrence { event, thing, time_ms: now.0, payload }));
        let mut fired = Fired::default();
        for (position, trigger) in snapshot.triggers.iter().enumerate() {
            let Condition::Event { expr, events } = &trigger.condition else { continue };
            if !events.iter().any(|(role, event)| self.find(role, event) == Some(index)) {
                continue;
            }
            match scope::test(expr, &TriggerScope { snapshot, watch: self, now }) {
                Ok(true) => self.start(snapshot, position, &trigger.actions, now, &mut fired),
                Ok(false) => {}
                Err(fault) => fired.errors.push((trigger.name.clone(), fault)),
            }
        }
        Ok(fired)
    }

    /// Runs the actions of a clock trigger.
    pub fn tick(&self, snapshot: &Snapshot, trigger: usize, now: Time) -> Fired {
        let mut fired = Fired::default();
        self.start(snapshot, trigger, &snapshot.triggers[trigger].actions, now, &mut fired);
        fired
    }

    /// Each action is evaluated independently: a failing one does not stop the next.
    fn start(&self, snapshot: &Snapshot, trigger: usize, actions: &[StartFlow], now: Time, fired: &mut Fired) {
        let scope = TriggerScope { snapshot, watch: self, now };
        for action in actions {
            let Some(flow) = snapshot.flow(&action.role) else { continue };
            match action.arguments.iter().map(|argument| scope::eval(argument, &scope)).collect() {
                Ok(params) => fired.firings.push(Firing { trigger, flow, params }),
                Err(fault) => fired.errors.push((snapshot.triggers[trigger].name.clone(), fault)),
            }
        }
    }
}

/// Names visible to trigger conditions and actions (TG 4.3).
struct TriggerScope<'a> {
    snapshot: &'a Snapshot,
    watch: &'a Watch,
    now: Time,
}

impl Scope for TriggerScope<'_> {
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>> {
        if name.eq_ignore_ascii_case("bindings") {
            let bindings = self.snapshot.bindings.iter().map(|binding| {
                Value::object(Object::from_iter([
                    ("name", Value::string(binding.role.clone())),
                    ("deviceId", Value::string(binding.thing.clone())),
                ]))
            });
            return Some(Cow::Owned(Value::list(bindings.collect())));
        }
        if name.eq_ignore_ascii_case("devices") {
            return Some(Cow::Owned(Value::list(
                self.snapshot.bindings.iter().map(|binding| self.device(binding)).collect(),
            )));
        }
        scope::system_name(name, Object::new, &self.snapshot.site).filter(|_| name.eq_ignore_ascii_case("systemConfig"))
    }

    fn last_event(&self, role: &str, event: &str) -> Option<Cow<'_, Value>> {
        Some(match self.watch.find(role, event) {
            Some(index) => Cow::Borrowed(&self.watch.events[index].last),
            None => Cow::Owned(Value::Null),
        })
    }

    fn bound_thing(&self, role: &str) -> Option<Cow<'_, Value>> {
        Some(Cow::Owned(self.snapshot.thing(role).map_or(Value::Null, |thing| Value::string(thing.clone()))))
    }

    fn now_ms(&self) -> Option<i64> {
        Some(self.now.0)
    }
}

impl TriggerScope<'_> {
    fn device(&self, binding: &crate::snapshot::Binding) -> Value {
        let events = self.watch.events.iter().filter(|entry| entry.role.eq_ignore_ascii_case(&binding.role));
        let events = events.map(|entry| {
            Value::object(Object::from_iter([
                ("name", Value::string(entry.event.clone())),
                ("lastEvent", entry.last.clone()),
            ]))
        });
        Value::object(Object::from_iter([
            ("name", Value::string(binding.role.clone())),
            ("deviceId", Value::string(binding.thing.clone())),
            ("events", Value::list(events.collect())),
        ]))
    }
}

/// When a clock trigger armed at `anchor` fires next, strictly after `now`: at `anchor` plus a whole number of
/// intervals, days and longer by the calendar in UTC and clamped to the month's end. Missed firings are skipped.
/// `None`: never again within the range of dates.
pub fn next_firing(anchor: Time, count: u32, unit: ClockUnit, now: Time) -> Option<Time> {
    let count = i64::from(count.max(1));
    let elapsed = (now.0 - anchor.0).max(0);
    let fixed = |ms: i64| {
        let interval = ms.checked_mul(count)?;
        Some(Time(anchor.0.checked_add((elapsed / interval + 1).checked_mul(interval)?)?))
    };
    match unit {
        ClockUnit::Second => fixed(1_000),
        ClockUnit::Minute => fixed(60_000),
        ClockUnit::Hour => fixed(3_600_000),
        ClockUnit::Day => calendar(anchor, now, count, 86_400_000, |n| n.days()),
        ClockUnit::Week => calendar(anchor, now, count, 7 * 86_400_000, |n| n.weeks()),
        ClockUnit::Month => calendar(anchor, now, count, 28 * 86_400_000, |n| n.months()),
        ClockUnit::Year => calendar(anchor, now, count, 365 * 86_400_000, |n| n.years()),
    }
}

/// `anchor + n * count` units for the smallest `n >= 1` that lies after `now`. `least_ms` is the shortest a unit can be.
fn calendar(anchor: Time, now: Time, count: i64, least_ms: i64, span: impl Fn(i64) -> Span) -> Option<Time> {
    let start = Timestamp::from_millisecond(anchor.0).ok()?.to_zoned(TimeZone::UTC);
    let at = |n: i64| -> Option<Time> {
        // Spans have bounds of their own, far beyond the range of dates.
        let units = n.checked_mul(count).filter(|units| *units <= 100_000)?;
        Some(Time(start.checked_add(span(units)).ok()?.timestamp().as_millisecond()))
    };
    let elapsed = SignedDuration::from_millis((now.0 - anchor.0).max(0)).as_millis();
    // An upper bound of whole intervals elapsed; the true number is found by stepping down.
    let mut n = i64::try_from(elapsed / i128::from(least_ms.checked_mul(count)?)).ok()? + 1;
    while n > 1 && at(n - 1).is_none_or(|time| time > now) {
        n -= 1;
    }
    at(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    /// TG 3.14: fixed rate from the anchor, calendar units in UTC clamped to the month's end, missed firings skipped.
    #[test]
    fn clock_follows_the_anchor() {
        use ClockUnit::*;
        let table = [
            ("2026-01-31T10:00:00Z", 1, Hour, "2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z"),
            ("2026-01-31T10:00:00Z", 1, Hour, "2026-01-31T10:59:59.999Z", "2026-01-31T11:00:00Z"),
            ("2026-01-31T10:00:00Z", 1, Hour, "2026-01-31T11:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T10:00:00Z", 2, Minute, "2026-02-01T00:00:30Z", "2026-02-01T00:02:00Z"),
            ("2026-01-31T10:00:00Z", 1, Month, "2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"),
            ("2026-01-31T10:00:00Z", 1, Month, "2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z"),
            ("2024-02-29T00:00:00Z", 1, Year, "2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z"),
            ("2024-02-29T00:00:00Z", 1, Year, "2027-06-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("2026-03-01T05:00:00Z", 1, Week, "2026-03-09T00:00:00Z", "2026-03-15T05:00:00Z"),
            ("2026-03-01T05:00:00Z", 3, Day, "2026-03-04T05:00:00Z", "2026-03-07T05:00:00Z"),
            ("2020-01-31T00:00:00Z", 1, Month, "2026-04-29T23:59:59Z", "2026-04-30T00:00:00Z"),
        ];
        for (anchor, count, unit, now, wanted) in table {
            let next = next_firing(time(anchor), count, unit, time(now));
            assert_eq!(next, Some(time(wanted)), "every {count} {unit:?} from {anchor} after {now}");
        }
    }
}
