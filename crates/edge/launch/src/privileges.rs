//! Capabilities: none is left, and none can come back.

use rustix::io::{Errno, Result};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

/// More capabilities than any kernel has; the walk ends at the first unknown one.
const CAPABILITIES_MAX: u32 = 64;

/// Empties the bounding set, as far as the process may; one that may not has nothing to lose from it.
pub(crate) fn narrow() -> Result<()> {
    if !capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for number in 0..CAPABILITIES_MAX {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

/// Gives up what is left. A process whose user is root keeps nothing but the files root owns.
pub(crate) fn drop_all() -> Result<()> {
    match clear_ambient_capability_set() {
        // Before Linux 4.3 there was none.
        Err(error) if error != Errno::INVAL => return Err(error),
        _ => {}
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
