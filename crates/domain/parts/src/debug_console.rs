//! Configuration of the component `aws.greengrass.LocalDebugConsole` (core-runtime.md section 7.3).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::reader::{Place, Reader, Reading, Scope};

/// The component's name.
pub const DEBUG_CONSOLE: &str = "aws.greengrass.LocalDebugConsole";

/// The original's.
const PORT: u16 = 1441;
const KEYS: [&str; 4] = ["httpsEnabled", "bindHostname", "port", "websocketPort"];

/// What the component's configuration decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DebugConsoleSettings {
    /// Where it listens: an address of this machine alone.
    pub address: SocketAddr,
}

impl Default for DebugConsoleSettings {
    fn default() -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, PORT).into() }
    }
}

impl DebugConsoleSettings {
    /// Reads the component's configuration; null is none. Anything wrong makes it unusable: a console in the clear, or open to others, would
    /// hand its password around.
    pub fn read(configuration: &Value, scope: Scope<'_>) -> Reading<Self> {
        let mut reader = Reader::new(scope);
        let mut settings = Self::default();
        let root = Place::root(configuration);
        if configuration.is_null() || !reader.map(&root, &KEYS) {
            return reader.end(settings);
        }
        if reader.flag(&root, KEYS[0]) == Some(false)
            && let Some(place) = root.member(KEYS[0])
        {
            reader.wrong(&place, "is not possible: the console speaks https alone, or its password could be read");
        }
        if let Some((name, place)) = reader.text(&root, KEYS[1]) {
            match address(name) {
                Some(address) if address.is_loopback() => settings.address.set_ip(address),
                _ if !reader.is_settled(name) => {}
                _ => reader.wrong(&place, "is no address of this machine alone; write localhost, 127.0.0.1 or ::1"),
            }
        }
        let port = reader.whole(&root, KEYS[2], 1..=i64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
        settings.address.set_port(port.unwrap_or(PORT));
        // Of the original; ours has no second port.
        reader.whole(&root, KEYS[3], 1..=i64::from(u16::MAX));
        reader.end(settings)
    }
}

fn address(name: &str) -> Option<IpAddr> {
    match name {
        "" | "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        name => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CR 7.3: loopback unless told otherwise, never in the clear, never to others.
    #[test]
    fn where_the_console_listens() {
        let at = |configuration: Value| {
            let read = DebugConsoleSettings::read(&configuration, Scope::Core("core")).usable();
            read.map(|settings| settings.address.to_string()).map_err(|faults| faults.to_string())
        };
        let listens = |at: &str| Ok(at.to_owned());
        assert_eq!(at(json!({})), listens("127.0.0.1:1441"));
        let given = json!({"bindHostname": "localhost", "port": "1500", "httpsEnabled": "true", "websocketPort": 1501});
        assert_eq!(at(given), listens("127.0.0.1:1500"));
        assert_eq!(at(json!({"bindHostname": "::1", "port": 1500})), listens("[::1]:1500"));
        for (refused, place) in [
            (json!({"httpsEnabled": false}), "/httpsEnabled: false is not possible"),
            (json!({"port": "x"}), "/port: \"x\" is not a whole number from 1 to 65535"),
            (json!({"port": 0}), "/port: 0 is not"),
            (json!({"bindHostname": "core.example"}), "/bindHostname: \"core.example\" is no address"),
            (json!({"bindHostname": "0.0.0.0"}), "/bindHostname: \"0.0.0.0\" is no address"),
            (json!({"bindHostname": "192.0.2.1"}), "/bindHostname: "),
            (json!({"bindHostname": "::"}), "/bindHostname: "),
        ] {
            let told = at(refused).unwrap_err();
            assert!(told.starts_with(place), "{told}");
        }
    }
}
