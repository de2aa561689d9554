//! A token bucket per role: an event storm costs a counter, not executions (TG 11.6).

use marram_flow::Time;

/// Holds up to one second's worth of tokens.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    per_second: u32,
    /// Thousandths of a token.
    level: u64,
    filled: Time,
}

impl TokenBucket {
    /// `per_second` 0 lets everything through.
    pub fn new(per_second: u32, now: Time) -> Self {
        Self { per_second, level: u64::from(per_second) * 1_000, filled: now }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let capacity = u64::from(self.per_second) * 1_000;
        let gained = now.since(self.filled).saturating_mul(u64::from(self.per_second));
        self.level = self.level.saturating_add(gained).min(capacity);
        self.filled = self.filled.max(now);
        if self.level < 1_000 {
            return false;
        }
        self.level -= 1_000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 11.6: 50 events a second per role, excess dropped.
    #[test]
    fn storm_is_held_to_the_rate() {
        let mut bucket = TokenBucket::new(50, Time(0));
        let through = |bucket: &mut TokenBucket, ms: i64| (0..200).filter(|_| bucket.take(Time(ms))).count();
        assert_eq!(through(&mut bucket, 0), 50);
        assert_eq!(through(&mut bucket, 100), 5);
        assert_eq!(through(&mut bucket, 50), 0, "a clock that steps back grants nothing");
        assert_eq!(through(&mut bucket, 60_000), 50);
        assert_eq!(through(&mut TokenBucket::new(0, Time(0)), 0), 200);
    }
}
