//! The debug console, once it is deployed (core-runtime 7.3): it listens from the first password on, because before nobody gets in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use marram_debug_console::{Console, Passwords, USER};
use marram_edge_ports::{DebugPassword, DebugPasswords, Later, PortError};
use marram_nucleus::NucleusHandle;
use marram_types::SharedClock;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::local::configuration_of;

/// The component that asks for the console.
const COMPONENT: &str = "aws.greengrass.LocalDebugConsole";
/// Its port in the original.
const PORT: u16 = 1441;
/// How often it is looked whether the console is still deployed.
const LOOK: Duration = Duration::from_secs(2);

/// The console of this core.
pub(crate) struct LateConsole {
    nucleus: NucleusHandle,
    clock: SharedClock,
    passwords: Arc<Passwords>,
    open: Mutex<Option<(SocketAddr, Console)>>,
}

impl LateConsole {
    pub(crate) fn new(nucleus: &NucleusHandle, clock: SharedClock) -> Arc<Self> {
        Arc::new_cyclic(|own: &Weak<Self>| {
            tokio::spawn(close_when_gone(own.clone()));
            Self { nucleus: nucleus.clone(), clock, passwords: Arc::default(), open: Mutex::default() }
        })
    }

    async fn password(&self) -> Result<DebugPassword, PortError> {
        let wanted = address_of(&configuration_of(&self.nucleus, COMPONENT)?)?;
        let mut open = self.open.lock().await;
        if open.as_ref().is_none_or(|(address, _)| *address != wanted) {
            // The old one must be gone before its port can be had again.
            *open = None;
            let (components, passwords) = (Arc::new(self.nucleus.clone()), Arc::clone(&self.passwords));
            let console = Console::start(wanted, components, passwords, self.clock.clone()).await;
            let console = console.map_err(|error| PortError::service(format!("the debug console: {error}")))?;
            *open = Some((wanted, console));
        }
        let prints = open.as_ref().map(|(_, console)| console.fingerprints());
        let made = self.passwords.make(self.clock.now().as_millis() / 1_000);
        let (password, expires) = made.ok_or_else(|| PortError::service("the system has no random numbers"))?;
        let (certificate_sha256, certificate_sha1) = prints.unzip();
        Ok(DebugPassword { username: USER.to_owned(), password, expires, certificate_sha256, certificate_sha1 })
    }
}

impl DebugPasswords for LateConsole {
    fn create(&self) -> Later<'_, DebugPassword> {
        Box::pin(self.password())
    }
}

async fn close_when_gone(console: Weak<LateConsole>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(console) = console.upgrade() else { return };
        if configuration_of(&console.nucleus, COMPONENT).is_err() {
            *console.open.lock().await = None;
        }
    }
}

/// `bindHostname` and `port`, each a text or not; `httpsEnabled: false` is refused: the password would be readable.
fn address_of(configuration: &Value) -> Result<SocketAddr, PortError> {
    let text = |key: &str| match configuration.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let wrong = |key: &str| PortError::service(format!("{COMPONENT}: `{key}` cannot be used"));
    if text("httpsEnabled").is_some_and(|enabled| !enabled.eq_ignore_ascii_case("true")) {
        return Err(PortError::service(format!("{COMPONENT}: it speaks https only")));
    }
    let ip: IpAddr = match text("bindHostname").as_deref() {
        None | Some("" | "localhost") => Ipv4Addr::LOCALHOST.into(),
        Some(name) => name.parse().map_err(|_| wrong("bindHostname"))?,
    };
    let port = text("port").map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong("port")))?;
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CR 7.3: loopback unless told otherwise, never in the clear.
    #[test]
    fn where_the_console_listens() {
        let at = |configuration: Value| address_of(&configuration).ok().map(|address| address.to_string());
        assert_eq!(at(json!({})).as_deref(), Some("127.0.0.1:1441"));
        let given = json!({"bindHostname": "localhost", "port": "1500", "httpsEnabled": "true"});
        assert_eq!(at(given).as_deref(), Some("127.0.0.1:1500"));
        assert_eq!(at(json!({"bindHostname": "::1", "port": 1500})).as_deref(), Some("[::1]:1500"));
        for refused in [json!({"httpsEnabled": false}), json!({"port": "x"}), json!({"bindHostname": "core.example"})] {
            assert_eq!(at(refused), None);
        }
    }
}
