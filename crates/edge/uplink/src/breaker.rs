//! The circuit breaker: a topic or filter that makes the control plane hang up is set aside for a while (CR 7.6).
//!
//! A control plane that refuses a publish or subscription closes the connection without saying which one it was. What was
//! unanswered within the last two seconds is suspect; suspects are sent one at a time on the next connection, so that the
//! second strike falls on the right one.

use std::collections::HashMap;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

/// A disconnect this soon after a request is held against it.
const SUSPICION: Duration = Duration::from_secs(2);
/// Strikes until it is set aside.
const STRIKES: u8 = 2;
/// How long it is set aside.
const QUARANTINE: Duration = Duration::from_secs(600);
/// Names remembered.
const NAMES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy)]
enum Standing {
    Suspect(u8),
    Quarantined(Instant),
}

/// What is known of topics and filters.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    names: HashMap<SmolStr, Standing>,
}

impl Breaker {
    /// Whether it may not be sent now.
    pub(crate) fn is_quarantined(&mut self, name: &str, now: Instant) -> bool {
        match self.names.get(name) {
            Some(Standing::Quarantined(until)) if *until > now => true,
            Some(Standing::Quarantined(_)) => {
                self.names.remove(name);
                false
            }
            _ => false,
        }
    }

    /// Whether it must be sent alone.
    pub(crate) fn is_suspect(&self, name: &str) -> bool {
        matches!(self.names.get(name), Some(Standing::Suspect(_)))
    }

    /// Whether anything is suspect.
    pub(crate) fn has_suspects(&self) -> bool {
        self.names.values().any(|standing| matches!(standing, Standing::Suspect(_)))
    }

    /// It was answered.
    pub(crate) fn absolve(&mut self, name: &str) {
        if self.is_suspect(name) {
            self.names.remove(name);
        }
    }

    /// The connection ended with these unanswered; answers those that are set aside now.
    pub(crate) fn blame(&mut self, unanswered: &[(SmolStr, Instant)], now: Instant) -> Vec<SmolStr> {
        let mut quarantined = Vec::new();
        // Several at once cannot all be guilty: only one alone gets a second strike.
        let alone = unanswered.len() == 1;
        for (name, sent) in unanswered {
            if now.duration_since(*sent) > SUSPICION || self.names.len() >= NAMES_MAX {
                continue;
            }
            let strikes = match self.names.get(name) {
                Some(Standing::Suspect(strikes)) if alone => strikes + 1,
                Some(Standing::Suspect(strikes)) => *strikes,
                _ => 1,
            };
            if strikes >= STRIKES {
                tracing::warn!(topic = %name, minutes = QUARANTINE.as_secs() / 60, "the control plane hangs up over it: set aside");
                self.names.insert(name.clone(), Standing::Quarantined(now + QUARANTINE));
                quarantined.push(name.clone());
            } else {
                self.names.insert(name.clone(), Standing::Suspect(strikes));
            }
        }
        quarantined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.6, 10.3 (4): the guilty one of several is found and set aside, the others go on.
    #[test]
    fn the_second_strike_falls_on_the_right_one() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        let sent = |names: &[&str]| names.iter().map(|name| (SmolStr::new(name), now)).collect::<Vec<_>>();
        assert!(breaker.blame(&sent(&["good", "bad"]), now).is_empty());
        assert!(breaker.is_suspect("good") && breaker.is_suspect("bad"));
        breaker.absolve("good");
        assert_eq!(breaker.blame(&sent(&["bad"]), now), ["bad"]);
        assert!(breaker.is_quarantined("bad", now) && !breaker.is_quarantined("good", now));
        assert!(!breaker.is_quarantined("bad", now + QUARANTINE));
    }

    /// A line that drops long after the last request proves nothing.
    #[test]
    fn old_requests_are_not_blamed() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        for _ in 0..3 {
            assert!(breaker.blame(&[("a".into(), now)], now + Duration::from_secs(3)).is_empty());
        }
        assert!(!breaker.is_suspect("a"));
    }
}
