//! Where sessions and retained messages survive: the port, and the records it carries.
//!
//! The broker keeps its working state in memory and appends a [`Record`] for every change that has to outlive the
//! process. What a client was told (PUBACK of a message to a persistent session, SUBACK, CONNACK) waits until the
//! records behind it are durable.

mod file;
mod mirror;
mod record;

pub use file::{FileStore, fuzz_session_log};

use std::sync::Arc;
use std::task::{Context, Poll};

use marram_mqtt::{ClientId, SubscribeOptions, Topic, TopicFilter};

use crate::authorize::Tenant;
use crate::message::Message;

/// Place in the order of records; larger is later. 0 is before the first.
pub type Position = u64;

/// A persistent session's number; never used twice.
pub type SessionNo = u64;

/// A change to durable state.
#[derive(Clone, Debug)]
pub enum Record {
    /// A persistent session begins, or its expiry changes.
    SessionOpened {
        /// Its number.
        session: SessionNo,
        /// Where it lives.
        tenant: Tenant,
        /// Whose it is.
        client_id: ClientId,
        /// Seconds it outlives its connection.
        expiry_secs: u32,
    },
    /// Its connection ended at this time, in seconds since the epoch.
    SessionDetached {
        /// Which session.
        session: SessionNo,
        /// When.
        at_secs: u64,
    },
    /// It is gone, with everything in it.
    SessionClosed {
        /// Which session.
        session: SessionNo,
    },
    /// It subscribed, or changed the options of a subscription.
    Subscribed {
        /// Which session.
        session: SessionNo,
        /// To what.
        filter: TopicFilter,
        /// How.
        options: SubscribeOptions,
    },
    /// It unsubscribed.
    Unsubscribed {
        /// Which session.
        session: SessionNo,
        /// From what.
        filter: TopicFilter,
    },
    /// A QoS 1 message was queued for sessions, each under its own sequence number.
    Enqueued {
        /// Session and sequence number in it.
        targets: Vec<(SessionNo, u64)>,
        /// The message.
        message: Arc<Message>,
    },
    /// The client acknowledged messages, or they expired or were dropped.
    Settled {
        /// Which session.
        session: SessionNo,
        /// Their sequence numbers.
        sequences: Vec<u64>,
    },
    /// A topic has a new retained message.
    Retained {
        /// Where.
        tenant: Tenant,
        /// The message; its topic is the key.
        message: Arc<Message>,
    },
    /// A topic has none any more.
    RetainCleared {
        /// Where.
        tenant: Tenant,
        /// Which topic.
        topic: Topic,
    },
    /// A connected client left a will. It replaces an earlier one.
    WillLeft {
        /// Where it lives.
        tenant: Tenant,
        /// Whose it is.
        client_id: ClientId,
        /// What to publish.
        message: Arc<Message>,
        /// Seconds to wait after the connection ended.
        delay_secs: u32,
    },
    /// The will was published, or the client said goodbye or came back.
    WillGone {
        /// Where it lives.
        tenant: Tenant,
        /// Whose it was.
        client_id: ClientId,
    },
}

/// A session as it was when the process ended.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// Its number.
    pub session: SessionNo,
    /// Where it lives.
    pub tenant: Tenant,
    /// Whose it is.
    pub client_id: ClientId,
    /// Seconds it outlives its connection.
    pub expiry_secs: u32,
    /// When its connection ended; `None` if the process ended first.
    pub detached_at_secs: Option<u64>,
    /// Its subscriptions.
    pub subscriptions: Vec<(TopicFilter, SubscribeOptions)>,
    /// Messages not yet acknowledged, oldest first, with their sequence numbers.
    pub queue: Vec<(u64, Arc<Message>)>,
}

/// A will whose connection ended with the process, or that waited for its delay.
#[derive(Clone, Debug)]
pub struct StoredWill {
    /// Where it lives.
    pub tenant: Tenant,
    /// Whose it is.
    pub client_id: ClientId,
    /// What to publish.
    pub message: Arc<Message>,
    /// Seconds to wait after the connection ended.
    pub delay_secs: u32,
}

/// Everything that survived.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Persistent sessions.
    pub sessions: Vec<StoredSession>,
    /// Retained messages.
    pub retained: Vec<(Tenant, Arc<Message>)>,
    /// Wills nobody took back.
    pub wills: Vec<StoredWill>,
}

/// Why durable state cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system said no. Once writing failed, the store refuses everything until it is opened again.
    #[error("session store: {0}")]
    Io(Arc<std::io::Error>),
    /// A complete record whose checksum is right does not make sense: written by something else.
    #[error("session store: {what} in {file} at byte {at}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// File name.
        file: String,
        /// Offset of the record.
        at: u64,
    },
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// Durable memory of a broker.
pub trait SessionStore: Send + Sync + 'static {
    /// What survived; called once, before anything is appended.
    fn load(&self) -> Result<Stored, StoreError>;

    /// Queues a record. Never blocks on the disk.
    fn append(&self, record: Record) -> Position;

    /// Ready once everything up to `position` would survive the loss of power.
    fn poll_durable(&self, position: Position, cx: &mut Context<'_>) -> Poll<Result<(), StoreError>>;
}
