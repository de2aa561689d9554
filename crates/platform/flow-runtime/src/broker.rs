//! The message port, answered by a broker in the same process.
//!
//! The runtime asks its [`crate::Authority`] before each publish and subscription, so local clients act with the whole
//! tenant's authority. Which tenant that is, is all that tells the control plane from a core: there a deployment lives in
//! its account and region, here in the one world of the core.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use marram_broker::{Broker, FullAuthority, LocalClient, LocalError, LocalPublisher, Message, Tenant};
use marram_mqtt::{QoS, Topic, TopicFilter};
use smol_str::SmolStr;

use crate::port::{Deliver, FlowPrincipal, Incoming, MessagePort, Outgoing, Pending, PortError, Subscription};

/// Name of the runtime's clients inside the broker.
const CLIENT_NAME: &str = "flow-runtime";

/// Publishers kept; beyond, all are forgotten and made anew when asked for, so that what was undeployed does not stay.
const PUBLISHERS_MAX: usize = 1_024;

/// The broker, as flows see it.
pub struct BrokerPort {
    broker: Broker,
    tenant: Box<dyn Fn(&FlowPrincipal) -> Tenant + Send + Sync>,
    /// By who publishes: the publisher carries the deployment's name.
    publishers: Mutex<HashMap<FlowPrincipal, LocalPublisher>>,
}

impl std::fmt::Debug for BrokerPort {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BrokerPort")
    }
}

impl BrokerPort {
    /// Flows publish to and subscribe at `broker`, each deployment in the world that `tenant` says.
    pub fn new(broker: Broker, tenant: impl Fn(&FlowPrincipal) -> Tenant + Send + Sync + 'static) -> Self {
        Self { broker, tenant: Box::new(tenant), publishers: Mutex::default() }
    }

    fn client(&self, principal: &FlowPrincipal) -> LocalClient {
        let authority = FullAuthority::new((self.tenant)(principal), &principal.deployment);
        self.broker.local_client(CLIENT_NAME, authority)
    }

    fn publisher(&self, principal: &FlowPrincipal) -> LocalPublisher {
        let mut publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = publishers.get(principal) {
            return known.clone();
        }
        if publishers.len() >= PUBLISHERS_MAX {
            publishers.clear();
        }
        let publisher = self.client(principal).publisher();
        publishers.insert(principal.clone(), publisher.clone());
        publisher
    }
}

impl MessagePort for BrokerPort {
    fn publish<'a>(&'a self, principal: &'a FlowPrincipal, message: Outgoing) -> Pending<'a, Result<(), PortError>> {
        Box::pin(async move {
            let topic = Topic::new(&message.topic).map_err(|error| PortError::Refused(error.to_string()))?;
            let qos = if message.at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            let message = Message::new(topic, message.payload).with_qos(qos);
            self.publisher(principal).publish(message).await.map_err(port_error)
        })
    }

    fn subscribe<'a>(
        &'a self,
        principal: &'a FlowPrincipal,
        filter: SmolStr,
        deliver: Deliver,
    ) -> Pending<'a, Result<Subscription, PortError>> {
        Box::pin(async move {
            let filter = TopicFilter::new(&filter).map_err(|error| PortError::Refused(error.to_string()))?;
            let mut client = self.client(principal);
            client.subscribe(&filter, QoS::AtLeastOnce).map_err(port_error)?;
            let task = tokio::spawn(async move {
                let mut received = Vec::new();
                loop {
                    client.recv_many(&mut received).await;
                    for item in received.drain(..) {
                        deliver(Incoming {
                            topic: SmolStr::new(&*item.message.topic),
                            payload: item.message.payload.clone(),
                            retained: item.retain,
                        });
                    }
                }
            });
            let subscription: Subscription = Box::new(Running(task.abort_handle()));
            Ok(subscription)
        })
    }
}

/// Ends the forwarding task, and with it the subscription, when dropped.
struct Running(tokio::task::AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn port_error(error: LocalError) -> PortError {
    match error {
        LocalError::Denied(_) => PortError::Denied,
        LocalError::Topic(_) | LocalError::Payload { .. } => PortError::Refused(error.to_string()),
        other => PortError::Unavailable(other.to_string()),
    }
}
