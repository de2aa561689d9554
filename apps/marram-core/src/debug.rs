//! The debug console, while it is deployed (core-runtime 7.3): it listens from the first password on, because before nobody gets
//! in, and closes with the set of components that it belongs to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use marram_debug_console::{Console, USER};
use marram_edge_ports::{DebugPassword, DebugPasswords, Later, PortError};
use marram_nucleus::NucleusHandle;
use marram_types::SharedClock;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

/// The component that asks for the console.
const COMPONENT: &str = "aws.greengrass.LocalDebugConsole";
/// Its port in the original.
const PORT: u16 = 1441;

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
        let part = self.nucleus.part(COMPONENT);
        let part = part.ok_or_else(|| PortError::service(format!("{COMPONENT} is not deployed on this core")))?;
        let held = open.take_if(|open| open.part == part);
        let (held, made) = match held.map(|held| (held.console.password(), held)) {
            Some((Some(made), held)) => (held, made),
            // Replaced, or its last password has ended.
            other => {
                for gone in other.map(|(_, held)| held).into_iter().chain(open.take()) {
                    gone.console.close().await;
                }
                let address = address_of(part.get("configuration").unwrap_or(&Value::Null))?;
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
        let is_gone = |open: &mut Open| console.nucleus.part(COMPONENT).as_ref() != Some(&open.part);
        if let Some(gone) = open.take_if(is_gone) {
            gone.console.close().await;
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
    if !ip.is_loopback() {
        return Err(PortError::service(format!(
            "{COMPONENT}: `bindHostname` must be an address of this machine's loopback"
        )));
    }
    let port = text("port").map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong("port")))?;
    if port == 0 {
        return Err(wrong("port"));
    }
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
        for refused in [
            json!({"httpsEnabled": false}),
            json!({"port": "x"}),
            json!({"port": 0}),
            json!({"bindHostname": "core.example"}),
            json!({"bindHostname": "0.0.0.0"}),
            json!({"bindHostname": "192.0.2.1"}),
            json!({"bindHostname": "::"}),
        ] {
            assert_eq!(at(refused.clone()), None, "{refused}");
        }
    }
}
