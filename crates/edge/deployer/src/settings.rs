//! What a deployer is given.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{CloudMessages, CloudPublish, DataPlane, Later, Nucleus, Room};
use marram_recipe::Attributes;
use serde_json::Value;

use crate::disk::Disk;

/// Facts of the core.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Root of the runtime.
    pub root: PathBuf,
    /// Thing name; empty for a core without a control plane.
    pub thing_name: String,
    /// `os`, `architecture`, `runtime`, ... of this device (CR 1.5); `platformOverride` is laid over them.
    pub platform: Attributes,
    /// How long things take.
    pub pace: Pace,
}

/// Waits; the defaults are those of CR 4.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Between tries of network operations.
    pub retry: Duration,
    /// Between downloads of an artifact with a wrong digest.
    pub checksum_retry: Duration,
    /// Downloads of an artifact with a wrong digest before giving up.
    pub checksum_attempts: u32,
    /// Between looks at components that come up.
    pub poll: Duration,
    /// How long an acknowledged report may take before it is sent again.
    pub report: Duration,
    /// How long a requested restart may take before the deployment goes on without it.
    pub restart_grace: Duration,
    /// Lower bound for `DISK_SPACE_CRITICAL`, in bytes.
    pub min_free_bytes: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(60),
            checksum_retry: Duration::from_secs(60),
            checksum_attempts: 10,
            poll: Duration::from_secs(1),
            report: Duration::from_secs(30),
            restart_grace: Duration::from_secs(120),
            min_free_bytes: 20 * 1024 * 1024,
        }
    }
}

/// What a bootstrap or a setting asks of the program around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Leave with exit code 100.
    Runtime,
    /// Leave with exit code 101.
    Device,
}

/// The parts of the core that a deployer works with.
#[derive(Clone)]
pub struct Ports {
    /// Components and the durable tree.
    pub nucleus: Arc<dyn Nucleus>,
    /// The Greengrass data plane.
    pub data_plane: Arc<dyn DataPlane>,
    /// Jobs and shadow.
    pub messages: Arc<dyn CloudMessages>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// What is kept of the disk for the core's own writes.
    pub room: Arc<dyn Room>,
    /// Milliseconds since the Unix epoch.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Asks the program to end and be started again.
    pub restart: Arc<dyn Fn(Restart) + Send + Sync>,
    /// The program itself and its loader; none when it was started without one.
    pub program: Option<Arc<dyn Program>>,
    /// Other control planes; none takes changed endpoints without trying them.
    pub endpoints: Option<Arc<dyn Endpoints>>,
    /// The token that holds the device's key; none takes changed settings of it without trying them.
    pub token: Option<Arc<dyn KeyToken>>,
}

/// The token that holds the device's key (CC 11).
pub trait KeyToken: Send + Sync {
    /// Opens it with this configuration of the provider and uses the key, beside what is open. The PIN is tried once. The error is for
    /// people, and without the PIN.
    fn attempt(&self, configuration: Value) -> Later<'_, (), String>;
}

/// What is wrong with a control plane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// MQTT.
    #[error("{0}")]
    Messages(String),
    /// The credentials provider.
    #[error("{0}")]
    Credentials(String),
    /// The Greengrass data plane.
    #[error("{0}")]
    DataPlane(String),
}

/// Control planes other than the one in use (CR 4.10, endpoint switch).
pub trait Endpoints: Send + Sync {
    /// Connects to what `configuration` of the nucleus names, beside the line.
    fn attempt(&self, configuration: Value) -> Later<'_, (), EndpointError>;
    /// Waits until the line is up with the settings now in force.
    fn settle(&self, limit: Duration) -> Later<'_, (), EndpointError>;
    /// Sends a message to what `configuration` names, beside the line, until it is acknowledged.
    fn tell(&self, configuration: Value, message: CloudPublish) -> Later<'_, (), EndpointError>;
}

/// The program, and what its loader keeps of others (CR 4.10).
pub trait Program: Send + Sync {
    /// Place of the running program.
    fn running(&self) -> Option<String>;
    /// Place of the one before it.
    fn previous(&self) -> Option<String>;
    /// Copies a program into a place of its own, durably.
    ///
    /// # Errors
    /// The file system's.
    fn install(&self, name: &str, file: &Path) -> io::Result<()>;
    /// The next start is that of `name`, which then has `limit` to confirm itself.
    ///
    /// # Errors
    /// The file system's; there is no such place.
    fn turn_to(&self, name: &str, limit: Duration) -> io::Result<()>;
    /// The running program holds.
    ///
    /// # Errors
    /// The file system's.
    fn confirm(&self) -> io::Result<()>;
    /// Why `name` was given up, if it was.
    fn returned(&self, name: &str) -> Option<String>;
    /// Notes that `name` was given up, and why.
    ///
    /// # Errors
    /// The file system's.
    fn give_up(&self, name: &str, reason: &str) -> io::Result<()>;
    /// Frees the room of what was given up; nothing while a program is tried.
    ///
    /// # Errors
    /// The file system's.
    fn free(&self) -> io::Result<()>;
    /// Components and operators can connect.
    fn is_up(&self) -> bool;
}
