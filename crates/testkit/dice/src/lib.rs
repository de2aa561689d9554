//! Chance that can be replayed: numbers from a seed which the run prints.

use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// From `MARRAM_SEED`, else from the time; the seed is printed.
    ///
    /// # Panics
    ///
    /// When `MARRAM_SEED` is not a number.
    pub fn of_the_day() -> Self {
        let now =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64 & 0xffff_ffff);
        let seed =
            std::env::var("MARRAM_SEED").map_or_else(|_| now(), |text| text.parse().expect("MARRAM_SEED is a number"));
        println!("MARRAM_SEED={seed}");
        Self(seed)
    }

    /// Any number. Not an iterator's: it never ends, and nobody wants to collect it.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound`, which is not among them.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
