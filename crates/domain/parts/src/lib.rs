//! Configuration of the components that a core is itself (core-components.md 1.1): client devices, shadows, secrets, the debug console.
//!
//! ```text
//!                       ┌─ marram-deploy: a deployment is created, or about to change a core: faults refuse it
//! configuration ─ read ─┤
//!                       └─ the running part: settings; what cannot be read leaves those before in force
//! ```
//!
//! One reader for both, so that nothing is taken that the part then refuses. Keys have no case; numbers and truths may be texts. A key that
//! nobody knows is passed over, as the original does, and told ([`unknown`]), unless it is nearly one that is known; in `deviceGroups` there
//! are no others.
//!
//! * `reader`: places and faults. `near`: misspelt words.
//! * `devices`, `policy`, `selection`: `aws.greengrass.clientdevices.Auth`. `shadows`, `synchronize`: `aws.greengrass.ShadowManager`.
//!   `secrets`: `aws.greengrass.SecretManager`. `debug_console`: `aws.greengrass.LocalDebugConsole`.

mod debug_console;
mod devices;
mod near;
mod policy;
mod reader;
mod secrets;
mod selection;
mod shadows;
mod synchronize;

use serde_json::Value;

pub use debug_console::{DEBUG_CONSOLE, DebugConsoleSettings};
pub use devices::{AUTH, DeviceSettings};
pub use near::{Known, known};
pub use policy::DeviceGroups;
pub use reader::{Faults, Reading, Scope, SettingFault, UnknownKey};
pub use secrets::{CURRENT, SECRET_MANAGER, SecretEntry, SecretSettings, is_suffix};
pub use selection::{MAX_RULE_BYTES, SelectionError, SelectionRule};
pub use shadows::{RateLimits, SHADOW_MANAGER, ShadowSettings};
pub use synchronize::{Direction, RESERVED, SHADOWS_MAX, SyncSettings, SyncedShadow};

/// What is wrong with the configuration of the component `name`; nothing for one that is not read here.
pub fn check(name: &str, configuration: &Value, scope: Scope<'_>) -> Vec<SettingFault> {
    read(name, configuration, scope).map(|read| read.0).unwrap_or_default()
}

/// Keys of the configuration of the component `name` that nobody reads. None where it is not known which there are: a component may have
/// any, and of the brokers' there are more than these cores know.
pub fn unknown(name: &str, configuration: &Value) -> Vec<UnknownKey> {
    if let Some((_, keys)) = OTHERS.iter().find(|(part, _)| *part == name) {
        return reader::unknown(configuration, keys);
    }
    read(name, configuration, Scope::Update).map(|read| read.1).unwrap_or_default()
}

fn read(name: &str, configuration: &Value, scope: Scope<'_>) -> Option<(Vec<SettingFault>, Vec<UnknownKey>)> {
    fn both<T>(read: Reading<T>) -> (Vec<SettingFault>, Vec<UnknownKey>) {
        (read.faults, read.unknown)
    }
    Some(match name {
        AUTH => both(DeviceSettings::read(configuration, scope)),
        SHADOW_MANAGER => both(SyncSettings::read(configuration, scope)),
        DEBUG_CONSOLE => both(DebugConsoleSettings::read(configuration, scope)),
        SECRET_MANAGER => both(SecretSettings::read(configuration, scope)),
        _ => return None,
    })
}

/// Keys of built-in components that are read elsewhere, or of the original alone.
const OTHERS: [(&str, &[&str]); 5] = [
    ("aws.greengrass.Cli", &["AuthorizedPosixGroups", "AuthorizedWindowsGroups"]),
    ("aws.greengrass.DiskSpooler", &[]),
    ("aws.greengrass.TokenExchangeService", &["port", "activePort", "credentialRetryInSec"]),
    (
        "aws.greengrass.clientdevices.IPDetector",
        &["defaultPort", "includeIPv4Addrs", "includeIPv4LoopbackAddrs", "includeIPv4LinkLocalAddrs"],
    ),
    ("aws.greengrass.crypto.Pkcs11Provider", &["name", "library", "slot", "userPin"]),
];
