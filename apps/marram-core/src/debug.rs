//! The debug console, while it is deployed (core-runtime 7.3): it listens from the first password on, because before nobody gets
//! in, and closes with the set of components that it belongs to.

use std::sync::{Arc, Weak};

use marram_debug_console::{Console, USER};
use marram_edge_ports::{DebugPassword, DebugPasswords, Later, PortError};
use marram_nucleus::NucleusHandle;
use marram_parts::{DEBUG_CONSOLE, DebugConsoleSettings, Scope};
use marram_types::SharedClock;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

/// The console of this core.
pub(crate) struct LateConsole {
    nucleus: NucleusHandle,
    clock: SharedClock,
    open: Mutex<Option<Open>>,
}

struct Open {
    /// The component as it was deployed.
    part: Value,
    console: Console,
}

impl LateConsole {
    pub(crate) fn new(nucleus: &NucleusHandle, clock: SharedClock) -> Arc<Self> {
        let console = Arc::new(Self { nucleus: nucleus.clone(), clock, open: Mutex::default() });
        tokio::spawn(close_when_gone(Arc::downgrade(&console), nucleus.sets()));
        console
    }

    async fn password(&self) -> Result<DebugPassword, PortError> {
        let mut open = self.open.lock().await;
        let part = self.nucleus.part(DEBUG_CONSOLE);
        let part = part.ok_or_else(|| PortError::service(format!("{DEBUG_CONSOLE} is not deployed on this core")))?;
        let held = open.take_if(|open| open.part == part);
        let (held, made) = match held.map(|held| (held.console.password(), held)) {
            Some((Some(made), held)) => (held, made),
            // Replaced, or its last password has ended.
            other => {
                for gone in other.map(|(_, held)| held).into_iter().chain(open.take()) {
                    gone.console.close().await;
                }
                let configuration = part.get("configuration").unwrap_or(&Value::Null);
                let settings = DebugConsoleSettings::read(configuration, Scope::Core("")).usable();
                let address =
                    settings.map_err(|faults| PortError::service(format!("{DEBUG_CONSOLE}: {faults}")))?.address;
                let console = Console::start(address, Arc::new(self.nucleus.clone()), self.clock.clone()).await;
                let console = console.map_err(|error| PortError::service(format!("the debug console: {error}")))?;
                let made = console.password().ok_or_else(|| PortError::service("the system has no random numbers"))?;
                (Open { part, console }, made)
            }
        };
        let (sha256, sha1) = held.console.fingerprints();
        *open = Some(held);
        Ok(DebugPassword {
            username: USER.to_owned(),
            password: made.password,
            expires: made.expires,
            certificate_sha256: Some(sha256),
            certificate_sha1: Some(sha1),
        })
    }
}

impl DebugPasswords for LateConsole {
    fn create(&self) -> Later<'_, DebugPassword> {
        Box::pin(self.password())
    }
}

/// Closes the console as soon as the component it was opened for is not what runs any more.
async fn close_when_gone(console: Weak<LateConsole>, mut sets: watch::Receiver<()>) {
    while sets.changed().await.is_ok() {
        let Some(console) = console.upgrade() else { return };
        let mut open = console.open.lock().await;
        let is_gone = |open: &mut Open| console.nucleus.part(DEBUG_CONSOLE).as_ref() != Some(&open.part);
        if let Some(gone) = open.take_if(is_gone) {
            gone.console.close().await;
        }
    }
}
