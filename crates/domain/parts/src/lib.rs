//! Configuration of the components that a core is itself (core-components.md 1.1): client devices, shadows, secrets, the debug console.
//!
//! ```text
//!                       ┌─ marram-deploy: a deployment is created, or about to change a core: faults refuse it
//! configuration ─ read ─┤
//!                       └─ the running part: settings; what cannot be read leaves those before in force
//! ```
//!
//! One reader for both, so that nothing is taken that the part then refuses. Keys have no case; numbers and truths may be texts. A key that
//! nobody knows is passed over, as the original does, unless it is nearly one that is known; in `deviceGroups` there are no others.
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
pub use reader::{Faults, Reading, Scope, SettingFault};
pub use secrets::{CURRENT, SECRET_MANAGER, SecretEntry, SecretSettings, is_suffix};
pub use selection::{MAX_RULE_BYTES, SelectionError, SelectionRule};
pub use shadows::{RateLimits, SHADOW_MANAGER, ShadowSettings};
pub use synchronize::{Direction, RESERVED, SHADOWS_MAX, SyncSettings, SyncedShadow};

/// What is wrong with the configuration of the component `name`; nothing for one that is not read here.
pub fn check(name: &str, configuration: &Value, scope: Scope<'_>) -> Vec<SettingFault> {
    match name {
        AUTH => DeviceSettings::read(configuration, scope).faults,
        SHADOW_MANAGER => SyncSettings::read(configuration, scope).faults,
        DEBUG_CONSOLE => DebugConsoleSettings::read(configuration, scope).faults,
        SECRET_MANAGER => SecretSettings::read(configuration, scope).faults,
        _ => Vec::new(),
    }
}
