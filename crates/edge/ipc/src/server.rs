//! The door itself: what it needs, whom it let in, how it ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use marram_edge_ports::{
    Caller, CallerKind, Checks, ClientDevices, CloudMessages, Components, Configuration, DebugPasswords, Deployments,
    Identities, LocalShadows, Metrics, Peer, PortError, Sandboxes, Secrets,
};
use serde_json::Value;
use smol_str::SmolStr;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::audit::Denials;
use crate::authorize::Policies;
use crate::connection::{Connection, Driver};
use crate::operation::{Operation, Shapes};
use crate::share::{Share, Shares};
use crate::socket::Socket;
use crate::topics::Topics;

/// What answers the operations. An operation whose port is absent answers `ServiceError` "not supported" (CR 6.5).
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is its port")]
pub struct Ports {
    pub identities: Arc<dyn Identities>,
    pub components: Option<Arc<dyn Components>>,
    pub configuration: Option<Arc<dyn Configuration>>,
    pub deployments: Option<Arc<dyn Deployments>>,
    pub cloud: Option<Arc<dyn CloudMessages>>,
    pub shadows: Option<Arc<dyn LocalShadows>>,
    pub secrets: Option<Arc<dyn Secrets>>,
    pub client_devices: Option<Arc<dyn ClientDevices>>,
    pub metrics: Option<Arc<dyn Metrics>>,
    pub debug_passwords: Option<Arc<dyn DebugPasswords>>,
    pub checks: Option<Arc<dyn Checks>>,
    /// What sandboxes learned.
    pub sandboxes: Option<Arc<dyn Sandboxes>>,
}

impl Ports {
    /// Nothing but authentication and local messages.
    pub fn new(identities: Arc<dyn Identities>) -> Self {
        Self {
            identities,
            components: None,
            configuration: None,
            deployments: None,
            cloud: None,
            shadows: None,
            secrets: None,
            client_devices: None,
            metrics: None,
            debug_passwords: None,
            checks: None,
            sandboxes: None,
        }
    }
}

/// How the door behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// `ipc.openConfigurationRead`: any component may read any configuration, as in the original (CR 3.5). The hardened
    /// profile turns it off; then other components' configuration needs a policy of `aws.marram.config`.
    pub open_configuration_read: bool,
    /// Connections at the same time; more are closed at once. One caller may have three quarters of them.
    pub max_connections: usize,
    /// Connections of clients that have not said yet who they are; with one more the oldest is closed.
    pub max_unknown: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { open_configuration_read: true, max_connections: 16_384, max_unknown: 1024 }
    }
}

/// What happened so far.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    accepted: AtomicU64,
    subscriptions: AtomicU64,
    published: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    /// Connections open now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections ever.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Streams with events open now.
    pub fn subscriptions(&self) -> u64 {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// Local messages published.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Local messages queued for subscribers.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Events lost because a subscriber read too slowly.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn subscribed(&self, count: u64) {
        self.subscriptions.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn unsubscribed(&self, count: u64) {
        self.subscriptions.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, receivers: u64) {
        self.published.fetch_add(1, Ordering::Relaxed);
        self.delivered.fetch_add(receivers, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, count: u64) {
        if count > 0 {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// What all connections share.
pub(crate) struct Door {
    pub(crate) ports: Ports,
    pub(crate) options: Options,
    pub(crate) topics: Topics,
    pub(crate) shapes: Shapes,
    pub(crate) denials: Denials,
    pub(crate) counters: Counters,
    /// Clients that break the protocol are told of now and then.
    pub(crate) faults: Denials,
    shares: Shares,
    policies: ArcSwap<Policies>,
    connections: Mutex<HashMap<u64, Weak<Connection>>>,
    /// Those whose clients have not said who they are, the oldest first.
    unknown: Mutex<BTreeMap<u64, Weak<Connection>>>,
}

impl Door {
    pub(crate) fn new(ports: Ports, options: Options) -> Self {
        Self {
            ports,
            options,
            topics: Topics::default(),
            shapes: Shapes::new(),
            denials: Denials::default(),
            counters: Counters::default(),
            faults: Denials::default(),
            shares: Shares::default(),
            policies: ArcSwap::default(),
            connections: Mutex::default(),
            unknown: Mutex::default(),
        }
    }

    /// From now on components may do what their policies say.
    pub(crate) fn obey(&self, access_control: &BTreeMap<SmolStr, Value>) {
        self.policies.store(Arc::new(Policies::compile(access_control)));
    }

    /// Whether the caller may; a refusal is audited.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        service: &str,
        operation: Operation,
        resource: Option<&str>,
    ) -> Result<(), PortError> {
        let allowed = match caller.kind {
            // CR 7.2: all CLI operations, and everything local and cloud messages.
            CallerKind::Operator => {
                matches!(service, "aws.greengrass.Cli" | "aws.greengrass.ipc.pubsub" | "aws.greengrass.ipc.mqttproxy")
            }
            CallerKind::Component => self.policies.load().allow(&caller.name, service, operation, resource),
        };
        if allowed {
            return Ok(());
        }
        let (name, resource) = (operation.name(), resource.unwrap_or("null"));
        self.denials.record(&caller.name, service, name, resource);
        Err(PortError::Unauthorized(format!(
            "Principal {} is not authorized to perform {service}:{name} on resource {resource}",
            caller.name
        )))
    }

    /// Whether an open subscription would still be granted.
    pub(crate) fn recheck(&self, caller: &Caller, operation: Operation, resource: &str) -> Result<(), PortError> {
        match operation {
            Operation::SubscribeToTopic => {
                self.authorize(caller, "aws.greengrass.ipc.pubsub", operation, Some(resource))
            }
            Operation::SubscribeToIoTCore => {
                self.authorize(caller, "aws.greengrass.ipc.mqttproxy", operation, Some(resource))
            }
            Operation::SubscribeToCertificateUpdates => {
                self.authorize(caller, "aws.greengrass.clientdevices.Auth", operation, Some(resource))
            }
            Operation::SubscribeToConfigurationUpdate => self.may_read_configuration(caller, operation, resource),
            _ => Ok(()),
        }
    }

    /// CR 3.5: its own configuration always, that of others as the core is set.
    pub(crate) fn may_read_configuration(
        &self,
        caller: &Caller,
        operation: Operation,
        component: &str,
    ) -> Result<(), PortError> {
        if self.options.open_configuration_read || caller.name == component {
            return Ok(());
        }
        self.authorize(caller, "aws.marram.config", operation, Some(component))
    }

    fn all_connections(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.values().filter_map(Weak::upgrade).collect()
    }
}

/// Keeps count of a connection for as long as its driver lives.
pub(crate) struct CountedConnection {
    door: Arc<Door>,
    number: u64,
    /// Whose it is, once that is known.
    caller: Option<SmolStr>,
}

impl CountedConnection {
    fn new(door: &Arc<Door>, connection: &Arc<Connection>) -> Self {
        let number = door.counters.accepted.fetch_add(1, Ordering::Relaxed);
        door.counters.connections.fetch_add(1, Ordering::Relaxed);
        let mut connections = door.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.insert(number, Arc::downgrade(connection));
        drop(connections);
        let mut unknown = door.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.insert(number, Arc::downgrade(connection));
        let oldest = if unknown.len() > door.options.max_unknown { unknown.pop_first() } else { None };
        drop(unknown);
        if let Some(oldest) = oldest.and_then(|(_, connection)| connection.upgrade()) {
            oldest.end();
        }
        Self { door: Arc::clone(door), number, caller: None }
    }

    /// The client is known now: its part of the door; none when it has taken as much of it as one may.
    pub(crate) fn introduce(&mut self, caller: &Caller) -> Option<Arc<Share>> {
        let limit = self.door.options.max_connections / 4 * 3;
        let share = self.door.shares.enter(&caller.name, limit)?;
        self.caller = Some(caller.name.clone());
        self.door.unknown.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        Some(share)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.door.counters.connections.fetch_sub(1, Ordering::Relaxed);
        self.door.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        match &self.caller {
            Some(caller) => self.door.shares.leave(caller),
            None => drop(self.door.unknown.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number)),
        }
    }
}

/// The IPC server of a core.
pub struct Server {
    door: Arc<Door>,
    socket: Socket,
    stop: watch::Sender<bool>,
}

/// Stops a server and reads its counters.
#[derive(Clone)]
pub struct Handle {
    door: Arc<Door>,
    stop: watch::Sender<bool>,
}

impl Handle {
    /// Closes the door and every connection; [`Server::run`] returns then.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.door.counters
    }

    /// Hands a message of a part of the core, `from`, to local subscribers; it does not wait.
    pub fn publish(&self, from: &str, topic: &str, payload: &[u8]) {
        crate::operation::publish_own(&self.door, from, topic, payload);
    }
}

impl Server {
    /// A server on a bound socket; nobody is let in before [`Server::run`].
    pub fn new(socket: Socket, ports: Ports, options: Options) -> Self {
        let door = Door::new(ports, options);
        Self { door: Arc::new(door), socket, stop: watch::Sender::new(false) }
    }

    /// A handle for others.
    pub fn handle(&self) -> Handle {
        Handle { door: Arc::clone(&self.door), stop: self.stop.clone() }
    }

    /// Serves until [`Handle::stop`].
    pub async fn run(self) {
        let mut drivers = JoinSet::new();
        let mut stop = self.stop.subscribe();
        let mut revocations = self.door.ports.identities.revocations();
        let mut access_control = self.door.ports.configuration.as_ref().map(|port| port.access_control());
        if let Some(receiver) = &mut access_control {
            self.apply_policies(receiver);
        }
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok(client) => self.admit(client, &mut drivers),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept an IPC client");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = drivers.join_next() => if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "an IPC connection panicked and was closed");
                },
                () = changed(&mut access_control) => if let Some(receiver) = &mut access_control {
                    self.apply_policies(receiver);
                    for connection in self.door.all_connections() {
                        connection.recheck();
                    }
                },
                () = changed(&mut revocations) => {
                    for connection in self.door.all_connections() {
                        connection.end_if_revoked();
                    }
                }
                () = stopped(&mut stop) => break,
            }
        }
        for connection in self.door.all_connections() {
            connection.end();
        }
        let farewell = async { while drivers.join_next().await.is_some() {} };
        // A client that does not read is not waited for: dropping the set closes what is left.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    fn apply_policies(&self, receiver: &mut watch::Receiver<Arc<BTreeMap<SmolStr, Value>>>) {
        self.door.obey(&receiver.borrow_and_update().clone());
    }

    fn admit(&self, client: UnixStream, drivers: &mut JoinSet<()>) {
        if self.door.counters.connections() >= self.door.options.max_connections as u64 {
            if let Some(suppressed) = self.door.faults.may_tell(&SmolStr::default()) {
                let limit = self.door.options.max_connections;
                tracing::warn!(limit, suppressed, "too many IPC clients: one is turned away");
            }
            return;
        }
        let peer = match client.peer_cred() {
            Ok(credentials) => Peer {
                // A peer in another pid namespace has no pid here; 0 fits no component.
                pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
                uid: credentials.uid(),
                gid: credentials.gid(),
            },
            Err(error) => return tracing::warn!(%error, "an IPC client without credentials is turned away"),
        };
        let connection = Connection::new(Arc::clone(&self.door));
        let counted = CountedConnection::new(&self.door, &connection);
        drivers.spawn(Driver::new(client, peer, connection, counted));
    }
}

/// How long the door stays shut when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections may take to send what is queued when the server stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// Resolves when the server is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives in the server itself.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Resolves at the next change; never when there is nothing to watch or nobody left to change it.
async fn changed<T>(receiver: &mut Option<watch::Receiver<T>>) {
    if let Some(receiver) = receiver
        && receiver.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
