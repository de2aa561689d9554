//! Fleet provisioning by claim, the device's side.
