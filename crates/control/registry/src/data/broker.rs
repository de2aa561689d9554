//! The broker of this process as a [`MessagePort`], and as what the device authority notifies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use marram_broker::{Broker, FullAuthority, LocalError, LocalPublisher, Message, Selector, Tenant};
use marram_identity::BoxFuture;

use super::{MessagePort, PublishError};
use crate::authority::LiveSessions;
use crate::realm::Realm;

/// Name of the data plane's clients inside the broker.
const CLIENT_NAME: &str = "iot-data";

/// Publishes with the authority of the whole realm: the IAM decision was made before.
pub struct BrokerMessages {
    broker: Broker,
    publishers: Mutex<HashMap<Tenant, LocalPublisher>>,
}

impl std::fmt::Debug for BrokerMessages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BrokerMessages")
    }
}

impl BrokerMessages {
    /// The messages of this broker.
    pub fn new(broker: Broker) -> Self {
        Self { broker, publishers: Mutex::default() }
    }

    fn publisher(&self, realm: &Realm) -> LocalPublisher {
        let tenant = realm.tenant();
        let mut publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        let connect = || self.broker.local_client(CLIENT_NAME, FullAuthority::new(tenant.clone(), CLIENT_NAME));
        publishers.entry(tenant.clone()).or_insert_with(|| connect().publisher()).clone()
    }
}

impl MessagePort for BrokerMessages {
    fn publish<'a>(&'a self, realm: &'a Realm, message: Message) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            self.publisher(realm).publish(message).await.map_err(|error| match error {
                LocalError::Topic(_) | LocalError::Payload { .. } | LocalError::Denied(_) => {
                    PublishError::Refused(error.to_string())
                }
                LocalError::RetainedQuota(_) => PublishError::Throttled(error.to_string()),
                other => {
                    tracing::error!(error = %other, "a publish was not stored");
                    PublishError::Unavailable
                }
            })
        })
    }

    fn publish_now(&self, realm: &Realm, message: Message) {
        if let Err(error) = self.publisher(realm).publish_now(message) {
            tracing::warn!(%error, "a message of a service was not published");
        }
    }

    fn retained(&self, realm: &Realm, topic: &str) -> Option<Arc<Message>> {
        self.broker.retained(&realm.tenant(), topic)
    }

    fn retained_after(&self, realm: &Realm, after: &str, limit: usize) -> Vec<Arc<Message>> {
        let messages = self.broker.retained_messages(&realm.tenant());
        let start = messages.partition_point(|message| message.topic.as_str() <= after);
        messages.into_iter().skip(start).take(limit).collect()
    }
}

impl LiveSessions for Broker {
    fn reauthorize(&self, tenant: &Tenant, client_id: &str) {
        Broker::reauthorize(self, &Selector::ClientId(tenant, client_id));
    }
}
