//! Clients inside the process: the flow runtime, the data plane's publish, services with reserved topics.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use marram_mqtt::{ClientId, QoS, SubscribeOptions, Topic, TopicFilter};

use crate::authorize::SessionAuthority;
use crate::broker::Core;
use crate::message::Message;
use crate::outbound::{ReceiveEntry, may_receive};
use crate::session::{Delivery, Session};
use crate::store::StoreError;
use crate::sweep;
use crate::tenant::World;
use crate::topic_cache::TopicCache;

/// Most messages handed out by one [`LocalClient::recv_many`].
const RECV_MANY_MAX: usize = 1024;

/// Why a local client's request was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The authority says no.
    #[error("not allowed on `{0}`")]
    Denied(String),
    /// Longer or deeper than topics may be.
    #[error("`{0}` is longer or deeper than a topic may be")]
    Topic(String),
    /// The payload is larger than a message may be.
    #[error("payload of {length} bytes is larger than {maximum}")]
    Payload {
        /// Bytes of the payload.
        length: usize,
        /// The limit.
        maximum: usize,
    },
    /// The account has as many retained messages, or as many bytes of them, as it may; nothing was published.
    #[error("`{0}` is not retained: the account has as much as it may")]
    RetainedQuota(String),
    /// The message could not be made durable for the sessions that need it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A message that reached a local client.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message, shared with all other receivers.
    pub message: Arc<Message>,
    /// The smaller of the message's and the subscription's.
    pub qos: QoS,
    /// It is the topic's retained message, sent because of a new subscription.
    pub retain: bool,
}

/// A client without a connection. Dropping it ends its subscriptions. A client that does not receive fills its queue
/// and loses messages like any slow client (QoS 0 after 2 MiB, the oldest QoS 1 after 10 MiB).
pub struct LocalClient {
    publisher: LocalPublisher,
    backlog: VecDeque<Delivery>,
    received: TopicCache<ReceiveEntry>,
}

/// The publishing half: cheap to clone, outlives the client.
#[derive(Clone)]
pub struct LocalPublisher {
    core: Arc<Core>,
    world: Arc<World>,
    session: Arc<Session>,
    authority: Arc<dyn SessionAuthority>,
}

impl fmt::Debug for LocalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalClient({})", self.publisher.session.client_id)
    }
}

impl fmt::Debug for LocalPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalPublisher({})", self.session.client_id)
    }
}

impl LocalPublisher {
    /// Delivers a message. For QoS 1, and for retained messages, waits until it is durable wherever it has to be.
    pub async fn publish(&self, message: Message) -> Result<(), LocalError> {
        let wait = message.qos > QoS::AtMostOnce || message.retain;
        let position = self.deliver(message)?;
        if wait {
            self.core.durable(position).await?;
        }
        Ok(())
    }

    /// Delivers a message without waiting for durability.
    pub fn publish_now(&self, message: Message) -> Result<(), LocalError> {
        self.deliver(message).map(drop)
    }

    fn deliver(&self, message: Message) -> Result<u64, LocalError> {
        let options = &self.core.options;
        if !options.admits_topic(&message.topic) {
            return Err(LocalError::Topic(message.topic.to_string()));
        }
        if message.payload.len() > options.payload_max_bytes {
            return Err(LocalError::Payload { length: message.payload.len(), maximum: options.payload_max_bytes });
        }
        if !self.authority.publish(&message.topic, message.retain).is_allow() {
            self.core.metrics.publish_in_auth_error.increment();
            return Err(LocalError::Denied(message.topic.to_string()));
        }
        let topic = message.topic.clone();
        let position = self.core.publish(&self.world, message, Some(&self.session));
        let position = position.map_err(|_| LocalError::RetainedQuota(topic.to_string()))?;
        self.core.metrics.publish_in_success.increment();
        Ok(position)
    }
}

impl LocalClient {
    pub(crate) fn new(core: Arc<Core>, name: &str, authority: Arc<dyn SessionAuthority>) -> Self {
        let world = core.world(authority.tenant());
        // Not in the tenant's session table: the name is for logs and events only.
        let client_id =
            ClientId::new(name).unwrap_or_else(|_| ClientId::new("local").expect("five letters are a client id"));
        let session = Arc::new(Session::new(client_id, 1));
        session.inbox().online = true;
        let publisher = LocalPublisher { core, world, session, authority };
        Self { publisher, backlog: VecDeque::new(), received: TopicCache::default() }
    }

    /// The publishing half.
    pub fn publisher(&self) -> LocalPublisher {
        self.publisher.clone()
    }

    /// See [`LocalPublisher::publish`].
    pub async fn publish(&self, message: Message) -> Result<(), LocalError> {
        self.publisher.publish(message).await
    }

    /// Subscribes; replaces an equal filter's QoS. A filter without wildcards receives the retained message. There is
    /// no limit on the number of subscriptions.
    pub fn subscribe(&self, filter: &TopicFilter, qos: QoS) -> Result<(), LocalError> {
        let LocalPublisher { core, world, session, authority } = &self.publisher;
        if !core.options.admits_topic(filter.pattern()) {
            return Err(LocalError::Topic(filter.to_string()));
        }
        if !authority.subscribe(filter.as_str()).is_allow() {
            core.metrics.subscribe_auth_error.increment();
            return Err(LocalError::Denied(filter.to_string()));
        }
        let options = SubscribeOptions { qos: qos.min(QoS::AtLeastOnce), ..SubscribeOptions::default() };
        {
            let mut standing = session.standing();
            standing.subscriptions.retain(|(known, _)| known != filter);
            standing.subscriptions.push((filter.clone(), options));
        }
        world.routes.subscribe(filter, session, options);
        if filter.is_exact() && filter.shared().is_none() {
            let kept = Topic::new(filter.as_str()).ok().and_then(|topic| world.retained().get(&topic));
            if let Some(message) = kept {
                let qos = message.qos.min(options.qos);
                let delivery = Delivery::new(message, qos, true);
                if let Some(waker) = session.push(delivery, core.queue_limits, false).wake {
                    waker.wake();
                }
            }
        }
        Ok(())
    }

    /// Ends a subscription. Whether it existed. Messages already queued still come.
    pub fn unsubscribe(&self, filter: &TopicFilter) -> bool {
        let LocalPublisher { world, session, .. } = &self.publisher;
        session.standing().subscriptions.retain(|(known, _)| known != filter);
        world.routes.unsubscribe(filter, session)
    }

    /// The next message. Cancel safe.
    pub async fn recv(&mut self) -> Received {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits for at least one message and appends all that are there, at most 1,024. Cancel safe.
    pub async fn recv_many(&mut self, into: &mut Vec<Received>) {
        let first = self.recv().await;
        into.push(first);
        let now = Instant::now();
        for _ in 1..RECV_MANY_MAX {
            match self.next(now) {
                Some(received) => into.push(received),
                None => return,
            }
        }
    }

    /// Polls for the next message.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        loop {
            if let Some(received) = self.next(Instant::now()) {
                return Poll::Ready(received);
            }
            self.publisher.session.signals();
            if self.publisher.session.park(cx.waker(), true) {
                return Poll::Pending;
            }
        }
    }

    fn next(&mut self, now: Instant) -> Option<Received> {
        let LocalPublisher { core, session, authority, .. } = &self.publisher;
        loop {
            if self.backlog.is_empty() {
                session.take(&mut self.backlog);
            }
            let delivery = self.backlog.pop_front()?;
            session.release(delivery.weight(), core.queue_limits);
            let (message, qos, retain) = (Arc::clone(&delivery.message), delivery.qos, delivery.retain);
            if message.remaining_expiry(now).is_err() {
                core.metrics.messages_expired.increment();
            } else if !may_receive(&mut self.received, &**authority, &message.topic) {
                core.metrics.publish_out_auth_error.increment();
            } else {
                core.metrics.publish_out_success.increment();
                return Some(Received { message, qos, retain });
            }
        }
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        let LocalPublisher { core, world, session, .. } = &self.publisher;
        let mut inbox = session.inbox();
        inbox.online = false;
        inbox.closed = true;
        drop(inbox);
        sweep::reset(core, world, session);
        session.go_offline();
    }
}
