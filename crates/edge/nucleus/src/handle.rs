//! The nucleus as the other parts of the core hold it: one handle, four ports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use marram_configuration::{Behavior, ConfigurationUpdate, Mode, Origin, Tree, UpdateError, Write};
use marram_edge_ports::{
    ApplyMode, BootstrapOutcome, Caller, ChangedPath, ComponentDetails, ComponentState as State, Components,
    Configuration, Files, Identities, Later, LeafOrigin, Nucleus, Peer, PortError, Provenance, ReportedState,
    Sandboxes, StateChange,
};
use marram_reach::Reach;
use marram_supervisor::{Local, OwnUsers, Profile, Supervisor, Users};
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::configuration::{ConfigurationError, ConfigurationStore};
use crate::engine::{Command, Engine};
use crate::lifecycle::Step;
use crate::plan;
use crate::reaction::at;
use crate::settings::{self, sandbox};
use crate::shared::{self, CHANGES_PENDING, Guard, Shared, Shown, is_builtin, wall_ms};

/// Commands and ends of processes that may wait for the actor.
const COMMANDS_PENDING: usize = 1024;

/// What a nucleus is started with.
#[derive(Debug)]
pub struct NucleusOptions {
    /// The root directory.
    pub root: PathBuf,
    /// Path of the IPC socket that components are told.
    pub ipc_socket: PathBuf,
    /// `GGC_VERSION`.
    pub version: String,
    /// The core's own environment, of which little is passed on.
    pub own_environment: Vec<(String, String)>,
    /// Users for components that none is configured for; none when the core cannot become somebody else.
    pub own_users: Option<OwnUsers>,
    /// The group that may open the IPC socket: every component is put into it.
    pub socket_group: Option<u32>,
}

/// The running nucleus; a cheap clone.
#[derive(Debug, Clone)]
pub struct NucleusHandle {
    shared: Arc<Shared>,
}

impl NucleusHandle {
    /// Starts the actor on the runtime of the caller; components begin with [`NucleusHandle::start_components`].
    pub fn start(options: NucleusOptions, store: ConfigurationStore, supervisor: Supervisor) -> Self {
        let (commands, queue) = mpsc::channel(COMMANDS_PENDING);
        let shared = Arc::new(Shared {
            root: options.root,
            ipc_socket: options.ipc_socket,
            version: options.version,
            own_environment: options.own_environment,
            store,
            supervisor,
            users: Users::default(),
            own_users: options.own_users,
            socket_group: options.socket_group,
            tokens: Default::default(),
            states: Default::default(),
            changes: broadcast::Sender::new(CHANGES_PENDING),
            commands,
            credentials: Default::default(),
            entitled: Default::default(),
            sets: watch::Sender::new(()),
            files: Default::default(),
        });
        tokio::spawn(Engine::new(Arc::clone(&shared), queue).run());
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.store.keep_dump().await }
        });
        Self { shared }
    }

    /// Starts every component of the tree.
    pub async fn start_components(&self) {
        let _ = self.ask(|reply| Command::Reconcile { deployment: false, reply }).await;
    }

    /// Components are told where credentials are from now on.
    pub fn set_credentials_uri(&self, uri: Option<String>) {
        *self.shared.credentials.write().unwrap_or_else(PoisonError::into_inner) = uri;
    }

    /// From now on no script of a component is started before its files were looked at. The first call counts.
    pub fn guard_files(&self, files: Arc<dyn Files>) {
        // A second guard would be that of another core.
        let _ = self.shared.files.set(Guard(files));
    }

    /// A service of the core that sandboxed components find at their own loopback; only those that were promised it.
    pub fn serve_inside(&self, local: Local) {
        self.shared.supervisor.serve_inside(local);
    }

    /// Tells whenever the set of components may be another, or one of them.
    pub fn sets(&self) -> watch::Receiver<()> {
        self.shared.sets.subscribe()
    }

    /// The tree of a part of the runtime that is deployed now: `main` needs it, directly or through others.
    pub fn part(&self, name: &str) -> Option<Value> {
        let part = self.shared.store.read(&["services", name])?;
        (self.shared.has_part(name) && self.shared.is_in_set(name)).then_some(part)
    }

    /// Whether a component may have the core's credentials: it depends on the token exchange.
    pub fn may_have_credentials(&self, component: &str) -> bool {
        self.shared.is_entitled(component)
    }

    /// A token for a person with this uid (CR 7.2).
    pub fn issue_operator_token(&self, uid: u32) -> String {
        self.shared.tokens.of_operator(uid)
    }

    /// The durable tree, for settings of other parts.
    pub fn store(&self) -> &ConfigurationStore {
        &self.shared.store
    }

    /// The sandbox profile of each component that has scripts. `Err` tells why it cannot start.
    pub fn profiles(&self) -> BTreeMap<SmolStr, Result<Profile, String>> {
        let tree = self.shared.store.tree();
        let services = self.shared.components().into_iter().filter(|(_, service)| has_scripts(service));
        services.map(|(name, service)| (name, sandbox::profile(&tree, &service))).collect()
    }

    /// Whether the processes of a component that run now are in a sandbox, whatever its configuration says since they were started; of
    /// components with privileged scripts, which are in none, and where the kernel does not tell, nothing.
    pub fn sandboxed(&self) -> BTreeMap<SmolStr, bool> {
        let is_privileged = |service: &Value| {
            let plans = [Step::Startup, Step::Run].map(|step| plan::step(service, step).ok().flatten());
            plans.into_iter().flatten().any(|plan| plan.privileged)
        };
        let services = self.shared.components().into_iter().filter(|(_, service)| !is_privileged(service));
        services.filter_map(|(name, _)| Some((name.clone(), self.shared.supervisor.is_sandboxed(&name)?))).collect()
    }

    /// What each component may connect to; nothing without a script that could. `Err` tells why it cannot start.
    pub fn reaches(&self) -> BTreeMap<SmolStr, Result<Reach, String>> {
        let tree = self.shared.store.tree();
        let reach = |service: &Value| match has_scripts(service) {
            true => sandbox::reach(&tree, service),
            false => Ok(Reach::Nothing),
        };
        self.shared.components().into_iter().map(|(name, service)| (name, reach(&service))).collect()
    }

    /// Whether a component is refused when the host lacks a layer of its sandbox.
    pub fn requires_sandboxes(&self) -> bool {
        sandbox::is_required(&self.shared.store.tree())
    }

    /// Closes all components, dependents first, within 30 s; then the store.
    pub async fn close(&self) {
        let _ = self.ask(|reply| Command::Close { reply }).await;
        self.shared.store.dump();
        self.shared.store.close();
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, PortError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(command(reply)).await;
        answer.await.map_err(|_| PortError::service("the core is shutting down"))
    }

    fn describe(&self, name: &SmolStr, service: &Value, shown: Option<Shown>, roots: &[SmolStr]) -> ComponentDetails {
        let text = |key: &str| at(service, &[key]).and_then(Value::as_str).unwrap_or_default();
        let builtin = shown.is_none();
        let version = match text("version") {
            "" if name == "aws.greengrass.Nucleus" => self.shared.version.as_str(),
            version => version,
        };
        let failure = shown.as_ref().and_then(|shown| shown.failure.as_ref());
        ComponentDetails {
            name: name.clone(),
            version: version.into(),
            state: shown.as_ref().map_or(State::Running, |shown| shown.state),
            configuration: at(service, &["configuration"])
                .cloned()
                .unwrap_or_else(|| Value::Object(Default::default())),
            status_codes: failure.map(|failure| failure.code.as_str()).into_iter().collect(),
            status_reason: failure.map(|failure| failure.reason.clone()),
            is_root: roots.contains(name),
            builtin,
        }
    }

    fn exists(&self, component: &str) -> bool {
        is_builtin(component) || self.shared.store.read(&["services", component]).is_some()
    }
}

impl From<ConfigurationError> for PortErrorOf {
    fn from(error: ConfigurationError) -> Self {
        Self(PortError::service(error.to_string()))
    }
}

/// Carries a [`PortError`] through the store.
struct PortErrorOf(PortError);

impl From<UpdateError> for PortErrorOf {
    fn from(error: UpdateError) -> Self {
        let text = error.to_string();
        Self(match error {
            UpdateError::Stale(_) => PortError::FailedUpdateCondition(text),
            _ => PortError::InvalidArguments(text),
        })
    }
}

impl Components for NucleusHandle {
    fn list(&self) -> Vec<ComponentDetails> {
        let roots = self.shared.roots();
        let mut all: Vec<ComponentDetails> =
            self.shared.parts().iter().map(|(name, service)| self.describe(name, service, None, &roots)).collect();
        let states = self.shared.states.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, shown) in states {
            let service = self.shared.store.read(&["services", &name]).unwrap_or_default();
            all.push(self.describe(&name, &service, Some(shown), &roots));
        }
        all
    }

    fn details(&self, name: &str) -> Option<ComponentDetails> {
        let name = SmolStr::from(name);
        let roots = self.shared.roots();
        if let Some(shown) = self.shared.shown(&name) {
            let service = self.shared.store.read(&["services", &name]).unwrap_or_default();
            return Some(self.describe(&name, &service, Some(shown), &roots));
        }
        let parts = self.shared.parts();
        parts.get(&name).map(|service| self.describe(&name, service, None, &roots))
    }

    fn restart<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async move { self.ask(|reply| Command::Restart { component: name.into(), reply }).await? })
    }

    fn stop<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>> {
        Box::pin(async move { self.ask(|reply| Command::Stop { component: name.into(), reply }).await? })
    }

    fn pause<'a>(&'a self, name: &'a str) -> Later<'a, ()> {
        Box::pin(
            async move { self.ask(|reply| Command::Freeze { component: name.into(), frozen: true, reply }).await? },
        )
    }

    fn resume<'a>(&'a self, name: &'a str) -> Later<'a, ()> {
        Box::pin(
            async move { self.ask(|reply| Command::Freeze { component: name.into(), frozen: false, reply }).await? },
        )
    }

    fn report_state(&self, name: &str, state: ReportedState) -> Result<(), PortError> {
        if self.shared.shown(name).is_none() {
            return if self.exists(name) { Ok(()) } else { Err(PortError::no_component(name)) };
        }
        let command = Command::Report { component: name.into(), state };
        self.shared.commands.try_send(command).map_err(|_| PortError::service("the core is busy"))
    }
}

impl Configuration for NucleusHandle {
    fn read(&self, component: &str, path: &[SmolStr]) -> Result<Value, PortError> {
        let at: Vec<&str> =
            ["services", component, "configuration"].into_iter().chain(path.iter().map(SmolStr::as_str)).collect();
        if let Some(value) = self.shared.store.tree().read(&at) {
            return Ok(value);
        }
        if !self.exists(component) {
            return Err(PortError::no_component(component));
        }
        if path.is_empty() {
            return Ok(Value::Object(Default::default()));
        }
        Err(PortError::ResourceNotFound {
            message: "Key not found".to_owned(),
            resource_type: Some("key".to_owned()),
            resource_name: Some(path.join(".")),
        })
    }

    fn update<'a>(&'a self, component: &'a str, path: &'a [SmolStr], timestamp: i64, value: Value) -> Later<'a, ()> {
        Box::pin(async move {
            if !self.exists(component) {
                return Err(PortError::no_component(component));
            }
            let write = Write::new(timestamp, Origin::Ipc(component.into()));
            let base = ["services", component, "configuration"];
            let done = self.shared.store.write_of_component::<_, PortErrorOf>(|tree| {
                Ok(((), tree.update_configuration(&base, path, &value, &write)?))
            });
            done.await.map_err(|error| error.0)
        })
    }

    fn watch(&self, component: &str, path: &[SmolStr]) -> Result<mpsc::Receiver<ChangedPath>, PortError> {
        self.read(component, path)?;
        Ok(self.shared.store.watch(component, path))
    }

    fn origins(&self, component: &str, path: &[SmolStr]) -> Vec<LeafOrigin> {
        let base = ["services", component, "configuration"];
        let at: Vec<&str> = base.into_iter().chain(path.iter().map(SmolStr::as_str)).collect();
        let leaves = self.shared.store.tree().explain(&at);
        leaves
            .into_iter()
            .map(|leaf| LeafOrigin {
                path: leaf.path[base.len()..].to_vec(),
                timestamp: leaf.modified,
                source: (leaf.origin != Origin::Unknown).then(|| leaf.origin.to_string()),
            })
            .collect()
    }

    fn access_control(&self) -> watch::Receiver<Arc<BTreeMap<SmolStr, Value>>> {
        self.shared.store.access_control()
    }
}

impl Identities for NucleusHandle {
    fn authenticate(&self, token: &str, peer: Peer) -> Option<Caller> {
        let holder = self.shared.tokens.holder(token)?;
        let fits = match holder.uid {
            Some(uid) => peer.uid == uid,
            None => {
                let component = &holder.caller.name;
                !settings::checks_peer(&self.shared.store.tree(), component)
                    || self.shared.supervisor.owner_of(peer.pid).as_ref() == Some(component)
            }
        };
        if !fits {
            tracing::warn!(owner = %holder.caller.name, pid = peer.pid, uid = peer.uid, "token presented by a stranger");
        }
        fits.then_some(holder.caller)
    }

    fn owner_of(&self, token: &str) -> Option<Caller> {
        self.shared.tokens.holder(token).map(|holder| holder.caller)
    }

    fn revocations(&self) -> Option<watch::Receiver<()>> {
        Some(self.shared.tokens.revocations())
    }
}

/// Whether a component can have a process.
fn has_scripts(service: &Value) -> bool {
    const STEPS: [Step; 7] =
        [Step::Install, Step::Startup, Step::Run, Step::Shutdown, Step::Recover, Step::Uninstall, Step::Bootstrap];
    STEPS.iter().any(|step| !matches!(plan::step(service, *step), Ok(None)))
}

impl Sandboxes for NucleusHandle {
    fn learned(&self, component: &str) -> Result<Value, PortError> {
        let reach = self.reaches().remove(component).ok_or_else(|| PortError::no_component(component))?;
        let reach = reach.map_err(PortError::service)?;
        let policy = match &reach {
            Reach::Held(policy) => policy,
            Reach::Open => return Ok(json!({"componentName": component, "network": "open"})),
            Reach::Nothing => return Ok(json!({"componentName": component, "network": "none"})),
        };
        let ledger = self.shared.supervisor.ledger(component);
        let entries = ledger.as_ref().map(|ledger| ledger.entries()).unwrap_or_default();
        let seen = entries.into_iter().map(|(host, port, entry)| {
            let port = (port > 0).then_some(port);
            json!({"host": host, "port": port, "connections": entry.allowed, "refused": entry.refused,
                   "failed": entry.failed, "tls": entry.tls, "reason": entry.reason})
        });
        let proposal = ledger.map(|ledger| ledger.proposal(policy));
        let (rules, portless) =
            proposal.unwrap_or_else(|| (policy.to_value().as_array().cloned().unwrap_or_default(), Vec::new()));
        Ok(json!({
            "componentName": component,
            "network": if policy.learn { "learn" } else { "declared" },
            "seen": seen.collect::<Vec<_>>(),
            "merge": {"marram": {"sandbox": {"egress": rules}}},
            "namesWithoutPort": portless,
        }))
    }
}

impl Nucleus for NucleusHandle {
    fn snapshot(&self) -> Value {
        self.shared.store.tree().to_timed_value()
    }

    fn get(&self, path: &[&str]) -> Option<Value> {
        self.shared.store.read(path)
    }

    fn put<'a>(&'a self, path: &'a [&'a str], value: Value) -> Later<'a, ()> {
        Box::pin(async move {
            let write = Write { time: wall_ms(), origin: Origin::Runtime, force: true };
            let done = self.shared.store.write::<_, PortErrorOf>(|tree| {
                Ok(((), tree.apply(path, &value, &Behavior::all(Mode::Replace), &write)))
            });
            done.await.map_err(|error| error.0)
        })
    }

    fn apply(&self, services: Value, timestamp: i64, mode: ApplyMode) -> Later<'_, ()> {
        Box::pin(async move {
            match mode {
                ApplyMode::Deployment => {
                    let now = wall_ms();
                    let behavior = Behavior::deployment_at(shared::builtin_services(), timestamp, now);
                    let write = Write::new(now, Origin::Deployment(timestamp.to_string().into()));
                    let done = self.shared.store.write::<_, PortErrorOf>(|tree| {
                        Ok(((), tree.apply(&["services"], &services, &behavior, &write)))
                    });
                    done.await.map_err(|error| error.0)?;
                }
                ApplyMode::Rollback => {
                    let snapshot = Tree::from_timed_value(&services)
                        .map_err(|error| PortError::InvalidArguments(error.to_string()))?;
                    // What the runtime itself remembers is not taken back with the components.
                    let keep = |path: &[SmolStr]| {
                        path.len() == 2
                            && path[0].eq_ignore_ascii_case("services")
                            && shared::builtin_services().any(|name| path[1].eq_ignore_ascii_case(name))
                    };
                    let nowhere: &[&str] = &[];
                    let done = self.shared.store.replace(|tree| tree.restore(nowhere, &snapshot, timestamp, keep));
                    done.await.map_err(|error| PortError::service(error.to_string()))?;
                }
            }
            self.ask(|reply| Command::Reconcile { deployment: true, reply }).await
        })
    }

    fn deploy(&self, services: Value, timestamp: i64, provenance: Provenance) -> Later<'_, ()> {
        Box::pin(async move {
            let now = wall_ms();
            let behavior = Behavior::deployment_at(shared::builtin_services(), timestamp, now);
            let write = Write::new(now, Origin::Deployment(provenance.deployment_id));
            let done = self.shared.store.write::<_, PortErrorOf>(|tree| {
                let changes = tree.apply(&["services"], &services, &behavior, &write);
                for (component, defaults) in &provenance.defaults {
                    tree.credit_defaults(&["services", component.as_str(), "configuration"], defaults, &changes);
                }
                Ok(((), changes))
            });
            done.await.map_err(|error| error.0)?;
            self.ask(|reply| Command::Reconcile { deployment: true, reply }).await
        })
    }

    fn preview(
        &self,
        component: &str,
        reset: &[String],
        defaults: &Value,
        merge: Option<&Value>,
        timestamp: i64,
    ) -> Value {
        let running = self.shared.store.tree().subtree(&["services", component, "configuration"]);
        let origin = Origin::Deployment(SmolStr::default());
        let update = ConfigurationUpdate { reset, defaults, merge, time: timestamp, origin };
        running.updated_at(&update, wall_ms()).tree.root().to_value()
    }

    fn changes(&self) -> broadcast::Receiver<StateChange> {
        self.shared.changes.subscribe()
    }

    fn state(&self, component: &str) -> Option<(State, bool)> {
        match self.shared.shown(component) {
            Some(shown) => Some((shown.state, shown.reached)),
            None => self.shared.has_part(component).then_some((State::Running, true)),
        }
    }

    fn settling(&self, component: &str) -> Option<Duration> {
        let at = self.shared.shown(component)?.settles_at?;
        Some(at.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    fn failure(&self, component: &str) -> Option<String> {
        self.shared.shown(component)?.failure.map(|failure| failure.reason)
    }

    fn reinstall<'a>(&'a self, component: &'a str) -> Later<'a, ()> {
        Box::pin(async move { self.ask(|reply| Command::Reinstall { component: component.into(), reply }).await? })
    }

    fn halt<'a>(&'a self, component: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            self.ask(|reply| Command::Stop { component: component.into(), reply }).await??;
            // Its `shutdown` may take its time, or write.
            self.shared.supervisor.stop(component).await;
            Ok(())
        })
    }

    fn remove<'a>(&'a self, component: &'a str) -> Later<'a, ()> {
        Box::pin(async move { self.ask(|reply| Command::Remove { component: component.into(), reply }).await? })
    }

    fn bootstrap<'a>(&'a self, component: &'a str, service: &'a Value) -> Later<'a, BootstrapOutcome> {
        Box::pin(async move {
            let service = service.clone();
            self.ask(|reply| Command::Bootstrap { component: component.into(), service, reply }).await
        })
    }
}
