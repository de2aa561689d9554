//! Call rates of `--quotas aws` (control-plane-api 10.4): a token bucket per account and operation. Off by default.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_types::{AccountId, Timestamp};

/// Buckets kept at a time; when full, those that have filled up again go first.
const MAX_BUCKETS: usize = 10_000;

/// Micro-tokens of one call.
const CALL: i64 = 1_000_000;

/// Who may call how often.
#[derive(Debug, Default)]
pub struct Quotas {
    buckets: Option<Mutex<HashMap<(AccountId, &'static str), Bucket>>>,
}

#[derive(Debug)]
struct Bucket {
    /// Millionths of a call.
    tokens: i64,
    filled_at: Timestamp,
}

impl Quotas {
    /// No limits.
    pub fn off() -> Quotas {
        Quotas::default()
    }

    /// The limits AWS documents.
    pub fn aws() -> Quotas {
        Quotas { buckets: Some(Mutex::default()) }
    }

    /// Takes one call out of the account's bucket for `operation`.
    ///
    /// # Errors
    /// `ThrottlingException` with the seconds until the next call.
    pub fn take(&self, account: &AccountId, operation: &'static Operation, now: Timestamp) -> Result<(), ApiError> {
        let (Some(buckets), Some(rate)) = (&self.buckets, per_second(operation)) else { return Ok(()) };
        let full = rate * CALL;
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            // A bucket is full again after one second without calls.
            buckets.retain(|_, bucket| now.as_micros() - bucket.filled_at.as_micros() < 1_000_000);
        }
        let bucket =
            buckets.entry((account.clone(), operation.iam_action)).or_insert(Bucket { tokens: full, filled_at: now });
        let elapsed = (now.as_micros() - bucket.filled_at.as_micros()).clamp(0, 1_000_000);
        bucket.tokens = (bucket.tokens + elapsed * rate).min(full);
        bucket.filled_at = now;
        if bucket.tokens < CALL {
            return Err(ApiError::throttling(1));
        }
        bucket.tokens -= CALL;
        Ok(())
    }
}

/// Calls per second and account, burst of one second; `None`: not limited.
fn per_second(operation: &Operation) -> Option<i64> {
    match (operation.service, operation.name) {
        (ServiceId::Iot, "CreateThing") => Some(15),
        (ServiceId::Iot, "DescribeThing") => Some(350),
        (ServiceId::Iot, "AddThingToThingGroup") => Some(60),
        (ServiceId::Iot, "CreateThingGroup") => Some(25),
        (ServiceId::Iot, _) => Some(10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use marram_aws_api::op;

    use super::*;

    /// CP 10.4: the sixteenth CreateThing within a second is throttled, a fifteenth of a second later one more passes.
    #[test]
    fn create_thing_is_limited_to_fifteen_per_second() {
        let quotas = Quotas::aws();
        let account = AccountId::first();
        let create = op("iot", "CreateThing").unwrap();
        let now = Timestamp::from_secs(1_000);
        for _ in 0..15 {
            quotas.take(&account, create, now).unwrap();
        }
        let refused = quotas.take(&account, create, now).unwrap_err();
        assert_eq!((refused.code.as_ref(), refused.retry_after_secs), ("ThrottlingException", Some(1)));
        quotas.take(&account, op("iot", "DescribeThing").unwrap(), now).unwrap();
        quotas.take(&"000000000001".parse().unwrap(), create, now).unwrap();
        let later = Timestamp::from_micros(now.as_micros() + 66_667);
        quotas.take(&account, create, later).unwrap();
        quotas.take(&account, create, later).unwrap_err();
        assert!(Quotas::off().take(&account, create, now).is_ok());
    }
}
