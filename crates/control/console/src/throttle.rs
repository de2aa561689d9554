//! Slows down whoever guesses: per user and per address, with a delay that grows (MA-IAM-14).
//!
//! Both tables have a fixed size: a key is hashed to a cell with a key of its own, so no flood of invented names can push
//! anybody out. Two keys in one cell share a delay, which costs at most a minute. An attempt counts as failed from its
//! beginning, so that many at once gain nothing.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use marram_types::{AccountId, Timestamp};

/// Cells for users.
const USERS: usize = 4_096;
/// Cells for addresses.
const ADDRESSES: usize = 16_384;
/// Failures of one user that cost no delay.
const FREE_PER_USER: u32 = 3;
/// Failures of one address that cost no delay.
const FREE_PER_ADDRESS: u32 = 10;
/// Longest delay of a user: a stranger must not lock anybody out for long.
const LONGEST_PER_USER: Duration = Duration::from_secs(60);
/// Longest delay of an address.
const LONGEST_PER_ADDRESS: Duration = Duration::from_secs(900);
/// After this long without a failure everything is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(1_800);

/// Counts of failed attempts.
#[derive(Debug)]
pub(crate) struct Throttle {
    hasher: RandomState,
    users: Mutex<Box<[Cell]>>,
    addresses: Mutex<Box<[Cell]>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    failures: u32,
    last: Timestamp,
    until: Timestamp,
}

/// An attempt under way. Tell it when it succeeded; otherwise it stays counted.
#[derive(Debug)]
#[must_use = "an attempt that succeeded has to say so"]
pub(crate) struct Attempt {
    user: Option<usize>,
    address: usize,
}

impl Cell {
    /// Seconds to wait, at least one; `None`: now.
    fn wait(&self, now: Timestamp) -> Option<u32> {
        let left = self.until.since(now);
        (self.until > now).then(|| u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1))
    }

    fn count(&mut self, now: Timestamp, free: u32, longest: Duration) {
        if now.since(self.last) > FORGIVEN_AFTER {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if self.failures > free {
            let doubled = 1_u64.checked_shl(self.failures - free - 1).unwrap_or(u64::MAX);
            self.until = now.saturating_add(Duration::from_secs(doubled).min(longest));
        }
    }
}

impl Throttle {
    pub(crate) fn new() -> Throttle {
        Throttle {
            hasher: RandomState::new(),
            users: Mutex::new(vec![Cell::default(); USERS].into()),
            addresses: Mutex::new(vec![Cell::default(); ADDRESSES].into()),
        }
    }

    /// Begins an attempt for a user (none: with a link) from an address.
    ///
    /// # Errors
    /// Seconds to wait.
    pub(crate) fn begin(
        &self,
        user: Option<(&AccountId, &str)>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Attempt, u32> {
        let user = user.map(|key| self.hasher.hash_one(key) as usize % USERS);
        let address = self.hasher.hash_one(group(address)) as usize % ADDRESSES;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = [user.and_then(|at| users[at].wait(now)), addresses[address].wait(now)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        if let Some(at) = user {
            users[at].count(now, FREE_PER_USER, LONGEST_PER_USER);
        }
        addresses[address].count(now, FREE_PER_ADDRESS, LONGEST_PER_ADDRESS);
        Ok(Attempt { user, address })
    }

    /// The attempt was no guess.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        if let Some(at) = attempt.user {
            self.users.lock().unwrap_or_else(PoisonError::into_inner)[at] = Cell::default();
        }
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = &mut addresses[attempt.address];
        cell.failures = cell.failures.saturating_sub(1);
        cell.until = Timestamp::EPOCH;
    }
}

/// IPv6 hosts choose their lower 64 bits freely, so the network is what counts.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MA-IAM-14: the delay of a user doubles up to a minute, the address's grows apart from it, and time heals.
    #[test]
    fn delays_grow_and_heal() {
        let throttle = Throttle::new();
        let account = AccountId::first();
        let mut now = Timestamp::from_secs(1_000);
        let from = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut waits = Vec::new();
        for n in 0..12 {
            // Another address each time: only the user's count grows.
            if let Err(wait) = throttle.begin(Some((&account, "anna")), from(n), now) {
                waits.push(wait);
                now = now.saturating_add(Duration::from_secs(u64::from(wait)));
                let _attempt = throttle.begin(Some((&account, "anna")), from(n), now).unwrap();
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        // Of three others one may share a cell.
        let others = ["berta", "carla", "doris"];
        assert!(others.iter().any(|name| throttle.begin(Some((&account, name)), from(100), now).is_ok()));
        now = now.saturating_add(Duration::from_secs(61));
        let attempt = throttle.begin(Some((&account, "anna")), from(101), now).unwrap();
        throttle.succeeded(&attempt);
        let _ = throttle.begin(Some((&account, "anna")), from(101), now).unwrap();
        for _ in 0..u32::from(u8::MAX) {
            let _ = throttle.begin(None, from(200), now);
        }
        assert!(throttle.begin(None, from(200), now).is_err());
        assert!(throttle.begin(None, from(201), now).is_ok());
    }
}
