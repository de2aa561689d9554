//! Components as the IPC door sees them: who calls, what runs, its configuration (CR 2, 3.5, 6.8).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};

use crate::{Later, PortError};

/// The process at the other end of the socket, as the kernel names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What kind of caller holds a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// A component of this core.
    Component,
    /// A person with the CLI; may call every CLI operation (CR 7.2).
    Operator,
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Component name, or `greengrass-cli#user-<uid>`.
    pub name: SmolStr,
    /// Its kind.
    pub kind: CallerKind,
}

/// Who a token belongs to (SEC-133: token and peer must both fit).
pub trait Identities: Send + Sync {
    /// The caller, or none when token or peer do not fit. Compares in constant time.
    fn authenticate(&self, token: &str, peer: Peer) -> Option<Caller>;
    /// The component a token was issued to, whoever presents it (token exchange, `ValidateAuthorizationToken`).
    fn owner_of(&self, token: &str) -> Option<Caller>;
    /// Tells whenever a component's token has become worthless; none where that does not happen.
    fn revocations(&self) -> Option<watch::Receiver<()>> {
        None
    }
}

/// States of CR 2.1 as IPC shows them, and the inner ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentState {
    /// Nothing ran yet.
    New,
    /// `install` succeeded.
    Installed,
    /// `startup` runs or `run` is about to.
    Starting,
    /// Up.
    Running,
    /// Going down.
    Stopping,
    /// Failed, will be retried.
    Errored,
    /// Failed too often.
    Broken,
    /// Done.
    Finished,
    /// Being removed.
    Uninstalling,
    /// Removed.
    Uninstalled,
}

impl ComponentState {
    /// The word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Installed => "INSTALLED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Errored => "ERRORED",
            Self::Broken => "BROKEN",
            Self::Finished => "FINISHED",
            Self::Uninstalling => "UNINSTALLING",
            Self::Uninstalled => "UNINSTALLED",
        }
    }
}

/// What a component may report of itself (CR 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedState {
    /// Up.
    Running,
    /// In trouble.
    Errored,
}

/// One component.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentDetails {
    /// Its name.
    pub name: SmolStr,
    /// Its version; empty for parts of the runtime itself.
    pub version: SmolStr,
    /// Its state.
    pub state: ComponentState,
    /// Its configuration, an object.
    pub configuration: Value,
    /// Codes of CR 2.12, the most specific last; empty when all is well.
    pub status_codes: Vec<&'static str>,
    /// A sentence for the codes.
    pub status_reason: Option<String>,
    /// Listed in a deployment itself rather than pulled in.
    pub is_root: bool,
    /// A part of the runtime, not a deployed component.
    pub builtin: bool,
}

/// Commands and questions about components.
pub trait Components: Send + Sync {
    /// All of them, the parts of the runtime included, `main` excluded.
    fn list(&self) -> Vec<ComponentDetails>;
    /// One of them.
    fn details(&self, name: &str) -> Option<ComponentDetails>;
    /// Restarts; resolves when the command was accepted (`Ok(None)`) or refused with a reason (`Ok(Some)`).
    fn restart<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>>;
    /// Stops until restarted.
    fn stop<'a>(&'a self, name: &'a str) -> Later<'a, Option<String>>;
    /// Freezes a running component's processes.
    fn pause<'a>(&'a self, name: &'a str) -> Later<'a, ()>;
    /// Thaws them.
    fn resume<'a>(&'a self, name: &'a str) -> Later<'a, ()>;
    /// A component's word about itself; an impossible transition is dropped with a log line (CR 2.4).
    ///
    /// # Errors
    /// The component does not exist.
    fn report_state(&self, name: &str, state: ReportedState) -> Result<(), PortError>;
}

/// A changed place in a component's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPath {
    /// Whose.
    pub component: SmolStr,
    /// Keys from the configuration's root.
    pub path: Vec<SmolStr>,
}

/// Where a leaf of a configuration came from, for `marram-core config explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafOrigin {
    /// Keys from the configuration's root.
    pub path: Vec<SmolStr>,
    /// When it was written.
    pub timestamp: i64,
    /// Who wrote it, if that is remembered: a deployment, the component itself, the recipe's defaults.
    pub source: Option<String>,
}

/// Configuration of components (CR 3.5).
pub trait Configuration: Send + Sync {
    /// The value below `path` (a leaf comes as itself; the caller wraps it).
    ///
    /// # Errors
    /// The component or the key does not exist.
    fn read(&self, component: &str, path: &[SmolStr]) -> Result<Value, PortError>;
    /// Merges `value` below `path`; durable when the future resolves. `timestamp` guards newer leaves.
    fn update<'a>(&'a self, component: &'a str, path: &'a [SmolStr], timestamp: i64, value: Value) -> Later<'a, ()>;
    /// Changes at or below `path` from now on. A full channel drops the component's oldest news, never blocks.
    ///
    /// # Errors
    /// The component or the key does not exist.
    fn watch(&self, component: &str, path: &[SmolStr]) -> Result<mpsc::Receiver<ChangedPath>, PortError>;
    /// Origins of the leaves at or below `path`; empty where nothing is remembered of them.
    fn origins(&self, _component: &str, _path: &[SmolStr]) -> Vec<LeafOrigin> {
        Vec::new()
    }
    /// `accessControl` of every component, replaced as a whole at each change.
    fn access_control(&self) -> watch::Receiver<Arc<BTreeMap<SmolStr, Value>>>;
}
