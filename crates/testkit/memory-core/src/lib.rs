//! A core in memory: every port of the IPC door with small, true behaviour, for tests, benchmarks and examples.

mod keeping;
mod running;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use marram_edge_ports::{
    Caller, CallerKind, ChangedPath, CloudMessage, ComponentDetails, ComponentMetric, ComponentState, DeploymentRecord,
    Peer, PortError,
};
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};

/// Id of the deployment that asks those who subscribe to updates and validations.
pub const ASKING_DEPLOYMENT: &str = "asking";
/// A secret that is kept.
pub const SECRET_NAME: &str = "database";
/// Its ARN.
pub const SECRET_ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:database-AbCdEf";
/// A client device certificate that is valid.
pub const DEVICE_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nvalid\n-----END CERTIFICATE-----\n";

/// See the module.
pub struct MemoryCore {
    state: Mutex<State>,
    access_control: watch::Sender<Arc<BTreeMap<SmolStr, Value>>>,
    connected: watch::Sender<bool>,
    revoked: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    tokens: HashMap<String, Caller>,
    components: BTreeMap<SmolStr, ComponentDetails>,
    newest_leaf: HashMap<SmolStr, i64>,
    watchers: Vec<(ChangedPath, mpsc::Sender<ChangedPath>)>,
    deployments: BTreeMap<String, DeploymentRecord>,
    cloud: Vec<(String, mpsc::Sender<CloudMessage>)>,
    shadows: BTreeMap<(String, String), Bytes>,
    metrics: Vec<(String, ComponentMetric)>,
    questions: Vec<SmolStr>,
}

impl Default for MemoryCore {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            access_control: watch::Sender::new(Arc::default()),
            connected: watch::Sender::new(true),
            revoked: watch::Sender::new(()),
        }
    }
}

impl MemoryCore {
    /// Without components.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a running component; its token is its name with `-token` behind it.
    pub fn add_component(&self, name: &str, configuration: Value) {
        let details = ComponentDetails {
            name: name.into(),
            version: "1.0.0".into(),
            state: ComponentState::Running,
            configuration,
            status_codes: Vec::new(),
            status_reason: None,
            is_root: true,
            builtin: false,
        };
        let caller = Caller { name: name.into(), kind: CallerKind::Component };
        let mut state = self.state();
        state.components.insert(name.into(), details);
        state.tokens.insert(format!("{name}-token"), caller);
        drop(state);
        self.publish_access_control();
    }

    /// Makes a component's token worthless.
    pub fn revoke(&self, name: &str) {
        self.state().tokens.remove(&format!("{name}-token"));
        self.revoked.send_replace(());
    }

    /// Lets an operator in with this token.
    pub fn add_operator(&self, token: &str) {
        let caller = Caller { name: "greengrass-cli#user-0".into(), kind: CallerKind::Operator };
        self.state().tokens.insert(token.to_owned(), caller);
    }

    /// Replaces a component's policies.
    pub fn set_access_control(&self, component: &str, policies: Value) {
        if let Some(details) = self.state().components.get_mut(component) {
            details.configuration["accessControl"] = policies;
        }
        self.publish_access_control();
    }

    fn publish_access_control(&self) {
        let policies = |(name, details): (&SmolStr, &ComponentDetails)| {
            details.configuration.get("accessControl").map(|policies| (name.clone(), policies.clone()))
        };
        let all = self.state().components.iter().filter_map(policies).collect();
        self.access_control.send_replace(Arc::new(all));
    }

    /// Raises or drops the line to the control plane.
    pub fn set_connected(&self, connected: bool) {
        self.connected.send_replace(connected);
    }

    /// Metrics that were put, with who put them.
    pub fn metrics(&self) -> Vec<(String, ComponentMetric)> {
        self.state().metrics.clone()
    }
}

/// Policies that allow every operation on every resource.
pub fn allow_everything() -> Value {
    let services = [
        "aws.greengrass.ipc.pubsub",
        "aws.greengrass.ipc.mqttproxy",
        "aws.greengrass.SecretManager",
        "aws.greengrass.ShadowManager",
        "aws.greengrass.ipc.lifecycle",
        "aws.greengrass.clientdevices.Auth",
        "aws.greengrass.Cli",
        "aws.greengrass.ipc.componentmetric",
    ];
    let policy = |service: &&str| (service.to_string(), json!({"all": {"operations": ["*"], "resources": ["*"]}}));
    Value::Object(services.iter().map(policy).collect())
}

fn missing(kind: &str, name: &str, message: &str) -> PortError {
    PortError::ResourceNotFound {
        message: message.to_owned(),
        resource_type: Some(kind.to_owned()),
        resource_name: Some(name.to_owned()),
    }
}

impl marram_edge_ports::Identities for MemoryCore {
    fn authenticate(&self, token: &str, _peer: Peer) -> Option<Caller> {
        self.state().tokens.get(token).cloned()
    }

    fn owner_of(&self, token: &str) -> Option<Caller> {
        self.state().tokens.get(token).cloned()
    }

    fn revocations(&self) -> Option<watch::Receiver<()>> {
        Some(self.revoked.subscribe())
    }
}
