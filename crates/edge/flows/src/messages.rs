//! The runtime's message port, answered by the broker of the core.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use marram_broker::{Broker, FullAuthority, LocalClient, LocalError, LocalPublisher, Message, Tenant};
use marram_flow_runtime::{Deliver, FlowPrincipal, Incoming, MessagePort, Outgoing, Pending, PortError, Subscription};
use marram_mqtt::{QoS, Topic, TopicFilter};
use smol_str::SmolStr;

/// Publishers kept; beyond, all are made anew when asked for.
const PUBLISHERS_MAX: usize = 256;

/// The local broker, as flows see it. What a deployment may say and hear is asked of the runtime's authority first.
pub(crate) struct LocalMessages {
    broker: Broker,
    tenant: Tenant,
    publishers: Mutex<HashMap<SmolStr, LocalPublisher>>,
}

impl LocalMessages {
    pub(crate) fn new(broker: Broker, tenant: Tenant) -> Self {
        Self { broker, tenant, publishers: Mutex::default() }
    }

    fn client(&self, principal: &FlowPrincipal) -> LocalClient {
        let authority = FullAuthority::new(self.tenant.clone(), &principal.deployment);
        self.broker.local_client(crate::COMPONENT, authority)
    }

    fn publisher(&self, principal: &FlowPrincipal) -> LocalPublisher {
        let mut publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = publishers.get(&principal.deployment) {
            return known.clone();
        }
        if publishers.len() >= PUBLISHERS_MAX {
            publishers.clear();
        }
        let publisher = self.client(principal).publisher();
        publishers.insert(principal.deployment.clone(), publisher.clone());
        publisher
    }
}

impl MessagePort for LocalMessages {
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
            let subscription: Subscription = Box::new(Forwarding(task.abort_handle()));
            Ok(subscription)
        })
    }
}

/// Ends the forwarding task, and with it the subscription, when dropped.
struct Forwarding(tokio::task::AbortHandle);

impl Drop for Forwarding {
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
