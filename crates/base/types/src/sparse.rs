//! Trouble that goes on is logged ever more rarely.

use std::time::{Duration, Instant};

/// First pause between two lines about the same trouble.
const FIRST: Duration = Duration::from_secs(60);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// What was told last of something that may fail again and again.
#[derive(Debug, Default)]
pub struct Sparse {
    told: Option<(String, Instant, Duration)>,
}

impl Sparse {
    /// Whether `what` is worth a line now: at once when it is something else than the last time, after a minute when it is the same, then
    /// after twice as long, up to an hour.
    pub fn is_worth_telling(&mut self, what: &str) -> bool {
        self.is_worth_telling_at(what, Instant::now())
    }

    fn is_worth_telling_at(&mut self, what: &str, now: Instant) -> bool {
        let pause = match &self.told {
            Some((last, at, pause)) if last == what => {
                if now.duration_since(*at) < *pause {
                    return false;
                }
                (*pause * 2).min(LONGEST)
            }
            _ => FIRST,
        };
        self.told = Some((what.to_owned(), now, pause));
        true
    }

    /// It went well: the next trouble is told at once.
    pub fn is_over(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.7: the same trouble once a second makes few lines, another one is heard at once.
    #[test]
    fn what_repeats_is_told_ever_more_rarely() {
        let (mut sparse, start) = (Sparse::default(), Instant::now());
        let told: Vec<u64> = (0..20_000)
            .filter(|second| sparse.is_worth_telling_at("full", start + Duration::from_secs(*second)))
            .collect();
        assert_eq!(told, [0, 60, 180, 420, 900, 1860, 3780, 7380, 10_980, 14_580, 18_180]);
        assert!(sparse.is_worth_telling_at("other", start + Duration::from_secs(20_000)));
        sparse.is_over();
        assert!(sparse.is_worth_telling_at("other", start + Duration::from_secs(20_001)));
    }
}
