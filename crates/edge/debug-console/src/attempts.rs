//! How fast passwords can be tried.
//!
//! A right one is let in at once: it has 32 random bytes, which nobody finds by trying, and nobody who knows it may be kept out by those
//! who do not. A wrong one waits for one of a few places before it is refused, and keeps it for a while, also when the guesser has left:
//! guesses cost the core no more than that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Our limits.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Wrong passwords that are refused at the same time.
    places: usize,
    /// How long a wrong one keeps its place.
    penalty: Duration,
    /// How long a place is waited for.
    patience: Duration,
}

/// Two guesses a second.
const PACE: Pace = Pace { places: 4, penalty: Duration::from_secs(2), patience: Duration::from_secs(10) };

/// What came of showing a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// Wrong, and there was no place.
    TooMany,
}

pub(crate) struct Attempts {
    places: Arc<Semaphore>,
    pace: Pace,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self::with(PACE)
    }

    fn with(pace: Pace) -> Self {
        Self { places: Arc::new(Semaphore::new(pace.places)), pace }
    }

    pub(crate) async fn show(&self, is_right: impl FnOnce() -> bool) -> Verdict {
        if is_right() {
            return Verdict::Right;
        }
        let place = timeout(self.pace.patience, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Verdict::TooMany };
        let penalty = self.pace.penalty;
        tokio::spawn(async move {
            sleep(penalty).await;
            drop(place);
        });
        Verdict::Wrong
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// CR 7.3: however many guesses stand in line, a right password does not.
    #[tokio::test]
    async fn a_right_one_waits_for_no_guess() {
        let hour = Duration::from_secs(3600);
        let attempts = Attempts::with(Pace { places: 1, penalty: hour, patience: hour });
        assert_eq!(attempts.show(|| false).await, Verdict::Wrong);
        let guess = attempts.show(|| false);
        tokio::select! {
            biased;
            verdict = guess => panic!("there was a place for a guess: {verdict:?}"),
            verdict = attempts.show(|| true) => assert_eq!(verdict, Verdict::Right),
        }
    }

    /// CR 7.3: wrong passwords are slowed down, however many are shown at once.
    #[tokio::test]
    async fn guesses_are_slow() {
        let pace = Pace { places: 4, penalty: Duration::from_millis(40), patience: Duration::from_secs(20) };
        let (attempts, began) = (Arc::new(Attempts::with(pace)), Instant::now());
        let show = |attempts: &Arc<Attempts>, right: bool| {
            let attempts = Arc::clone(attempts);
            tokio::spawn(async move { (attempts.show(|| right).await, Instant::now()) })
        };
        let guesses: Vec<_> = (0..12).map(|_| show(&attempts, false)).collect();
        for (number, guess) in guesses.into_iter().enumerate() {
            let (verdict, at) = guess.await.unwrap();
            assert_eq!(verdict, Verdict::Wrong);
            assert!(at - began >= pace.penalty * (number as u32 / 4), "guess {number} after {:?}", at - began);
        }
        let hasty = Arc::new(Attempts::with(Pace { patience: pace.penalty * 3, ..pace }));
        let mut refused = 0;
        for guess in (0..40).map(|_| show(&hasty, false)).collect::<Vec<_>>() {
            refused += usize::from(guess.await.unwrap().0 == Verdict::TooMany);
        }
        assert!(refused >= 20, "{refused}");
    }
}
