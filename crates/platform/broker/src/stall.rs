//! Whether publishers wait for a receiver whose queue is full: as long as it moves, and not a moment longer.
//!
//! A publisher that fills a queue pauses until there is room. At the end of each period of patience it looks how much
//! the receiver took meanwhile. One that takes its share is waited for again, so that nothing is lost; one that does not
//! is a slow reader, and nobody waits for it for a while, twice as long each time. It earns patience back by what it
//! reads, not by emptying its queue: a queue that grew while nobody waited may be long.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How long the first vain wait is held against a receiver.
const GRUDGE_MIN_MS: u32 = 100;
/// How long the worst one is.
const GRUDGE_MAX_MS: u32 = 20_000;

/// What publishers think of one receiver. Times are milliseconds of one clock that starts above 0.
#[derive(Debug)]
pub(crate) struct Reputation {
    /// Bytes taken since the session began.
    taken: AtomicU64,
    /// Before this nobody waits: an earlier publisher waited in vain. 0: everybody does.
    unforgiven_until: AtomicU64,
    /// How long the next vain wait is held against it.
    grudge_ms: AtomicU32,
    /// The stretch over which an unforgiven receiver is measured: when it began, and `taken` then.
    probe_since: AtomicU64,
    probe_from: AtomicU64,
}

impl Default for Reputation {
    fn default() -> Self {
        Self {
            taken: AtomicU64::new(0),
            unforgiven_until: AtomicU64::new(0),
            grudge_ms: AtomicU32::new(GRUDGE_MIN_MS),
            probe_since: AtomicU64::new(0),
            probe_from: AtomicU64::new(0),
        }
    }
}

/// What a receiver has to take, and in which time, to be waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pull {
    pub(crate) bytes: u64,
    pub(crate) within: Duration,
}

impl Reputation {
    /// Bytes taken since the session began.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The receiver took `bytes`. `now` is asked only of one that is not forgiven.
    pub(crate) fn took(&self, bytes: usize, pull: Pull, now: impl FnOnce() -> u64) {
        let taken = self.taken.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if self.unforgiven_until.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = now();
        let elapsed = now.saturating_sub(self.probe_since.load(Ordering::Relaxed));
        let moved = taken.saturating_sub(self.probe_from.load(Ordering::Relaxed));
        if u128::from(elapsed) > pull.within.as_millis() {
            self.probe_since.store(now, Ordering::Relaxed);
            self.probe_from.store(taken, Ordering::Relaxed);
        } else if moved >= pull.bytes {
            self.forgive();
        }
    }

    /// Whether a publisher should wait.
    pub(crate) fn deserves_patience(&self, now: impl FnOnce() -> u64) -> bool {
        let until = self.unforgiven_until.load(Ordering::Relaxed);
        until == 0 || now() >= until
    }

    /// It had room while somebody waited: that is what patience is for.
    pub(crate) fn forgive(&self) {
        self.unforgiven_until.store(0, Ordering::Relaxed);
        self.grudge_ms.store(GRUDGE_MIN_MS, Ordering::Relaxed);
    }

    /// A publisher waited in vain.
    pub(crate) fn resent(&self, now: u64) {
        let grudge = self.grudge_ms.load(Ordering::Relaxed);
        self.probe_since.store(now, Ordering::Relaxed);
        self.probe_from.store(self.taken(), Ordering::Relaxed);
        self.unforgiven_until.store(now + u64::from(grudge), Ordering::Relaxed);
        self.grudge_ms.store((grudge * 2).min(GRUDGE_MAX_MS), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PULL: Pull = Pull { bytes: 1000, within: Duration::from_millis(20) };

    /// Design 5: vain waits cost their publishers less each time; a receiver that does not read is not forgiven early.
    #[test]
    fn a_receiver_that_stands_still_is_waited_for_ever_less() {
        let receiver = Reputation::default();
        let mut now = 1;
        let mut waits = 0;
        while now < 60_000 {
            if receiver.deserves_patience(|| now) {
                waits += 1;
                receiver.resent(now);
            }
            now += 1;
            receiver.took(1, PULL, || now);
        }
        assert!((5..15).contains(&waits), "{waits}");
    }

    /// Design 5: what counts is how fast it reads now, however long its queue became meanwhile.
    #[test]
    fn a_receiver_that_reads_again_is_forgiven_at_once() {
        let receiver = Reputation::default();
        for now in [1, 200, 600, 1400] {
            receiver.resent(now);
        }
        receiver.took(999, PULL, || 1410);
        assert!(!receiver.deserves_patience(|| 1411));
        receiver.took(999, PULL, || 1500);
        assert!(!receiver.deserves_patience(|| 1501), "a thousand bytes, but in 90 ms");
        receiver.took(1000, PULL, || 1510);
        assert!(receiver.deserves_patience(|| 1511));
        receiver.resent(2000);
        assert!(receiver.deserves_patience(|| 2100), "the next grudge is short again");
    }
}
