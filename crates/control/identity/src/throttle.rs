//! Slows down whoever keeps failing to authenticate, per source address.
//!
//! A bucket of failures that refills with time; empty means: refused before any work is done. Successful calls cost
//! nothing and take no lock. The table is bounded: when full, addresses whose bucket has refilled make room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use marram_types::Timestamp;

/// Failures an address may have at once.
const BURST: f64 = 600.0;
/// Failures forgiven per second.
const REFILL_PER_SEC: f64 = 10.0;
/// Addresses remembered; beyond it new ones are not counted, old ones still are.
const MAX_ADDRESSES: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
    /// How many addresses have an empty bucket; zero spares the lock.
    empty: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Bucket {
    fn refilled(self, now: Timestamp) -> f64 {
        (self.left + now.since(self.at).as_secs_f64() * REFILL_PER_SEC).min(BURST)
    }
}

/// IPv6 hosts choose their lower 64 bits freely, so the network is what counts.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

impl Throttle {
    /// Seconds to wait, when the address has failed too often.
    pub(crate) fn wait_secs(&self, address: IpAddr, now: Timestamp) -> Option<u32> {
        if self.empty.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get_mut(&group(address))?;
        let left = bucket.refilled(now);
        if left >= 1.0 {
            if bucket.left < 1.0 {
                *bucket = Bucket { left, at: now };
                self.empty.fetch_sub(1, Ordering::Relaxed);
            }
            return None;
        }
        Some(1)
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_ADDRESSES {
            buckets.retain(|_, bucket| bucket.refilled(now) < BURST);
            self.empty.store(buckets.values().filter(|bucket| bucket.left < 1.0).count(), Ordering::Relaxed);
            if buckets.len() >= MAX_ADDRESSES {
                return;
            }
        }
        let bucket = buckets.entry(group(address)).or_insert(Bucket { left: BURST, at: now });
        let was_empty = bucket.left < 1.0;
        let left = (bucket.refilled(now) - 1.0).max(0.0);
        *bucket = Bucket { left, at: now };
        match (was_empty, left < 1.0) {
            (false, true) => drop(self.empty.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.empty.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC 12.2: an address that keeps failing is refused, others are not, and time heals.
    #[test]
    fn failures_run_out_and_come_back() {
        let throttle = Throttle::default();
        let now = Timestamp::from_secs(1000);
        let (bad, good): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..600 {
            assert_eq!(throttle.wait_secs(bad, now), None);
            throttle.failed(bad, now);
        }
        assert_eq!(throttle.wait_secs(bad, now), Some(1));
        assert_eq!(throttle.wait_secs(good, now), None);
        assert_eq!(throttle.wait_secs(bad, Timestamp::from_secs(1001)), None);
        let neighbour = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 1, 2, 3, n]);
        for n in 0..601 {
            throttle.failed(neighbour(n), now);
        }
        assert_eq!(throttle.wait_secs(neighbour(9999), now), Some(1));
    }
}
