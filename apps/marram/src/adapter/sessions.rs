//! Live MQTT sessions, as the registry's device authority reaches them.

use marram_broker::{Broker, Selector, Tenant};
use marram_registry::LiveSessions;

/// The broker's connections.
pub struct BrokerSessions(pub Broker);

impl LiveSessions for BrokerSessions {
    fn reauthorize(&self, tenant: &Tenant, client_id: &str) {
        self.0.reauthorize(&Selector::ClientId(tenant, client_id));
    }
}
