//! What happens to an accepted message: retained, routed, recorded, left in the inboxes of its receivers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use marram_mqtt::QoS;

use crate::broker::Core;
use crate::message::Message;
use crate::retained::RetainRefused;
use crate::routes::{Route, Target};
use crate::session::{Delivery, Pushed, QueueLimits, Session};
use crate::store::{Position, Record};
use crate::tenant::World;

/// What a publisher collects while it works through one batch of messages.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Receivers to wake when the batch is through: once each, not once per message.
    pub(crate) wakes: Vec<Waker>,
    /// A receiver that is full but still reading.
    pub(crate) congested: Option<Arc<Session>>,
    dropped: u64,
}

impl Batch {
    /// Wakes everybody who got something.
    pub(crate) fn finish(&mut self, core: &Core) {
        self.wakes.drain(..).for_each(Waker::wake);
        core.metrics.publish_out_throttle.add(std::mem::take(&mut self.dropped));
    }
}

/// Delivers `message` along `route`. Returns the position that has to be durable before a QoS 1 message may be
/// acknowledged; 0 if nothing has to. A message that is to be retained and cannot be reaches nobody.
pub(crate) fn deliver(
    core: &Core,
    world: &World,
    route: &Route,
    message: &Arc<Message>,
    origin: Option<&Arc<Session>>,
    batch: &mut Batch,
) -> Result<Position, RetainRefused> {
    let mut position = if message.retain { retain(core, world, message)? } else { 0 };
    let mut recorded = Vec::new();
    for target in &route.direct {
        if target.options.no_local && origin.is_some_and(|origin| Arc::ptr_eq(origin, &target.session)) {
            continue;
        }
        push(core, target, message, batch, &mut recorded);
    }
    for members in &route.shared {
        if let Some(target) = choose(members, message.qos, core.queue_limits) {
            push(core, target, message, batch, &mut recorded);
        }
    }
    if !recorded.is_empty()
        && let Some(store) = &core.store
    {
        position = store.append(Record::Enqueued { targets: recorded, message: Arc::clone(message) });
    }
    Ok(position)
}

fn push(core: &Core, target: &Target, message: &Arc<Message>, batch: &mut Batch, recorded: &mut Vec<(u64, u64)>) {
    let qos = message.qos.min(target.options.qos).min(QoS::AtLeastOnce);
    let delivery = Delivery::new(Arc::clone(message), qos, message.retain && target.options.retain_as_published);
    let Pushed { wake, congested, dropped, broken, settled, recorded: number } =
        target.session.push(delivery, core.queue_limits, core.store.is_some());
    batch.wakes.extend(wake);
    if congested {
        batch.congested = Some(Arc::clone(&target.session));
    }
    batch.dropped += u64::from(dropped);
    if broken > 0 && target.session.may_complain(core.clock.now()) {
        let client_id = &target.session.client_id;
        tracing::warn!(%client_id, "QoS 1 messages are dropped, oldest first: the session's queue is full");
    }
    recorded.extend(number);
    if !settled.is_empty() {
        core.settle(&target.session, settled);
    }
}

/// The member of a shared subscription that gets the message: the next one that is connected, if it can be one that
/// reads, or for QoS 1 the next persistent one, whose queue it joins (CP 5.2).
fn choose(members: &[Target], qos: QoS, limits: QueueLimits) -> Option<&Target> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let start = TURN.fetch_add(1, Ordering::Relaxed);
    let in_turn = || (0..members.len()).map(|step| &members[start.wrapping_add(step) % members.len()]);
    in_turn()
        .find(|target| target.session.is_ready(limits))
        .or_else(|| in_turn().find(|target| target.session.is_online()))
        .or_else(|| in_turn().find(|target| qos > QoS::AtMostOnce && target.session.is_persistent()))
}

/// Stores or clears the retained message of a topic. Reserved topics retain nothing (CP 5.2).
fn retain(core: &Core, world: &World, message: &Arc<Message>) -> Result<Position, RetainRefused> {
    if message.topic.starts_with("$aws/") {
        return Ok(0);
    }
    let topic = message.topic.clone();
    // Held until the record is queued: the store sees changes of a topic in the order the map did.
    let mut retained = world.retained();
    let record = if message.payload.is_empty() {
        if !retained.clear(&topic) {
            core.metrics.publish_retained_success.increment();
            return Ok(0);
        }
        Record::RetainCleared { tenant: world.tenant.clone(), topic }
    } else {
        if let Err(refused) = retained.admit(message, &core.options) {
            core.metrics.publish_retained_throttle.increment();
            return Err(refused);
        }
        let kept = Arc::new((**message).clone());
        retained.put(Arc::clone(&kept));
        Record::Retained { tenant: world.tenant.clone(), message: kept }
    };
    core.metrics.publish_retained_success.increment();
    Ok(core.store.as_ref().map_or(0, |store| store.append(record)))
}
