//! Settings of the control plane: one struct, defaults in one place, the same for `up` and `serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::cli;

/// Everything `compose` needs to know. `marram serve --config FILE` reads it as TOML.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Data directory; made on first start, owner only.
    pub data: PathBuf,
    /// API and console listener.
    #[serde(default = "Settings::default_api")]
    pub api: SocketAddr,
    /// Device HTTPS listener.
    #[serde(default = "Settings::default_device_api")]
    pub device_api: SocketAddr,
    /// MQTT listener.
    #[serde(default = "Settings::default_mqtt")]
    pub mqtt: SocketAddr,
    /// Names and addresses in the server certificate, the public one first.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Region name.
    #[serde(default = "Settings::default_region")]
    pub region: String,
    /// The first account.
    #[serde(default = "Settings::default_account")]
    pub account: String,
    /// Metering quotas as in the original.
    #[serde(default)]
    pub aws_quotas: bool,
    /// Hosts (name or address, with port) that flows may reach although they are private addresses.
    #[serde(default)]
    pub flow_allow_hosts: Vec<String>,
    /// Events a second and role that may start flows, the rest is dropped and counted (TG 11.6); 0 is unlimited.
    #[serde(default = "Settings::default_flow_events_per_second")]
    pub flow_events_per_second: u32,
}

impl Settings {
    fn default_api() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 8443))
    }
    fn default_device_api() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 8444))
    }
    fn default_mqtt() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 8883))
    }
    fn default_region() -> String {
        "us-east-1".to_owned()
    }
    fn default_account() -> String {
        "000000000000".to_owned()
    }

    fn default_flow_events_per_second() -> u32 {
        marram_flow_runtime::RuntimeOptions::EVENTS_PER_SECOND
    }

    /// Reads a configuration file; unknown keys are errors.
    pub fn from_file(path: &Path) -> anyhow::Result<Settings> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
    }

    /// Every name and address the server certificate is for: the configured ones, this machine's name, loopback.
    pub fn server_names(&self) -> Vec<String> {
        let mut names = self.hosts.clone();
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for name in ["localhost", "127.0.0.1", "::1", machine.as_str()] {
            if !name.is_empty() && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// The public host name: what endpoints and environment lines say.
    pub fn public_host(&self) -> &str {
        self.hosts.first().map_or("localhost", String::as_str)
    }
}

impl From<&cli::Up> for Settings {
    fn from(up: &cli::Up) -> Settings {
        Settings {
            data: up.data.clone(),
            api: up.api,
            device_api: up.device_api,
            mqtt: up.mqtt,
            hosts: up.hosts.clone(),
            region: up.region.clone(),
            account: up.account.clone(),
            aws_quotas: up.quotas == cli::Quotas::Aws,
            flow_allow_hosts: Vec::new(),
            flow_events_per_second: Settings::default_flow_events_per_second(),
        }
    }
}
