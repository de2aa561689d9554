//! The broker itself: what connections, local clients and administrators share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use marram_mqtt::{ClientId, QoS, Topic};
use marram_mqtt_net::{PeerInfo, Serve, Transport};

use crate::authorize::{Authenticator, SessionAuthority, Tenant};
use crate::budget::Budget;
use crate::connect;
use crate::connection::PendingWill;
use crate::deliver::{Batch, deliver};
use crate::intercept::Interceptor;
use crate::local::LocalClient;
use crate::message::Message;
use crate::metrics::Metrics;
use crate::options::BrokerOptions;
use crate::retained::RetainRefused;
use crate::session::{QueueLimits, Session, Signal};
use crate::store::{Position, Record, SessionStore, StoreError};
use crate::sweep;
use crate::tenant::World;

/// The message broker. Cheap to clone; all clones are the same broker.
#[derive(Clone)]
pub struct Broker {
    core: Arc<Core>,
}

/// Everything shared. Connections hold it strongly, the sweeper weakly.
pub(crate) struct Core {
    pub(crate) options: BrokerOptions,
    pub(crate) queue_limits: QueueLimits,
    pub(crate) metrics: Metrics,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) interceptor: Option<Arc<dyn Interceptor>>,
    pub(crate) store: Option<Arc<dyn SessionStore>>,
    pub(crate) clock: Clock,
    pub(crate) connections: AtomicU64,
    /// Bytes of unfinished CONNECTs, as far as they are large.
    pub(crate) connecting: AtomicUsize,
    session_numbers: AtomicU64,
    worlds: RwLock<HashMap<Tenant, Arc<World>>>,
}

/// Whole seconds since the broker started, moved on by the sweeper: reading the time costs one load.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) seconds: AtomicU32,
}

impl Clock {
    pub(crate) fn now(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }

    /// The clock second of a wall clock time; 1 if it has passed.
    pub(crate) fn at(&self, time: SystemTime) -> u32 {
        let ahead = time.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
        self.now().saturating_add(u32::try_from(ahead).unwrap_or(u32::MAX)).max(1)
    }
}

/// Ports of a broker; `Authenticator` is the only one it cannot do without.
pub struct Ports {
    /// Who connects.
    pub authenticator: Arc<dyn Authenticator>,
    /// Who answers `$aws/...`; without one every publish there ends the connection.
    pub interceptor: Option<Arc<dyn Interceptor>>,
    /// Where sessions and retained messages survive; without one they live in memory only.
    pub store: Option<Arc<dyn SessionStore>>,
}

/// Which connections an administrative action is about.
#[derive(Clone, Debug)]
pub enum Selector<'a> {
    /// Every connection of a principal, in any tenant.
    Principal(&'a str),
    /// The connection of a client id.
    ClientId(&'a Tenant, &'a str),
}

/// A connection or kept session, for the API.
#[derive(Clone, Debug)]
pub struct SessionSummary {
    /// Its client id.
    pub client_id: ClientId,
    /// Principal of its last connection.
    pub principal: Arc<str>,
    /// Whether a client is connected.
    pub connected: bool,
    /// Number of subscriptions.
    pub subscriptions: usize,
}

impl Broker {
    /// Starts a broker: loads what survived and spawns the sweeper on the current tokio runtime. The sweeper ends
    /// with the last clone and connection.
    pub fn start(options: BrokerOptions, ports: Ports) -> Result<Self, StoreError> {
        let stored = match &ports.store {
            Some(store) => store.load()?,
            None => Default::default(),
        };
        let core = Arc::new(Core {
            queue_limits: QueueLimits {
                budget: Budget::forever(options.queued_bytes, options.queued_qos0_bytes),
                online_bytes: options.online_queue_bytes,
                offline_bytes: options.offline_queue_bytes,
                patience: options.patience,
            },
            options,
            metrics: Metrics::default(),
            authenticator: ports.authenticator,
            interceptor: ports.interceptor,
            store: ports.store,
            clock: Clock { seconds: AtomicU32::new(1) },
            connections: AtomicU64::new(0),
            connecting: AtomicUsize::new(0),
            session_numbers: AtomicU64::new(0),
            worlds: RwLock::default(),
        });
        sweep::restore(&core, stored);
        tokio::spawn(sweep::run(Arc::downgrade(&core)));
        Ok(Self { core })
    }

    /// Serves one connection to its end; the same as [`Serve::serve`], for callers without the trait. `peer` is what
    /// socket and TLS know; CONNECT has not been read. `authenticated` is called once the CONNECT was accepted: drop
    /// there what bounds strangers.
    pub async fn serve<T: Transport>(
        &self,
        transport: T,
        peer: PeerInfo,
        authenticated: impl FnOnce() + Send + 'static,
    ) {
        connect::serve(Arc::clone(&self.core), transport, peer, authenticated).await;
    }

    /// A client inside the process, named `name` in a tenant of its authority. It has no client id of its own: it
    /// takes nobody over and causes no lifecycle events. Its publishes skip the [`Interceptor`].
    pub fn local_client(&self, name: &str, authority: Arc<dyn SessionAuthority>) -> LocalClient {
        LocalClient::new(Arc::clone(&self.core), name, authority)
    }

    /// Asks the authorities of these connections again: whoever may no longer connect is cut off, and everybody's
    /// remembered decisions are forgotten. Takes effect within milliseconds. Returns the number of connections asked.
    pub fn reauthorize(&self, who: &Selector<'_>) -> usize {
        self.signal(who, Signal::Reauthorize)
    }

    /// Ends these connections (v5: 0x98, event `API_INITIATED_DISCONNECT`). Returns their number.
    pub fn disconnect(&self, who: &Selector<'_>) -> usize {
        self.signal(who, Signal::Disconnect)
    }

    fn signal(&self, who: &Selector<'_>, signal: Signal) -> usize {
        let sessions = match who {
            Selector::Principal(principal) => {
                let mut all = self.core.all_sessions();
                all.retain(|session| &*session.principal() == *principal);
                all
            }
            Selector::ClientId(tenant, client_id) => self.core.world(tenant).session(client_id).into_iter().collect(),
        };
        let online = sessions.iter().filter(|session| session.is_online());
        online.map(|session| session.signal(signal)).count()
    }

    /// Ends all connections (v5: 0x8B) and waits for them, at most `patience`.
    pub async fn shut_down(&self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let mut online = self.core.all_sessions();
            online.retain(|session| session.is_online());
            if online.is_empty() || tokio::time::Instant::now() >= deadline {
                return;
            }
            online.iter().for_each(|session| session.signal(Signal::Shutdown));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The retained message of a topic.
    pub fn retained(&self, tenant: &Tenant, topic: &str) -> Option<Arc<Message>> {
        let topic = Topic::new(topic).ok()?;
        self.core.world(tenant).retained().get(&topic)
    }

    /// All retained messages of a tenant, sorted by topic.
    pub fn retained_messages(&self, tenant: &Tenant) -> Vec<Arc<Message>> {
        let mut messages = self.core.world(tenant).retained().all();
        messages.sort_by(|a, b| a.topic.cmp(&b.topic));
        messages
    }

    /// All sessions of a tenant, sorted by client id.
    pub fn sessions(&self, tenant: &Tenant) -> Vec<SessionSummary> {
        let mut sessions: Vec<_> = self
            .core
            .world(tenant)
            .all_sessions()
            .iter()
            .map(|session| SessionSummary {
                client_id: session.client_id.clone(),
                principal: session.principal(),
                connected: session.is_online(),
                subscriptions: session.standing().subscriptions.len(),
            })
            .collect();
        sessions.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        sessions
    }

    /// Live subscriptions of a tenant.
    pub fn subscriptions(&self, tenant: &Tenant) -> usize {
        self.core.world(tenant).routes.len()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.core.metrics
    }

    /// Bytes of all messages in memory: queued, unacknowledged or kept for sessions that are away, and what waits for
    /// sockets. A message counts once; retained messages do not. Bounded by [`BrokerOptions::queued_bytes`] and 4 KiB for
    /// each session.
    pub fn queued_bytes(&self) -> usize {
        self.core.queue_limits.budget.used()
    }

    /// Connections of all tenants.
    pub fn connected(&self) -> usize {
        self.core.all_sessions().iter().filter(|session| session.is_online()).count()
    }
}

impl Serve for Broker {
    fn serve<T: Transport>(
        &self,
        transport: T,
        peer: PeerInfo,
        authenticated: impl FnOnce() + Send + 'static,
    ) -> impl Future<Output = ()> + Send {
        connect::serve(Arc::clone(&self.core), transport, peer, authenticated)
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Broker")
    }
}

pub(crate) type WeakCore = Weak<Core>;

impl Core {
    /// The world of a tenant, made on first use.
    pub(crate) fn world(&self, tenant: &Tenant) -> Arc<World> {
        if let Some(world) = self.worlds.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Arc::clone(world);
        }
        let mut worlds = self.worlds.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(worlds.entry(tenant.clone()).or_insert_with(|| Arc::new(World::new(tenant.clone()))))
    }

    pub(crate) fn worlds(&self) -> Vec<Arc<World>> {
        self.worlds.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.worlds().iter().flat_map(|world| world.all_sessions()).collect()
    }

    pub(crate) fn next_session_number(&self) -> u64 {
        self.session_numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Numbers up to this one are taken.
    pub(crate) fn reserve_session_numbers(&self, taken: u64) {
        self.session_numbers.fetch_max(taken, Ordering::Relaxed);
    }

    pub(crate) fn record(&self, record: Record) -> Position {
        self.store.as_ref().map_or(0, |store| store.append(record))
    }

    /// Recorded messages of a session are done with.
    pub(crate) fn settle(&self, session: &Session, sequences: Vec<u64>) {
        let number = session.number.load(Ordering::Acquire);
        if number != 0 && !sequences.is_empty() {
            self.record(Record::Settled { session: number, sequences });
        }
    }

    /// Waits until everything up to `position` is durable.
    pub(crate) async fn durable(&self, position: Position) -> Result<(), StoreError> {
        match &self.store {
            Some(store) if position > 0 => std::future::poll_fn(|cx| store.poll_durable(position, cx)).await,
            _ => Ok(()),
        }
    }

    pub(crate) fn poll_durable(
        &self,
        position: Position,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Result<(), StoreError>> {
        match &self.store {
            Some(store) if position > 0 => store.poll_durable(position, cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Delivers a message that did not come from a connection: wills, events, local clients.
    pub(crate) fn publish(
        &self,
        world: &World,
        message: Message,
        origin: Option<&Arc<Session>>,
    ) -> Result<Position, RetainRefused> {
        let message = Message { qos: message.qos.min(QoS::AtLeastOnce), ..message };
        let message = Arc::new(message.accepted(self.queue_limits.budget));
        let route = world.routes.find(&message.topic);
        let mut batch = Batch::default();
        let position = deliver(self, world, &route, &message, origin, &mut batch);
        batch.finish(self);
        position
    }

    /// Makes the will of a connected client outlive the process. Returns the position that has to be durable before the
    /// client may rely on it.
    pub(crate) fn keep_will(&self, world: &World, session: &Session, will: &PendingWill) -> Position {
        if self.store.is_none() {
            return 0;
        }
        session.will_kept.store(true, Ordering::Relaxed);
        self.record(Record::WillLeft {
            tenant: world.tenant.clone(),
            client_id: session.client_id.clone(),
            message: Arc::new((*will.message).clone()),
            delay_secs: will.delay_secs,
        })
    }

    /// The will was published, or there is no reason for it any more.
    pub(crate) fn forget_will(&self, world: &World, session: &Session) {
        if session.will_kept.swap(false, Ordering::Relaxed) {
            self.record(Record::WillGone { tenant: world.tenant.clone(), client_id: session.client_id.clone() });
        }
    }

    /// Publishes a will. One that cannot be retained is published all the same: its client is not there to be told.
    pub(crate) fn publish_will(&self, world: &World, will: Message) {
        // Its expiry counts from now, not from the CONNECT that left it (MQTT 5 3.1.3.2.4).
        let will = Message { at: Instant::now(), ..will };
        if self.publish(world, will.clone(), None).is_err() {
            tracing::warn!(topic = %will.topic, "a will is not retained: the account has as much as it may");
            let will = Message { retain: false, ..will };
            self.publish(world, will, None).expect("only retaining is refused");
        }
    }
}

/// Seconds since the epoch.
pub(crate) fn epoch_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
