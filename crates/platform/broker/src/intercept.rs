//! Reserved topics: the port through which services answer publishes on `$aws/...`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use marram_mqtt::{ClientId, ReasonCode};

use crate::authorize::SessionAuthority;
use crate::message::Message;

/// What happens to a publish on a reserved topic.
pub enum Interception {
    /// No service knows the topic: the connection ends (CP 5.8).
    Unknown,
    /// Deliver it to subscribers like any other message.
    Route,
    /// Taken; nobody else sees it. A QoS 1 publish is acknowledged at once.
    Consumed,
    /// Taken; a QoS 1 publish is acknowledged when the future is done, with its reason (towards 3.1.1 a failure
    /// closes the connection). The broker polls it in a task of its own.
    Pending(Pin<Box<dyn Future<Output = ReasonCode> + Send>>),
}

/// Who published on a reserved topic.
pub struct Origin {
    /// Client id of the session, or the local client's name.
    pub client_id: ClientId,
    /// Its authority; the policy already allowed the publish itself.
    pub authority: Arc<dyn SessionAuthority>,
    /// Delivers a message to this very session whether or not it subscribed (jobs and provisioning answers).
    pub reply: Arc<dyn Reply>,
}

/// A way back to one session.
pub trait Reply: Send + Sync {
    /// Queues `message` for the session, unless it is gone or the message already reaches it by subscription.
    fn deliver(&self, message: Message);

    /// Queues `message` for the session whatever it subscribed to: answers that nobody else may see and that are therefore
    /// not published.
    fn deliver_privately(&self, message: Message);
}

/// Answers publishes whose topic starts with `$aws/`. Called by connections after policy allowed the publish,
/// never for local clients: these are the services themselves.
pub trait Interceptor: Send + Sync + 'static {
    /// Must not block; long work goes into [`Interception::Pending`].
    fn publish(&self, origin: Origin, message: &Message) -> Interception;
}
