//! The uplink's handle: publish, subscribe, connection state, new settings.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use marram_edge_ports::{
    CloudMessage, CloudMessages, CloudPublish, CloudSubscription, Denied, Hurdle, Later, Outage, PortError, Trouble,
};
use marram_mqtt::{Topic, TopicFilter};
use marram_types::{SharedClock, Timestamp};
use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot, watch};

use crate::line::{Command, Line, LineSettings};
use crate::spool::{Spool, SpoolError, SpoolOptions};
use crate::standing::Standing;

/// Commands queued between handle and line.
const COMMANDS: usize = 256;
/// Messages a subscriber may lag behind.
const BACKLOG: usize = 1000;
/// CR 5.2: longest topic, bytes, and most slashes; `$aws/...` may be longer.
const TOPIC_MAX: usize = 256;
const RESERVED_TOPIC_MAX: usize = 512;
const SLASHES_MAX: usize = 7;

/// Parts of the core whose messages go over the line from memory when the disk takes no more: they tell of trouble, and what asks them
/// again is durable elsewhere. No component can have such a name.
const OWN: [&str; 2] = ["DeploymentService", "FleetStatusService"];

struct Subscription {
    qos: u8,
    readers: Vec<(u64, mpsc::Sender<CloudMessage>)>,
}

pub(crate) struct Shared {
    pub(crate) spool: Spool,
    pub(crate) connected: watch::Sender<bool>,
    clock: SharedClock,
    subscriptions: Mutex<(u64, HashMap<SmolStr, Subscription>)>,
    /// Reserved topics that the control plane may speak to this core on without a subscription.
    unasked: Mutex<Vec<(SmolStr, mpsc::Sender<CloudMessage>)>>,
    limits: Mutex<PublishLimits>,
    standing: Mutex<Standing>,
}

/// What may be published.
#[derive(Debug, Clone, Copy)]
pub struct PublishLimits {
    /// `mqtt.maxMessageSizeInBytes`.
    pub message_bytes: usize,
    /// `mqtt.spooler.keepQos0WhenOffline`.
    pub keep_qos0_offline: bool,
}

impl Default for PublishLimits {
    fn default() -> Self {
        PublishLimits { message_bytes: 131_072, keep_qos0_offline: false }
    }
}

impl Shared {
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().as_millis()
    }

    /// What the device's clock shows.
    pub(crate) fn time(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, (u64, HashMap<SmolStr, Subscription>)> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn filters(&self) -> Vec<(SmolStr, u8)> {
        self.table().1.iter().map(|(filter, subscription)| (filter.clone(), subscription.qos)).collect()
    }

    pub(crate) fn qos_of(&self, filter: &str) -> u8 {
        self.table().1.get(filter).map_or(0, |subscription| subscription.qos)
    }

    /// Hands a message to all whose filter matches; nobody is waited for.
    pub(crate) fn deliver(&self, message: &CloudMessage) {
        if message.topic.starts_with('$') {
            for (pattern, reader) in self.unasked.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                if marram_mqtt::matches(pattern, &message.topic) && reader.try_send(message.clone()).is_err() {
                    tracing::debug!(topic = %message.topic, "nobody takes this message now");
                }
            }
        }
        for (filter, subscription) in &self.table().1 {
            let pattern = filter
                .strip_prefix("$share/")
                .and_then(|rest| rest.split_once('/'))
                .map_or(filter.as_str(), |(_, rest)| rest);
            if !marram_mqtt::matches(pattern, &message.topic) {
                continue;
            }
            for (_, reader) in &subscription.readers {
                if let Err(mpsc::error::TrySendError::Full(_)) = reader.try_send(message.clone()) {
                    tracing::warn!(topic = %message.topic, %filter, "a subscriber lags behind and loses a message");
                }
            }
        }
    }
}

/// The line to the control plane. A cheap clone.
#[derive(Clone)]
pub struct Uplink {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl Uplink {
    /// Opens the spool and starts the line; without settings the core is offline until [`Uplink::reconfigure`].
    /// Returns at once: connecting happens behind.
    ///
    /// # Errors
    /// The spool cannot be opened.
    pub fn start(settings: Option<LineSettings>, spool: SpoolOptions, clock: SharedClock) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            spool: Spool::open(spool)?,
            connected: watch::Sender::new(false),
            clock,
            subscriptions: Mutex::default(),
            unasked: Mutex::default(),
            limits: Mutex::default(),
            standing: Mutex::new(Standing::new(settings.is_some())),
        });
        let (commands, receiver) = mpsc::channel(COMMANDS);
        tokio::spawn(Line::new(Arc::clone(&shared), receiver, settings.map(Arc::new)).run());
        Ok(Uplink { shared, commands })
    }

    /// Reconnects with other settings; none: goes offline.
    pub async fn reconfigure(&self, settings: Option<LineSettings>) {
        self.shared.standing().settings(settings.is_some());
        // A stopped line has no use for settings.
        let _ = self.commands.send(Command::Settings(settings.map(Arc::new))).await;
    }

    /// Why there are no settings that could be used: told by [`CloudMessages::outage`] until the line is tried.
    pub fn set_trouble(&self, why: String) {
        let trouble = Trouble { hurdle: Hurdle::Settings, reason: why, detail: String::new() };
        self.shared.standing().unusable(trouble);
    }

    /// Changes what may be published from now on.
    pub fn set_limits(&self, limits: PublishLimits) {
        *self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// What the control plane sends on reserved topics of `filter` without being asked. Nothing is subscribed to: a control plane that
    /// does not know these topics would end the connection.
    pub fn unasked(&self, filter: &'static str) -> mpsc::Receiver<CloudMessage> {
        let (sender, messages) = mpsc::channel(1);
        let mut unasked = self.shared.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        unasked.push((SmolStr::new_static(filter), sender));
        messages
    }

    /// Messages in the spool and their bytes.
    pub fn spooled(&self) -> (usize, u64) {
        self.shared.spool.load()
    }

    /// Says goodbye and ends the line.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).await.is_ok() {
            // An error means that it is gone already.
            let _ = stopped.await;
        }
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, PortError>>) -> Command,
    ) -> Result<T, PortError> {
        let gone = || PortError::service("the runtime is stopping");
        let (done, answer) = oneshot::channel();
        self.commands.send(make(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl CloudMessages for Uplink {
    fn publish<'a>(&'a self, owner: &'a str, message: CloudPublish) -> Later<'a, ()> {
        Box::pin(async move {
            let limits = *self.shared.limits.lock().unwrap_or_else(PoisonError::into_inner);
            check_topic(&message.topic)?;
            if Topic::new(&message.topic).is_err() {
                return Err(PortError::InvalidArguments(format!(
                    "the topic {} is malformed or holds a wildcard",
                    message.topic
                )));
            }
            if message.payload.len() > limits.message_bytes {
                return Err(PortError::InvalidArguments(format!(
                    "the payload of {} bytes is larger than {} bytes",
                    message.payload.len(),
                    limits.message_bytes
                )));
            }
            let online = *self.shared.connected.borrow();
            if message.qos == 0 && (online || !limits.keep_qos0_offline) {
                return self.command(|done| Command::Publish(message, done)).await;
            }
            let unspooled = OWN.contains(&owner).then(|| message.clone());
            match self.shared.spool.append(owner, message, self.shared.now()).await {
                Ok(_) => Ok(()),
                Err(error @ (SpoolError::Full { .. } | SpoolError::Share { .. })) => {
                    Err(PortError::service(error.to_string()))
                }
                Err(SpoolError::Io(error)) => match unspooled.filter(|_| online) {
                    Some(message) => self.command(|done| Command::Publish(message, done)).await,
                    None => Err(PortError::service(format!("the spool cannot be written: {error}"))),
                },
            }
        })
    }

    fn subscribe<'a>(&'a self, _: &'a str, filter: &'a str, qos: u8) -> Later<'a, CloudSubscription> {
        Box::pin(async move {
            check_topic(filter)?;
            if TopicFilter::new(filter).is_err() {
                return Err(PortError::InvalidArguments(format!("{filter} is not a topic filter")));
            }
            let (sender, messages) = mpsc::channel(BACKLOG);
            let filter = SmolStr::new(filter);
            let (id, news) = {
                let mut table = self.shared.table();
                table.0 += 1;
                let id = table.0;
                let entry = table.1.entry(filter.clone()).or_insert_with(|| Subscription { qos, readers: Vec::new() });
                let news = entry.readers.is_empty() || entry.qos < qos;
                entry.qos = entry.qos.max(qos);
                entry.readers.push((id, sender));
                (id, news)
            };
            let guard =
                Guard { shared: Arc::clone(&self.shared), commands: self.commands.clone(), filter: filter.clone(), id };
            if news {
                self.command(|done| Command::Subscribe(filter, qos, done)).await?;
            }
            Ok(CloudSubscription { messages, guard: Box::new(guard) })
        })
    }

    fn connection(&self) -> watch::Receiver<bool> {
        self.shared.connected.subscribe()
    }

    fn is_configured(&self) -> bool {
        self.shared.standing().is_configured()
    }

    fn outage(&self) -> Option<Outage> {
        let spooled = self.spooled();
        self.shared.standing().outage(self.shared.time(), spooled)
    }

    fn denied(&self) -> Option<Denied> {
        self.shared.standing().last_denied(self.shared.time())
    }
}

/// Ends one reader's part of a subscription; the last one unsubscribes.
struct Guard {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    filter: SmolStr,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        let Some(subscription) = table.1.get_mut(&self.filter) else { return };
        subscription.readers.retain(|(id, _)| *id != self.id);
        if subscription.readers.is_empty() {
            table.1.remove(&self.filter);
            drop(table);
            if self.commands.try_send(Command::Unsubscribe(self.filter.clone())).is_err() {
                // What still arrives finds no reader; the next connection does not ask for it.
                tracing::debug!(filter = %self.filter, "the line is too busy to unsubscribe now");
            }
        }
    }
}

/// CR 5.2: lengths a core checks before it bothers the control plane.
fn check_topic(topic: &str) -> Result<(), PortError> {
    let counted = topic
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/').map(|(_, rest)| rest))
        .or_else(|| topic.strip_prefix("$aws/rules/").and_then(|rest| rest.split_once('/').map(|(_, rest)| rest)))
        .unwrap_or(topic);
    let reserved = counted.starts_with("$aws/");
    let most = if reserved { RESERVED_TOPIC_MAX } else { TOPIC_MAX };
    if counted.is_empty() || counted.len() > most {
        return Err(PortError::InvalidArguments(format!("the topic must have 1 to {most} bytes")));
    }
    if !reserved && counted.matches('/').count() > SLASHES_MAX {
        return Err(PortError::InvalidArguments(format!("the topic has more than {SLASHES_MAX} slashes")));
    }
    Ok(())
}
