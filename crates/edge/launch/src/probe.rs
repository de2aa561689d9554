//! What this host lets a launcher do, found out by doing it.

use std::fmt;

use landlock::{ABI, Access, AccessFs, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr};
use rustix::mount::mount_bind;
use rustix::process::geteuid;
use rustix::thread::set_no_new_privs;

use crate::bounds::{Mounting, Syscalls};
use crate::{mounts, network, syscalls};

/// What the host offers to sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// ABI of Landlock; 0 without it.
    pub landlock: u8,
    /// Filters of system calls.
    pub syscalls: bool,
    /// Private folders over public ones.
    pub mounting: Option<Mounting>,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mounting = match self.mounting {
            Some(Mounting::Privileged) => "privileged",
            Some(Mounting::Namespace) => "namespace",
            None => "none",
        };
        write!(f, "landlock={} syscalls={} mounting={mounting}", self.landlock, self.syscalls)
    }
}

impl Offer {
    /// Reads what the launcher printed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut offer = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('=')? {
                ("landlock", number) => offer.landlock = number.parse().ok()?,
                ("syscalls", flag) => offer.syscalls = flag.parse().ok()?,
                ("mounting", "privileged") => offer.mounting = Some(Mounting::Privileged),
                ("mounting", "namespace") => offer.mounting = Some(Mounting::Namespace),
                ("mounting", "none") => offer.mounting = None,
                _ => return None,
            }
        }
        Some(offer)
    }
}

/// Tries every layer on the calling process, which is of no other use afterwards.
pub(crate) fn probe() -> Offer {
    let wished = if geteuid().is_root() { Mounting::Privileged } else { Mounting::Namespace };
    let mounts = mounts::enter(wished, false).is_ok() && mount_bind("/usr", "/usr").is_ok();
    let barred = set_no_new_privs(true).is_ok();
    let landlock = if barred { landlock_abi() } else { 0 };
    let syscalls = barred && syscalls::restrict(Syscalls::Standard, false).is_ok();
    Offer { landlock, syscalls, mounting: mounts.then_some(wished) }
}

/// Tries to make a network apart from the host's; says why that fails.
pub(crate) fn probe_network() -> Result<(), String> {
    let mounting = if geteuid().is_root() { Mounting::Privileged } else { Mounting::Namespace };
    mounts::enter(mounting, true).map_err(|error| error.to_string())?;
    network::raise().map_err(|error| error.to_string())?;
    network::listen(&[443]).map(drop).map_err(|error| error.to_string())
}

fn landlock_abi() -> u8 {
    let attempt = || {
        // Nothing later in the probe opens a file.
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1))?.create()?;
        ruleset.no_new_privs(false).restrict_self()
    };
    match attempt().map(|status: landlock::RestrictionStatus| status.landlock) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => effective_abi as u8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_as_it_was_written() {
        for landlock in [0, 7] {
            for mounting in [None, Some(Mounting::Privileged), Some(Mounting::Namespace)] {
                let offer = Offer { landlock, syscalls: landlock > 0, mounting };
                assert_eq!(Offer::parse(&offer.to_string()), Some(offer));
            }
        }
        assert_eq!(Offer::parse("landlock=many"), None);
        assert_eq!(Offer::parse("marram-jail: cannot"), None);
    }
}
