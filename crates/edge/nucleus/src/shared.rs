//! What the actor and the ports have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marram_configuration::{Origin, Write};
use marram_edge_ports::{ComponentState as State, Files, PortError, StateChange};
use marram_supervisor::{OwnUsers, Supervisor, Users};
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::configuration::{ConfigurationError, ConfigurationStore};
use crate::engine::Command;
use crate::graph::parse_dependency;
use crate::lifecycle::{Failure, Lifecycle};
use crate::reaction::{at, dependencies};
use crate::settings;
use crate::tokens::Tokens;

/// Parts of the runtime that stand in the tree and in lists without being deployed (CR 4.6).
const BUILTIN: [&str; 5] = [
    "DeploymentService",
    "FleetStatusService",
    "UpdateSystemPolicyService",
    "TelemetryAgent",
    "aws.greengrass.Nucleus",
];

/// Components of the original that this program does itself: when deployed they run without a process.
const NATIVE: [&str; 13] = [
    "aws.greengrass.NucleusLite",
    "aws.greengrass.TokenExchangeService",
    "aws.greengrass.Cli",
    "aws.greengrass.ShadowManager",
    "aws.greengrass.SecretManager",
    "aws.greengrass.DiskSpooler",
    "aws.greengrass.LocalDebugConsole",
    "aws.greengrass.clientdevices.Auth",
    "aws.greengrass.clientdevices.IPDetector",
    "aws.greengrass.clientdevices.mqtt.Moquette",
    "aws.greengrass.clientdevices.mqtt.EMQX",
    "aws.greengrass.crypto.Pkcs11Provider",
    "marram.FlowRuntime",
];

/// Hands out the core's credentials.
const TOKEN_EXCHANGE: &str = "aws.greengrass.TokenExchangeService";

/// The pseudo-component that all roots hang on.
const MAIN: &str = "main";

/// State changes a slow listener may be behind.
pub(crate) const CHANGES_PENDING: usize = 256;

pub(crate) fn builtin_services() -> impl Iterator<Item = &'static str> {
    BUILTIN.into_iter().filter(|name| !name.starts_with("aws."))
}

/// Whether a part of the runtime stands behind this name.
pub(crate) fn is_builtin(name: &str) -> bool {
    BUILTIN.contains(&name)
}

/// Whether an entry of the core's own has this name: no component, and never removed like one.
pub(crate) fn is_own(name: &str) -> bool {
    std::iter::once(MAIN).chain(BUILTIN).any(|own| own.eq_ignore_ascii_case(name))
}

/// A component's state as others see it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) state: State,
    pub(crate) failure: Option<Failure>,
    pub(crate) reached: bool,
    /// When it counts as come up; none when nothing of it can die any more.
    pub(crate) settles_at: Option<Instant>,
}

impl Shown {
    /// The machine's clock began at `began`.
    pub(crate) fn of(machine: &Lifecycle, began: Instant) -> Self {
        let settles_at = machine.settles_at().and_then(|at| u64::try_from(at).ok());
        Self {
            state: machine.state(),
            failure: machine.failure().cloned(),
            reached: machine.is_reached(),
            settles_at: settles_at.map(|at| began + Duration::from_millis(at)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) ipc_socket: PathBuf,
    pub(crate) version: String,
    pub(crate) own_environment: Vec<(String, String)>,
    pub(crate) store: ConfigurationStore,
    pub(crate) supervisor: Supervisor,
    pub(crate) users: Users,
    pub(crate) own_users: Option<OwnUsers>,
    pub(crate) socket_group: Option<u32>,
    pub(crate) tokens: Tokens,
    pub(crate) states: RwLock<BTreeMap<SmolStr, Shown>>,
    pub(crate) changes: broadcast::Sender<StateChange>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) credentials: RwLock<Option<String>>,
    /// Components whose processes may have the core's credentials.
    pub(crate) entitled: RwLock<BTreeSet<SmolStr>>,
    /// Told whenever the set of components may be another.
    pub(crate) sets: watch::Sender<()>,
    /// Looks at a component's files before a script of it is started.
    pub(crate) files: OnceLock<Guard>,
}

/// Knows what files have to be.
#[derive(Clone)]
pub(crate) struct Guard(pub(crate) Arc<dyn Files>);

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

impl Shared {
    pub(crate) async fn send(&self, command: Command) {
        // The actor is gone only after everything was closed.
        let _ = self.commands.send(command).await;
    }

    pub(crate) fn credentials_uri(&self) -> Option<String> {
        self.credentials.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn show(&self, name: &SmolStr, shown: Shown) {
        self.states.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), shown);
    }

    pub(crate) fn shown(&self, name: &str) -> Option<Shown> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn announce(&self, change: StateChange) {
        // Nobody may be listening.
        let _ = self.changes.send(change);
    }

    /// Whether `name` is a part of the runtime: always there, or deployed and done by this program.
    pub(crate) fn has_part(&self, name: &str) -> bool {
        is_builtin(name) || self.deployed_part(name)
    }

    fn deployed_part(&self, name: &str) -> bool {
        self.store.tree().read(&["services", name]).is_some_and(|service| is_part(name, &service))
    }

    /// Whether `main` reaches this name over dependencies of any kind: it then belongs to the set that runs. What a deployment
    /// left in the tree does not.
    pub(crate) fn is_in_set(&self, name: &str) -> bool {
        self.reaches(vec![SmolStr::new_static(MAIN)], name)
    }

    /// Whether one of `next` is `name`, or depends on it, itself or through others.
    fn reaches(&self, mut next: Vec<SmolStr>, name: &str) -> bool {
        let mut seen = BTreeSet::new();
        while let Some(one) = next.pop() {
            if one == name {
                return true;
            }
            if seen.contains(&one) {
                continue;
            }
            let service = self.store.read(&["services", &one]).unwrap_or_default();
            next.extend(dependencies(&service).into_iter().map(|text| parse_dependency(text).0));
            seen.insert(one);
        }
        false
    }

    /// Decides as a step of the component is started whether its processes may have the core's credentials: when it says that it needs
    /// the token exchange, itself or through its dependencies (CR 8.1, 8.3), or when the operator opened it to all.
    pub(crate) fn entitle(&self, name: &SmolStr, service: &Value) -> bool {
        let needs = dependencies(service).into_iter().map(|text| parse_dependency(text).0).collect();
        let is_entitled = settings::opens_token_exchange(&self.store.tree()) || self.reaches(needs, TOKEN_EXCHANGE);
        let mut entitled = self.entitled.write().unwrap_or_else(PoisonError::into_inner);
        if is_entitled {
            entitled.insert(name.clone());
        } else {
            entitled.remove(name);
        }
        is_entitled
    }

    pub(crate) fn is_entitled(&self, name: &str) -> bool {
        self.entitled.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Parts of the runtime to list, with their trees.
    pub(crate) fn parts(&self) -> BTreeMap<SmolStr, Value> {
        let services = self.store.read(&["services"]).unwrap_or_default();
        let deployed = services.as_object().into_iter().flatten().filter(|(name, service)| is_part(name, service));
        let mut parts: BTreeMap<SmolStr, Value> =
            deployed.map(|(name, service)| (name.into(), service.clone())).collect();
        for name in BUILTIN {
            parts.entry(name.into()).or_default();
        }
        parts
    }

    /// Components that have processes, with their trees.
    pub(crate) fn components(&self) -> BTreeMap<SmolStr, Value> {
        let services = match self.store.read(&["services"]) {
            Some(Value::Object(services)) => services,
            _ => return BTreeMap::new(),
        };
        services
            .into_iter()
            .filter(|(name, service)| name != MAIN && !name.starts_with('_') && service.is_object())
            .filter(|(name, service)| !is_part(name, service))
            .map(|(name, service)| (name.into(), service))
            .collect()
    }

    /// Removes a component from the tree.
    pub(crate) async fn forget(&self, name: &str) -> Result<(), PortError> {
        self.states.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.tokens.revoke(name);
        let write = Write { time: wall_ms(), origin: Origin::Runtime, force: true };
        let removed =
            self.store.write::<_, ConfigurationError>(|tree| Ok(((), tree.remove(&["services", name], &write))));
        let removed = removed.await.map_err(|error| PortError::service(error.to_string()));
        self.sets.send_replace(());
        removed
    }

    /// Names listed as dependencies of `main`, or marked as roots by the deployment service.
    pub(crate) fn roots(&self) -> Vec<SmolStr> {
        let mut roots: Vec<SmolStr> = Vec::new();
        if let Some(main) = self.store.read(&["services", MAIN]) {
            roots.extend(dependencies(&main).into_iter().map(|text| parse_dependency(text).0));
        }
        if let Some(Value::Object(groups)) =
            self.store.read(&["services", "DeploymentService", "GroupToRootComponents"])
        {
            let names = groups.values().filter_map(Value::as_object).flat_map(|components| components.keys());
            roots.extend(names.map(SmolStr::from));
        }
        roots
    }
}

/// Native components, and those whose type has no processes.
fn is_part(name: &str, service: &Value) -> bool {
    let kind = at(service, &["componentType"]).and_then(Value::as_str).unwrap_or_default();
    is_builtin(name) || NATIVE.contains(&name) || kind.eq_ignore_ascii_case("NUCLEUS")
}

/// Milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
