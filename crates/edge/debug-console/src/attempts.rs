//! How fast passwords can be tried.
//!
//! There are a few places to show a password at. A right one gives its place back at once, a wrong one keeps it for a while,
//! also when the guesser has left. Places are given in the order they were asked for, so whoever knows a password waits behind
//! the guesses that were there before and is not locked out by them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Our limits.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Passwords that can be shown at the same time.
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
    /// It was not looked at.
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
        let place = timeout(self.pace.patience, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Verdict::TooMany };
        if is_right() {
            return Verdict::Right;
        }
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

    /// CR 7.3: wrong passwords are slowed down, however many are shown at once; a right one gets its turn all the same.
    #[tokio::test]
    async fn guesses_are_slow_and_the_right_one_gets_in() {
        let pace = Pace { places: 4, penalty: Duration::from_millis(40), patience: Duration::from_secs(20) };
        let (attempts, began) = (Arc::new(Attempts::with(pace)), Instant::now());
        let show = |attempts: &Arc<Attempts>, right: bool| {
            let attempts = Arc::clone(attempts);
            tokio::spawn(async move { (attempts.show(|| right).await, Instant::now()) })
        };
        let guesses: Vec<_> = (0..12).map(|_| show(&attempts, false)).collect();
        let right = show(&attempts, true);
        for (number, guess) in guesses.into_iter().enumerate() {
            let (verdict, at) = guess.await.unwrap();
            assert_eq!(verdict, Verdict::Wrong);
            assert!(at - began >= pace.penalty * (number as u32 / 4), "guess {number} after {:?}", at - began);
        }
        let (verdict, at) = right.await.unwrap();
        assert_eq!(verdict, Verdict::Right);
        assert!(at - began >= pace.penalty * 3);
        let hasty = Arc::new(Attempts::with(Pace { patience: pace.penalty * 3, ..pace }));
        let mut refused = 0;
        for guess in (0..40).map(|_| show(&hasty, false)).collect::<Vec<_>>() {
            refused += usize::from(guess.await.unwrap().0 == Verdict::TooMany);
        }
        assert!(refused >= 20, "{refused}");
    }
}
