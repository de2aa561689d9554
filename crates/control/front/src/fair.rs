//! A bucket per principal, always on (security 12.2): whoever calls faster than this machine could serve anybody is told to
//! slow down, whatever the quotas say. Reads cost one token, changes two.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use marram_aws_api::ApiError;
use marram_types::Timestamp;
use smol_str::SmolStr;

/// Tokens a principal gets per second unless the installation says otherwise: above what the benchmarks reach.
pub const DEFAULT_PRINCIPAL_RATE: u32 = 100_000;

/// Seconds of its rate that a quiet principal may spend at once.
const BURST_SECS: i64 = 2;

/// Principals remembered per shard; beyond it, those that owe nothing are forgotten.
const SHARD_PRINCIPALS: usize = 1_024;

/// Shards, so that callers on different threads seldom meet.
const SHARDS: usize = 16;

/// When each principal's bucket will be full again, in nanoseconds (GCRA: one number is a whole bucket).
#[derive(Debug)]
pub(crate) struct Fairness {
    nanos_per_token: i64,
    hasher: RandomState,
    shards: [Mutex<HashMap<SmolStr, i64>>; SHARDS],
}

impl Fairness {
    /// Buckets of `rate` tokens a second each; at least one.
    pub(crate) fn new(rate: u32) -> Fairness {
        let nanos_per_token = 1_000_000_000 / i64::from(rate.max(1));
        Fairness { nanos_per_token, hasher: RandomState::new(), shards: Default::default() }
    }

    /// Takes one call out of the bucket of the principal with this unique id.
    ///
    /// # Errors
    /// `ThrottlingException` with the seconds until the next call.
    pub(crate) fn take(&self, principal: &SmolStr, read_only: bool, now: Timestamp) -> Result<(), ApiError> {
        let now = now.as_micros().saturating_mul(1_000);
        let cost = self.nanos_per_token * if read_only { 1 } else { 2 };
        let shard = self.hasher.hash_one(principal) as usize % SHARDS;
        let mut buckets = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = buckets.get_mut(principal) {
            let next = (*full_at).max(now) + cost;
            if next - now > BURST_SECS * 1_000_000_000 {
                return Err(ApiError::throttling(1));
            }
            *full_at = next;
            return Ok(());
        }
        if buckets.len() >= SHARD_PRINCIPALS {
            buckets.retain(|_, full_at| *full_at > now);
        }
        // When a thousand principals of one shard are busy at once, a further one is let through uncounted.
        if buckets.len() < SHARD_PRINCIPALS {
            buckets.insert(principal.clone(), now + cost);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC 12.2: one principal's flood is throttled after its burst, nobody else's calls are, and time heals.
    #[test]
    fn a_flood_is_throttled_alone() {
        let fairness = Fairness::new(10);
        let now = Timestamp::from_secs(1_000);
        let (flood, calm) = (SmolStr::new("AIDAFLOOD"), SmolStr::new("AIDACALM"));
        for _ in 0..20 {
            fairness.take(&flood, true, now).unwrap();
        }
        let refused = fairness.take(&flood, true, now).unwrap_err();
        assert_eq!((refused.code.as_ref(), refused.retry_after_secs), ("ThrottlingException", Some(1)));
        fairness.take(&calm, false, now).unwrap();
        let later = Timestamp::from_micros(now.as_micros() + 100_000);
        fairness.take(&flood, false, later).unwrap_err();
        fairness.take(&flood, true, later).unwrap();
        fairness.take(&flood, true, later).unwrap_err();
        for _ in 0..9 {
            fairness.take(&calm, false, later).unwrap();
        }
    }

    /// The table stays bounded however many principals come.
    #[test]
    fn the_table_is_bounded() {
        let fairness = Fairness::new(1);
        let now = Timestamp::from_secs(1_000);
        for n in 0..SHARDS * SHARD_PRINCIPALS * 2 {
            fairness.take(&SmolStr::new(n.to_string()), true, now).unwrap();
        }
        let kept: usize = fairness.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * SHARD_PRINCIPALS, "{kept}");
    }
}
