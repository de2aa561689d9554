//! What flows of a core may do: exactly the topics of their snapshots; the core's role for signed HTTP (TG 7.1, 10.2, 11.3).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use marram_edge_ports::Credentials as CredentialsPort;
use marram_flow::topics::ThingTopics;
use marram_flow_runtime::{Authority, FlowAction, FlowPrincipal, Pending};
use marram_sigv4::Credentials;
use smol_str::SmolStr;

/// Topics of one deployment, from the side of the runtime.
#[derive(Debug, Clone, Default)]
struct Rules {
    publishes: BTreeSet<SmolStr>,
    receives: BTreeSet<SmolStr>,
}

impl Rules {
    fn of(topics: &BTreeMap<SmolStr, ThingTopics>) -> Self {
        let mut rules = Self::default();
        for thing in topics.values() {
            rules.publishes.extend(thing.receives.iter().cloned());
            rules.receives.extend(thing.publishes.iter().cloned());
        }
        rules
    }
}

/// The rules of all deployments on the core.
#[derive(Default)]
pub(crate) struct EdgeAuthority {
    /// By lower-case URN: the present snapshot's, and those of the one before, whose executions may still go on.
    rules: RwLock<HashMap<String, (Rules, Rules)>>,
    version: AtomicU64,
    credentials: Option<Arc<dyn CredentialsPort>>,
}

impl EdgeAuthority {
    pub(crate) fn new(credentials: Option<Arc<dyn CredentialsPort>>) -> Self {
        Self { credentials, ..Self::default() }
    }

    /// The deployment has these topics from now on.
    pub(crate) fn put(&self, deployment: &str, topics: &BTreeMap<SmolStr, ThingTopics>) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let entry = rules.entry(deployment.to_ascii_lowercase()).or_default();
        entry.1 = std::mem::replace(&mut entry.0, Rules::of(topics));
        drop(rules);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The deployment was refused: back to what was before.
    pub(crate) fn undo(&self, deployment: &str) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = rules.get_mut(&deployment.to_ascii_lowercase()) {
            entry.0 = std::mem::take(&mut entry.1);
        }
        drop(rules);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The deployment is gone.
    pub(crate) fn remove(&self, deployment: &str) {
        self.rules.write().unwrap_or_else(PoisonError::into_inner).remove(&deployment.to_ascii_lowercase());
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl Authority for EdgeAuthority {
    fn allows(&self, principal: &FlowPrincipal, action: FlowAction<'_>) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let Some((now, before)) = rules.get(&principal.deployment.to_ascii_lowercase()) else { return false };
        [now, before].into_iter().any(|rules| match action {
            FlowAction::Publish(topic) => rules.publishes.contains(topic),
            FlowAction::Receive(filter) => rules.receives.contains(filter),
            // The deployment itself allows them: buses and hosts are in its snapshot, the core's operator lists the hosts.
            FlowAction::ReadModbus(_) | FlowAction::WriteModbus(_) | FlowAction::InvokeWebService(_) => true,
        })
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn credentials<'a>(&'a self, _: &'a FlowPrincipal, _: &'a str) -> Pending<'a, Result<Arc<Credentials>, String>> {
        Box::pin(async move {
            let Some(port) = &self.credentials else {
                return Err("signed requests need the token exchange, which this core does not have".to_owned());
            };
            let found = port.credentials(Some(crate::COMPONENT)).await.map_err(|error| error.to_string())?;
            Ok(Arc::new(Credentials {
                access_key_id: found.access_key_id,
                secret: marram_types::SecretString::new(found.secret_access_key),
                session_token: Some(found.session_token),
            }))
        })
    }
}
