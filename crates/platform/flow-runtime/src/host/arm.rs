//! Arming triggers: subscriptions for events, anchors for clocks (TG 3.14).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use marram_flow::Time;
use marram_flow::snapshot::{ClockUnit, Condition};
use marram_flow::trigger::{Watch, next_firing};
use smol_str::SmolStr;

use super::{ClockTrigger, Command, Generation, Host};
use crate::clock::wall;
use crate::port::{Incoming, PortError, TopicAction};
use crate::spec::DeployError;
use crate::throttle::TokenBucket;

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
            if !connectors.authority.allows(&generation.principal, TopicAction::Receive(&filter)) {
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
            let is_calendar = matches!(unit, ClockUnit::Day | ClockUnit::Week | ClockUnit::Month | ClockUnit::Year);
            let anchor = if is_calendar { wall() } else { now };
            if let Some(next) = next_firing(anchor, count, unit, anchor) {
                self.clocks.push(ClockTrigger { trigger: index, anchor, next, is_calendar });
            }
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

    /// Starts what clock triggers are due; missed firings are skipped.
    pub(super) fn fire_clocks(&mut self, now: Time) {
        let wall = wall();
        for index in 0..self.clocks.len() {
            let clock = &self.clocks[index];
            let now_there = if clock.is_calendar { wall } else { now };
            if clock.next > now_there {
                continue;
            }
            let trigger = clock.trigger;
            let generation = Arc::clone(&self.current);
            let snapshot = &generation.deployment.snapshot;
            let fired = self.watch.tick(snapshot, trigger, now);
            if let Condition::Clock { count, unit } = snapshot.triggers[trigger].condition {
                let clock = &mut self.clocks[index];
                clock.next = next_firing(clock.anchor, count, unit, now_there).unwrap_or(Time(i64::MAX));
            }
            self.fire(&generation, fired, now);
        }
    }
}
