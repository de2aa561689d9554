//! Once a second: the clock, keep alive, idle connections, wills that waited, sessions that expired.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::broker::{Core, WeakCore, epoch_secs};
use crate::message::Message;
use crate::session::{Session, Signal};
use crate::store::{Record, Stored, StoredSession, StoredWill};
use crate::tenant::World;

/// Silence after which a connection gives its caches back, seconds.
const IDLE_SECS: u32 = 10;

/// Runs until the broker is gone.
pub(crate) async fn run(core: WeakCore) {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let Some(core) = core.upgrade() else { return };
        let now = started.elapsed().as_secs() as u32 + 1;
        core.clock.seconds.store(now, Ordering::Relaxed);
        for world in core.worlds() {
            for session in world.all_sessions() {
                sweep(&core, &world, &session, now);
            }
        }
    }
}

fn sweep(core: &Core, world: &World, session: &Arc<Session>, now: u32) {
    if session.is_online() {
        let silent = now.saturating_sub(session.last_heard.load(Ordering::Relaxed));
        let patience = session.patience_secs.load(Ordering::Relaxed);
        let ends_at = session.ends_at.load(Ordering::Relaxed);
        if patience > 0 && silent > patience {
            session.signal(Signal::KeepAlive);
        } else if ends_at > 0 && now >= ends_at {
            session.signal(Signal::Expired);
        } else if silent == IDLE_SECS {
            session.signal(Signal::Idle);
        }
        return;
    }
    let (will, expired) = {
        let mut standing = session.standing();
        let expired = standing.expires_at.is_some_and(|at| now >= at);
        let due = expired || standing.pending_will.as_ref().is_some_and(|(_, at)| now >= *at);
        (if due { standing.pending_will.take() } else { None }, expired)
    };
    if let Some((message, _)) = will {
        core.publish_will(world, *message);
        core.forget_will(world, session);
    }
    // Whoever is about to attach holds or waits for the permit; then the session is theirs.
    if expired && let Ok(_permit) = Arc::clone(&session.attach).try_acquire_owned() {
        close(core, world, session);
    }
}

/// Ends a session for good. Call with its permit held.
pub(crate) fn close(core: &Core, world: &World, session: &Arc<Session>) {
    {
        let mut sessions = world.sessions();
        if sessions.get(&session.client_id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            sessions.remove(&session.client_id);
        }
    }
    session.inbox().closed = true;
    reset(core, world, session);
}

/// Forgets everything a session holds: subscriptions, messages, its place in the store.
pub(crate) fn reset(core: &Core, world: &World, session: &Arc<Session>) {
    let subscriptions = std::mem::take(&mut session.standing().subscriptions);
    for (filter, _) in subscriptions {
        world.routes.unsubscribe(&filter, session);
    }
    session.discard_messages();
    let number = session.number.swap(0, Ordering::AcqRel);
    if number != 0 {
        core.record(Record::SessionClosed { session: number });
    }
}

/// Brings stored sessions and retained messages back to life.
pub(crate) fn restore(core: &Core, stored: Stored) {
    let now = epoch_secs();
    let mut counted = Counted::new();
    for stored in stored.sessions {
        core.reserve_session_numbers(stored.session);
        let gone_for = now.saturating_sub(stored.detached_at_secs.unwrap_or(now));
        if gone_for >= u64::from(stored.expiry_secs) {
            core.record(Record::SessionClosed { session: stored.session });
            continue;
        }
        restore_session(core, stored, gone_for as u32, &mut counted);
    }
    for (tenant, message) in stored.retained {
        core.world(&tenant).retained().put(message);
    }
    for will in stored.wills {
        restore_will(core, will);
    }
}

/// The connection of a stored will ended with the process, if it had not before. It is published unless the client
/// resumes its session within the will's delay, which is at least the time that subscribers get to come back
/// (MQTT 5 3.1.2.5 lets a server that failed be late). A clean session ended with its connection: when its client
/// returns, its will is published first, as always when a session ends.
fn restore_will(core: &Core, will: StoredWill) {
    let now = core.clock.now();
    let world = core.world(&will.tenant);
    let known = world.session(&will.client_id);
    let session = known.unwrap_or_else(|| {
        let window = core.options.session.receive_maximum.get().into();
        let session = Arc::new(Session::new(will.client_id.clone(), window));
        session.standing().expires_at = Some(now.saturating_add(core.options.restart_grace_secs));
        world.sessions().insert(will.client_id.clone(), Arc::clone(&session));
        session
    });
    session.will_kept.store(true, Ordering::Relaxed);
    let mut standing = session.standing();
    let left = standing.expires_at.map_or(0, |at| at.saturating_sub(now));
    let gone_for = standing.expiry_secs.saturating_sub(left);
    let wait = will.delay_secs.saturating_sub(gone_for).max(core.options.restart_grace_secs);
    standing.pending_will = Some((Box::new((*will.message).clone()), now.saturating_add(wait)));
}

/// Messages by their address, as the store gave them and as sessions hold them. Having the former keeps the address.
type Counted = HashMap<usize, (Arc<Message>, Arc<Message>)>;

/// `counted`: the messages of other sessions, so that one for many is counted once.
fn restore_session(core: &Core, stored: StoredSession, gone_for: u32, counted: &mut Counted) {
    let StoredSession { session: number, tenant, client_id, expiry_secs, subscriptions, queue, .. } = stored;
    let world = core.world(&tenant);
    let session = Arc::new(Session::new(client_id.clone(), core.options.session.receive_maximum.get().into()));
    session.number.store(number, Ordering::Release);
    {
        let mut standing = session.standing();
        standing.expiry_secs = expiry_secs;
        standing.expires_at = Some(core.clock.now() + (expiry_secs - gone_for));
    }
    for (filter, options) in &subscriptions {
        world.routes.subscribe(filter, &session, *options);
    }
    session.standing().subscriptions = subscriptions;
    let mut count = |message: Arc<Message>| {
        let known = counted.entry(Arc::as_ptr(&message).addr()).or_insert_with(|| {
            let counted = Arc::new((*message).clone().counted(core.queue_limits.budget));
            (message, counted)
        });
        Arc::clone(&known.1)
    };
    session.restore(queue.into_iter().map(|(sequence, message)| (sequence, count(message))));
    world.sessions().insert(client_id, session);
}
