//! The circuit breaker: a topic or filter that makes the control plane hang up is set aside for a while (CR 7.6).
//!
//! A control plane that refuses a publish or subscription closes the connection without saying which one it was. What was
//! unanswered within the last two seconds is suspect; suspects are sent one at a time on the next connection, so that the
//! second strike falls on the right one.
//!
//! Setting topics aside does not help against a component whose topics are new each time. So each time the control plane hangs up over a
//! message, what follows is held back for longer after the next connection, but for topics that it took before: meanwhile the line
//! stands for deployments and everything else.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

/// A disconnect this soon after a request is held against it.
pub(crate) const SUSPICION: Duration = Duration::from_secs(2);
/// Strikes until it is set aside.
const STRIKES: u8 = 2;
/// How long it is set aside.
const QUARANTINE: Duration = Duration::from_secs(600);
/// Names remembered.
const NAMES_MAX: usize = 1024;
/// Hang-ups over messages from which on the line is kept calm at first.
const CALM_FROM: u32 = 2;
/// For how long then, doubled by each further one, and at most.
const CALM: (Duration, Duration) = (Duration::from_secs(15), QUARANTINE);

#[derive(Debug, Clone, Copy)]
enum Standing {
    Suspect(u8, Instant),
    Quarantined(Instant),
}

/// What is known of topics and filters.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    names: HashMap<SmolStr, Standing>,
    /// Topics that the control plane took.
    taken: HashSet<SmolStr>,
    /// Hang-ups over messages; one less for each new topic that is taken.
    hang_ups: u32,
    calm_until: Option<Instant>,
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
        matches!(self.names.get(name), Some(Standing::Suspect(..)))
    }

    /// Whether anything is suspect.
    pub(crate) fn has_suspects(&self) -> bool {
        self.names.values().any(|standing| matches!(standing, Standing::Suspect(..)))
    }

    /// The control plane took a message to this topic.
    pub(crate) fn took(&mut self, topic: &str) {
        self.absolve(topic);
        if self.taken.contains(topic) {
            return;
        }
        if self.taken.len() >= NAMES_MAX {
            self.taken.clear();
        }
        self.taken.insert(topic.into());
        self.hang_ups = self.hang_ups.saturating_sub(1);
    }

    /// The control plane named this topic as one that this core may not publish to.
    pub(crate) fn refused(&mut self, topic: &str, now: Instant) {
        self.taken.remove(topic);
        if self.names.len() < NAMES_MAX || self.names.contains_key(topic) {
            self.names.insert(topic.into(), Standing::Quarantined(now + QUARANTINE));
        }
    }

    /// The control plane hung up over a message, and all that were under way went to topics that it took before.
    pub(crate) fn doubt_all(&mut self) {
        self.taken.clear();
    }

    /// The control plane hung up over a message.
    pub(crate) fn hung_up(&mut self) {
        self.hang_ups = self.hang_ups.saturating_add(1);
    }

    /// A new connection begins: how long nothing is sent to topics that were never taken.
    pub(crate) fn begin(&mut self, now: Instant) -> Duration {
        self.names.retain(|_, standing| match standing {
            Standing::Quarantined(until) => *until > now,
            // Of a message that expired, nobody hears any more.
            Standing::Suspect(_, since) => now.duration_since(*since) < QUARANTINE,
        });
        let doublings = self.hang_ups.checked_sub(CALM_FROM);
        let calm = doublings.map_or(Duration::ZERO, |times| (CALM.0 * (1 << times.min(10))).min(CALM.1));
        self.calm_until = (!calm.is_zero()).then(|| now + calm);
        calm
    }

    /// The end of the calm, if it is still to come.
    pub(crate) fn calm_until(&self, now: Instant) -> Option<Instant> {
        self.calm_until.filter(|until| *until > now)
    }

    /// Whether it may be sent now: `unsure` is whether a message to another topic that was never taken is under way.
    pub(crate) fn may_send(&mut self, topic: &str, unsure: bool, now: Instant) -> bool {
        if self.is_quarantined(topic, now) {
            return false;
        }
        self.hang_ups == 0 || self.taken.contains(topic) || (!unsure && self.calm_until(now).is_none())
    }

    /// Whether topics that were never taken are tried one at a time.
    pub(crate) fn is_wary(&self) -> bool {
        self.hang_ups > 0
    }

    /// Whether the control plane took messages to this topic.
    pub(crate) fn is_taken(&self, topic: &str) -> bool {
        self.taken.contains(topic)
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
            self.taken.remove(name);
            let strikes = match self.names.get(name) {
                Some(Standing::Suspect(strikes, _)) if alone => strikes + 1,
                Some(Standing::Suspect(strikes, _)) => *strikes,
                _ => 1,
            };
            if strikes >= STRIKES {
                tracing::warn!(topic = %name, minutes = QUARANTINE.as_secs() / 60, "the control plane hangs up over it: set aside");
                self.names.insert(name.clone(), Standing::Quarantined(now + QUARANTINE));
                quarantined.push(name.clone());
            } else {
                self.names.insert(name.clone(), Standing::Suspect(strikes, now));
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

    /// CR 10.3 (4): topics that are new each time are held back for longer and longer, those that were taken never; with each new one that is
    /// taken it gets better again.
    #[test]
    fn new_topics_wait_for_the_calm_to_end() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        breaker.took("known");
        let calms: Vec<u64> = (0..9)
            .map(|n| {
                breaker.refused(&format!("new/{n}"), now);
                breaker.hung_up();
                breaker.begin(now).as_secs()
            })
            .collect();
        assert_eq!(calms, [0, 15, 30, 60, 120, 240, 480, 600, 600]);
        assert!(breaker.may_send("known", true, now) && !breaker.may_send("new/9", false, now));
        let later = now + CALM.1;
        assert!(breaker.may_send("new/9", false, later) && !breaker.may_send("new/9", true, later));
        (0..9).for_each(|n| breaker.took(&format!("good/{n}")));
        assert!(!breaker.is_wary() && breaker.begin(later).is_zero() && breaker.may_send("new/9", true, later));
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
