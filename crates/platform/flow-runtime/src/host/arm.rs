//! Arming triggers: subscriptions for events, anchors for clocks (TG 3.14).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use marram_flow::Time;
use marram_flow::snapshot::{ClockUnit, Condition};
use marram_flow::trigger::{Watch, next_firing};
use smol_str::SmolStr;

use super::{Command, Generation, Host};
use crate::port::{FlowAction, Incoming, PortError};
use crate::spec::DeployError;
use crate::throttle::TokenBucket;

/// A wall clock that goes back behind the last firing by more than this was wrong before: what comes next is reckoned anew, or
/// calendar triggers would be silent until it is that late again. Less is the clock being kept right and repeats nothing,
/// milliseconds.
const SET_BACK_MS: u64 = 3_600_000;

/// Days and longer.
fn follows_wall(unit: ClockUnit) -> bool {
    matches!(unit, ClockUnit::Day | ClockUnit::Week | ClockUnit::Month | ClockUnit::Year)
}

/// An armed clock trigger.
pub(super) struct ClockTrigger {
    trigger: usize,
    count: u32,
    unit: ClockUnit,
    anchor: Time,
    /// What its clock showed when it was armed or fired last.
    last: Time,
    pub(super) next: Time,
}

impl ClockTrigger {
    /// `None`: there is no first firing.
    fn new(trigger: usize, count: u32, unit: ClockUnit, now: Time) -> Option<Self> {
        let next = next_firing(now, count, unit, now)?;
        Some(Self { trigger, count, unit, anchor: now, last: now, next })
    }

    pub(super) fn is_calendar(&self) -> bool {
        follows_wall(self.unit)
    }

    /// Whether it fires now, by its own clock. Missed firings are skipped.
    fn is_due(&mut self, now: Time) -> bool {
        let is_set_back = now.plus(SET_BACK_MS) < self.last;
        if is_set_back {
            // An anchor that is in the past by the right clock as well stays the beat.
            self.anchor = self.anchor.min(now);
        }
        let is_due = self.next <= now;
        if is_set_back || is_due {
            self.last = now;
            self.next = next_firing(self.anchor, self.count, self.unit, now).unwrap_or(Time(i64::MAX));
        }
        is_due
    }
}

impl Host {
    /// Subscribes to what the triggers of `generation` watch and arms its clocks; what was armed before is dropped when
    /// everything succeeded.
    ///
    /// # Errors
    /// A topic the snapshot does not resolve, or a subscription that is refused; nothing changed.
    pub(super) async fn arm(&mut self, generation: &Arc<Generation>) -> Result<(), DeployError> {
        let snapshot = &generation.deployment.snapshot;
        let mut watch = Watch::new(snapshot).map_err(|fault| DeployError::Inconsistent(fault.message))?;
        // The last occurrence stays known as long as the role is played by the same thing (TG 3.14).
        for entry in &mut watch.events {
            let same = |known: &&marram_flow::trigger::WatchedEvent| {
                known.role == entry.role && known.event == entry.event && known.thing == entry.thing
            };
            if let Some(known) = self.watch.events.iter().find(same) {
                entry.last = known.last.clone();
            }
        }
        let mut filters: Vec<SmolStr> = Vec::new();
        let mut sources: Vec<Vec<u16>> = Vec::new();
        for (entry, index) in watch.events.iter().zip(0..) {
            match filters.iter().position(|filter| *filter == entry.filter) {
                Some(at) => sources[at].push(index),
                None => {
                    filters.push(entry.filter.clone());
                    sources.push(vec![index]);
                }
            }
        }
        let connectors = &self.shared.connectors;
        let mut subscriptions = Vec::with_capacity(filters.len());
        for (filter, source) in filters.into_iter().zip(0..) {
            let refused = |cause| DeployError::Subscribe { filter: filter.clone(), cause };
            if !connectors.authority.allows(&generation.principal, FlowAction::Receive(&filter)) {
                return Err(refused(PortError::Denied));
            }
            let deliver = self.deliver(generation.number, source);
            let messages = connectors.mqtt.messages();
            let subscribed = messages.subscribe(&generation.principal, filter.clone(), deliver).await;
            subscriptions.push(subscribed.map_err(refused)?);
        }
        let now = self.shared.clock.now();
        let rate = self.shared.options.events_per_second;
        self.buckets = watch.events.iter().map(|_| TokenBucket::new(rate, now)).collect();
        (self.watch, self.sources, self.subscriptions) = (watch, sources, subscriptions);
        self.clocks.clear();
        for (index, trigger) in snapshot.triggers.iter().enumerate() {
            let Condition::Clock { count, unit } = trigger.condition else { continue };
            let start = if follows_wall(unit) { self.shared.clock.wall() } else { now };
            self.clocks.extend(ClockTrigger::new(index, count, unit, start));
        }
        Ok(())
    }

    /// Puts the messages of a filter into the host's queue, from the broker's own thread.
    fn deliver(&self, generation: u32, source: u16) -> crate::port::Deliver {
        let (sender, dropped) = (self.sender.clone(), Arc::clone(&self.dropped));
        let (retained, overrun) = (self.shared.metrics.dropped("retained"), self.shared.metrics.dropped("overrun"));
        Arc::new(move |message: Incoming| {
            if message.retained {
                retained.inc();
                return;
            }
            let Some(sender) = sender.upgrade() else { return };
            if sender.try_send(Command::Occurrence { generation, source, payload: message.payload }).is_err() {
                dropped.fetch_add(1, Ordering::Relaxed);
                overrun.inc();
            }
        })
    }

    /// Starts what clock triggers are due.
    pub(super) fn fire_clocks(&mut self, now: Time) {
        let wall = self.shared.clock.wall();
        for index in 0..self.clocks.len() {
            let clock = &mut self.clocks[index];
            if !clock.is_due(if clock.is_calendar() { wall } else { now }) {
                continue;
            }
            let trigger = clock.trigger;
            let generation = Arc::clone(&self.current);
            let fired = self.watch.tick(&generation.deployment.snapshot, trigger, now);
            self.fire(&generation, fired, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 3.14, CR 9.6: a daily trigger keeps its beat while the clock is put forward and back; it fires once after a step over
    /// several firings, is not silent after the clock was ahead, and a small correction repeats nothing.
    #[test]
    fn a_daily_trigger_keeps_its_beat() {
        const DAY: i64 = 24;
        let years = 9 * 365 * DAY;
        #[rustfmt::skip]
        let table: &[(&str, i64, &[(i64, bool)])] = &[
            ("calm", 0, &[(23, false), (24, true), (24, false), (47, false), (48, true)]),
            ("missed days are skipped", 0, &[(80, true), (81, false), (95, false), (96, true)]),
            ("ahead for a while", 0, &[(24, true), (30 + years, true), (31 + years, false), (30, false), (47, false), (48, true)]),
            ("ahead within a day", 0, &[(24, true), (40, false), (30, false), (47, false), (48, true), (72, true)]),
            ("wrong from the start", years, &[(0, false), (23, false), (24, true), (48, true)]),
            ("behind the anchor", 0, &[(24, true), (-100, false), (-77, false), (-76, true), (-52, true)]),
            ("back over a firing", 0, &[(24, true), (48, true), (40, false), (47, false), (48, true)]),
            ("a little back", 0, &[(24, true), (23, false), (24, false), (47, false), (48, true)]),
        ];
        let hour = |hours: i64| Time(1_800_000_000_000 + hours * 3_600_000);
        for (name, armed, looks) in table {
            let mut clock = ClockTrigger::new(0, 1, ClockUnit::Day, hour(*armed)).unwrap();
            for (at, wanted) in *looks {
                assert_eq!(clock.is_due(hour(*at)), *wanted, "{name}: at {at} h");
            }
        }
    }
}
