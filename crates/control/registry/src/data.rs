//! The service `iot-data`: publishing over HTTPS and retained messages (CP 5.11).
//!
//! It reaches messages through a [`MessagePort`]; [`BrokerMessages`] is that port over the broker of this process.
//! Shadows are a service of their own; connection operations answer that they are not supported.
//! [`Outbox`] publishes what services have to say after a transaction.

mod broker;
mod lanes;
mod outbox;
mod publish;
mod retained;

use std::sync::Arc;

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_broker::Message;
use marram_identity::{BoxFuture, CallContext, Service};
use serde_json::Value;

use crate::input::Input;
use crate::page::Tokens;
use crate::realm::Realm;
use crate::service::Registry;
pub use broker::BrokerMessages;
pub use lanes::Lanes;
pub use outbox::Outbox;

/// Why a message was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Topic or payload are beyond what a message may be; the text says which.
    #[error("{0}")]
    Refused(String),
    /// A quota of the account is spent.
    #[error("{0}")]
    Throttled(String),
    /// The message could not be made durable where it has to be.
    #[error("the message could not be stored")]
    Unavailable,
}

/// Messages of a realm. The caller has been authorized.
pub trait MessagePort: Send + Sync {
    /// Publishes; resolves once the message is as durable as its quality of service and retention ask for.
    fn publish<'a>(&'a self, realm: &'a Realm, message: Message) -> BoxFuture<'a, Result<(), PublishError>>;

    /// Publishes without waiting until the message is durable: answers and notifications of services. One that cannot be
    /// published is logged.
    fn publish_now(&self, realm: &Realm, message: Message);

    /// The retained message of a topic.
    fn retained(&self, realm: &Realm, topic: &str) -> Option<Arc<Message>>;

    /// At most `limit` retained messages behind topic `after`, sorted by topic.
    fn retained_after(&self, realm: &Realm, after: &str, limit: usize) -> Vec<Arc<Message>>;
}

/// The service `iot-data`. A cheap clone.
#[derive(Clone)]
pub struct DataService {
    inner: Arc<Inner>,
}

struct Inner {
    messages: Arc<dyn MessagePort>,
    tokens: Tokens,
}

impl std::fmt::Debug for DataService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataService")
    }
}

impl DataService {
    /// The service over these messages; its page tokens are signed as the registry's are.
    pub fn new(registry: &Registry, messages: Arc<dyn MessagePort>) -> Self {
        let tokens = Tokens::derived_from(registry.options().authority.key_pem().as_bytes());
        Self { inner: Arc::new(Inner { messages, tokens }) }
    }

    fn messages(&self) -> &dyn MessagePort {
        &*self.inner.messages
    }

    fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }
}

impl Service for DataService {
    fn id(&self) -> ServiceId {
        ServiceId::IotData
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == ServiceId::IotData
            && matches!(operation.name, "Publish" | "GetRetainedMessage" | "ListRetainedMessages")
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        let input = match Input::new(input) {
            Ok(input) => input,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        match operation.name {
            "Publish" => Box::pin(publish::publish(self, ctx, input)),
            "GetRetainedMessage" => Box::pin(retained::get_retained_message(self, ctx, input)),
            "ListRetainedMessages" => Box::pin(retained::list_retained_messages(self, ctx, input)),
            other => Box::pin(std::future::ready(Err(ApiError::not_supported(other)))),
        }
    }
}
