//! The line to the control plane: MQTT with a durable spool, HTTPS, proxy.
//!
//! [`Uplink`] answers `CloudMessages`, [`Greengrass`] answers `DataPlane`. Nothing here waits for the network before it
//! returns: a core starts, runs and stops without one.

mod breaker;
mod data_plane;
mod line;
mod messages;
mod road;
mod shadows;
mod spool;
mod standalone;
mod standing;
mod trouble;

pub use data_plane::{DataPlaneSettings, Greengrass};
pub use line::LineSettings;
pub use messages::{PublishLimits, Uplink};
pub use road::{DeviceTls, Proxy, Purpose, Road, Via, fuzz_proxy_answer, split_port};
pub use spool::{Spool, SpoolError, SpoolOptions, Spooled, fuzz_spool_record};
pub use standalone::{StandaloneError, standalone};
