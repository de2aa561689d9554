//! What the deployer asks of the nucleus: the durable tree, its application, what components do meanwhile (CR 3.4, 4.9).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::broadcast;

use crate::{ComponentState, Later};

/// How a computed tree is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMode {
    /// CR 3.4: components replaced, timestamps respected.
    Deployment,
    /// CR 3.4: a snapshot comes back, older values win.
    Rollback,
}

/// A component changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Which.
    pub component: SmolStr,
    /// Before.
    pub from: ComponentState,
    /// After.
    pub to: ComponentState,
    /// Codes of CR 2.12.
    pub codes: Vec<&'static str>,
    /// Their sentence.
    pub reason: Option<String>,
    /// It reached what was desired of it.
    pub desired_reached: bool,
    /// When.
    pub at: i64,
}

/// What a bootstrap script asked for (CR 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootstrapOutcome {
    /// Exit code 0.
    Done,
    /// Exit code 100.
    RestartRuntime,
    /// Exit code 101.
    RebootDevice,
    /// Any other.
    Failed(i32),
    /// Its time was over.
    TimedOut,
}

/// Who a deployment is and what its recipes brought along, so that every leaf can say where it came from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Provenance {
    /// Id of the deployment.
    pub deployment_id: SmolStr,
    /// `DefaultConfiguration` of the components' recipes.
    pub defaults: BTreeMap<SmolStr, Value>,
}

/// The running set of components and its durable tree.
///
/// Trees travel as JSON: the object below `services` of CR 3.2, each component with `version`, `componentType`, `dependencies`,
/// `lifecycle`, `configuration`, `runWith`, ... ; leaf times are kept inside the nucleus and come from `timestamp`.
pub trait Nucleus: Send + Sync {
    /// A durable snapshot of the whole tree with its times, opaque to others; input of [`Nucleus::apply`] for a rollback.
    fn snapshot(&self) -> Value;
    /// The value at `path` of the tree, `["services", name, ...]`, if it is there.
    fn get(&self, path: &[&str]) -> Option<Value>;
    /// Writes runtime data (groups, records) below `services/DeploymentService` or another builtin, in place of what stood
    /// there; durable when it resolves.
    fn put<'a>(&'a self, path: &'a [&'a str], value: Value) -> Later<'a, ()>;
    /// Applies `services` (or a snapshot) durably, then lets components follow. `timestamp` is that of the leaves below
    /// `configuration`, where newer ones survive; all else is written now, however old the deployment is (CR 3.4). Components absent from it stay until [`Nucleus::remove`].
    fn apply(&self, services: Value, timestamp: i64, mode: ApplyMode) -> Later<'_, ()>;
    /// [`Nucleus::apply`] of a deployment that remembers where each leaf came from.
    fn deploy(&self, services: Value, timestamp: i64, _provenance: Provenance) -> Later<'_, ()> {
        self.apply(services, timestamp, ApplyMode::Deployment)
    }
    /// The whole configuration a component would have after reset, defaults and merge (CR 3.3), with what is stored now.
    fn preview(
        &self,
        component: &str,
        reset: &[String],
        defaults: &Value,
        merge: Option<&Value>,
        timestamp: i64,
    ) -> Value;
    /// State changes from now on.
    fn changes(&self) -> broadcast::Receiver<StateChange>;
    /// A component's state now, and whether what is desired of it is reached; none when it does not exist.
    fn state(&self, component: &str) -> Option<(ComponentState, bool)>;
    /// How long a component that is RUNNING must go on so before a deployment may count it as up: its process may die at once, and then
    /// it is tried again (CR 4.9). None when it has been up for long enough, or has no process.
    fn settling(&self, _component: &str) -> Option<Duration> {
        None
    }
    /// What ails a component that is ERRORED or BROKEN: which script, and how it ended.
    fn failure(&self, _component: &str) -> Option<String> {
        None
    }
    /// Asks a component anew although nothing of it changed (BROKEN ones of a deployment).
    fn reinstall<'a>(&'a self, component: &'a str) -> Later<'a, ()>;
    /// Ends a component's processes without the patience of an orderly stop: it is to be removed, and must not go on with what it does.
    fn halt<'a>(&'a self, _component: &'a str) -> Later<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// Stops, uninstalls and forgets a component.
    fn remove<'a>(&'a self, component: &'a str) -> Later<'a, ()>;
    /// Runs a bootstrap step of a component that need not be active yet: `service` is its tree.
    fn bootstrap<'a>(&'a self, component: &'a str, service: &'a Value) -> Later<'a, BootstrapOutcome>;
}
