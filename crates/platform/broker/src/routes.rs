//! From topic to receivers, remembered: the tree behind a lock, and stamps that tell whether an answer still holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use marram_mqtt::{QoS, SubscribeOptions, TopicFilter};

use crate::session::Session;
use crate::tree::{Matches, Subscriber, Tree};

/// Filters are spread over this many stamps by their first level, so that a subscription somewhere does not make
/// every connection look up every topic again.
const STAMPS: usize = 64;

/// One subscription in the tree.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) session: Arc<Session>,
    pub(crate) options: SubscribeOptions,
}

impl Subscriber for Target {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.session, &other.session)
    }
}

/// Everybody a topic reaches. A session stands once in `direct`, with the highest QoS of its matching filters.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(crate) direct: Vec<Target>,
    pub(crate) shared: Vec<Vec<Target>>,
}

/// The subscriptions of one tenant.
#[derive(Debug)]
pub(crate) struct Routes {
    tree: RwLock<Tree<Target>>,
    stamps: [AtomicU64; STAMPS],
    /// Filters whose first level is a wildcard.
    wild_stamp: AtomicU64,
}

impl Default for Routes {
    fn default() -> Self {
        Self { tree: RwLock::default(), stamps: [const { AtomicU64::new(0) }; STAMPS], wild_stamp: AtomicU64::new(0) }
    }
}

fn bucket(text: &str) -> usize {
    let first = text.split('/').next().unwrap_or("");
    first.bytes().fold(5381_usize, |sum, byte| sum.wrapping_mul(33) ^ usize::from(byte)) % STAMPS
}

impl Routes {
    /// Changes whenever the route of a topic in this bucket may have changed.
    pub(crate) fn stamp_of(&self, bucket: usize) -> u64 {
        self.stamps[bucket].load(Ordering::Acquire) + self.wild_stamp.load(Ordering::Acquire)
    }

    /// Where the stamp of `topic` is kept.
    pub(crate) fn bucket(topic: &str) -> usize {
        bucket(topic)
    }

    fn touch(&self, filter: &TopicFilter) {
        let pattern = filter.pattern();
        let stamp = if pattern.starts_with(['+', '#']) { &self.wild_stamp } else { &self.stamps[bucket(pattern)] };
        stamp.fetch_add(1, Ordering::AcqRel);
    }

    /// Adds or replaces a subscription. Whether it is new.
    pub(crate) fn subscribe(&self, filter: &TopicFilter, session: &Arc<Session>, options: SubscribeOptions) -> bool {
        let target = Target { session: Arc::clone(session), options };
        let is_new = self.tree.write().unwrap_or_else(PoisonError::into_inner).insert(filter, target);
        self.touch(filter);
        is_new
    }

    /// Removes a subscription. Whether it existed.
    pub(crate) fn unsubscribe(&self, filter: &TopicFilter, session: &Arc<Session>) -> bool {
        let is_it = |target: &Target| Arc::ptr_eq(&target.session, session);
        let existed = self.tree.write().unwrap_or_else(PoisonError::into_inner).remove(filter, is_it);
        self.touch(filter);
        existed
    }

    /// Live subscriptions.
    pub(crate) fn len(&self) -> usize {
        self.tree.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Looks the receivers of `topic` up.
    pub(crate) fn find(&self, topic: &str) -> Route {
        let mut route = Route::default();
        self.tree.read().unwrap_or_else(PoisonError::into_inner).matches(topic, &mut Collect(&mut route));
        if route.direct.len() > 1 {
            merge(&mut route.direct);
        }
        route
    }
}

struct Collect<'a>(&'a mut Route);

impl Matches<Target> for Collect<'_> {
    fn direct(&mut self, subscriber: &Target) {
        self.0.direct.push(subscriber.clone());
    }
    fn shared(&mut self, members: &[Target]) {
        self.0.shared.push(members.to_vec());
    }
}

/// A session with overlapping filters gets one copy, at the highest QoS asked for (MQTT-3.3.4-2).
fn merge(targets: &mut Vec<Target>) {
    targets.sort_by_key(|target| Arc::as_ptr(&target.session).addr());
    targets.dedup_by(|later, first| {
        let same = first.is_same(later);
        if same {
            let (a, b) = (&mut first.options, later.options);
            a.qos = QoS::max(a.qos, b.qos);
            a.no_local &= b.no_local;
            a.retain_as_published |= b.retain_as_published;
        }
        same
    });
}
