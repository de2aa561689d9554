//! Client devices of a core: who they are, what they may, and the local broker they speak with (CC 2.5, 2.6; CR 6.8).
//!
//! [`Devices`] knows devices (the cloud's word, remembered for as long as it is trusted; or an own CA), the device groups
//! of `aws.greengrass.clientdevices.Auth`, and the topics of flows; it answers the broker's questions and those of broker
//! components. [`LocalBroker`] is the broker with its listener: mutual TLS with a server certificate of the core's own CA.
//!
//! * `known`: devices. `authority`: core CA. `devices`: the decisions. `check`: devices are asked about again every day. `listener`: the
//!   broker. Device groups: `marram-parts`.

mod authority;
mod check;
mod devices;
mod known;
mod listener;
mod session;
#[cfg(test)]
mod word;

pub use authority::{CoreAuthority, CoreAuthorityError};
pub use devices::{BoundDevices, Devices, DevicesOptions, FlowTopics, TENANT};
pub use known::{KnownDevices, Verdict};
pub use listener::{LocalBroker, LocalBrokerError, LocalBrokerOptions};
pub use marram_edge_ports::DeviceCloud;
