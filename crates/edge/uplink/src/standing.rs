//! How the line stands, for those who ask: not configured, up, or down since when and why.

use std::time::Duration;

use marram_edge_ports::{Denied, Outage, Trouble};
use marram_types::Timestamp;
use tokio::time::Instant;

/// How long a message that was not taken is told of.
const TOLD: Duration = Duration::from_secs(3600);

/// Told by the line and by whoever makes its settings.
#[derive(Debug)]
pub(crate) struct Standing {
    is_configured: bool,
    was_up: bool,
    down: Option<Down>,
    /// How often the control plane hung up over a message; the last one's topic, and when.
    denied: (u64, Option<(String, Instant)>),
}

#[derive(Debug)]
struct Down {
    /// Not a time of day: a clock without a battery is set once there is a network.
    since: Instant,
    trouble: Option<Trouble>,
}

impl Standing {
    /// Of a line that was not tried yet.
    pub(crate) fn new(is_configured: bool) -> Self {
        Self {
            is_configured,
            was_up: false,
            down: Some(Down { since: Instant::now(), trouble: None }),
            denied: (0, None),
        }
    }

    /// The control plane hung up over a message.
    pub(crate) fn denied(&mut self, topic: &str) {
        self.denied = (self.denied.0 + 1, Some((topic.to_owned(), Instant::now())));
    }

    /// As asked at `now`; nothing when it was long ago.
    pub(crate) fn last_denied(&self, now: Timestamp) -> Option<Denied> {
        let (times, last) = &self.denied;
        let (topic, at) = last.as_ref().filter(|(_, at)| at.elapsed() < TOLD)?;
        Some(Denied { times: *times, topic: topic.clone(), at: now.saturating_sub(at.elapsed()).as_millis() })
    }

    /// Other settings, or none: what was in the way of the old ones is forgotten.
    pub(crate) fn settings(&mut self, is_configured: bool) {
        let first = is_configured && !self.is_configured;
        self.is_configured = is_configured;
        match &mut self.down {
            Some(down) if !first => down.trouble = None,
            Some(down) => *down = Down { since: Instant::now(), trouble: None },
            None => {}
        }
    }

    /// It is up.
    pub(crate) fn up(&mut self) {
        self.was_up = true;
        self.down = None;
    }

    /// It is down, or still is, and why.
    pub(crate) fn down(&mut self, trouble: Option<Trouble>) {
        let since = self.down.as_ref().map_or_else(Instant::now, |down| down.since);
        self.down = Some(Down { since, trouble });
    }

    /// There are settings, and they cannot be used.
    pub(crate) fn unusable(&mut self, trouble: Trouble) {
        self.is_configured = true;
        self.down(Some(trouble));
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// As asked at `now`; `spooled` is what waits.
    pub(crate) fn outage(&self, now: Timestamp, spooled: (usize, u64)) -> Option<Outage> {
        let down = self.down.as_ref().filter(|_| self.is_configured)?;
        Some(Outage {
            since: now.saturating_sub(down.since.elapsed()).as_millis(),
            was_up: self.was_up,
            trouble: down.trouble.clone(),
            waiting_messages: spooled.0,
            waiting_bytes: spooled.1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Timestamp = Timestamp::from_secs(0);
    const TODAY: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// A device whose clock begins in 1970 until there is a network does not say that its line is down since then.
    #[test]
    fn a_clock_that_is_set_moves_the_beginning() {
        let standing = Standing::new(true);
        let since = |now| standing.outage(now, (0, 0)).unwrap().since;
        assert!(since(RESET) <= 0);
        assert!(since(TODAY) > TODAY.as_millis() / 2, "{}", since(TODAY));
    }

    /// Another reason is not another outage.
    #[test]
    fn the_beginning_stays_while_reasons_change() {
        let mut standing = Standing::new(true);
        let begin = standing.down.as_ref().unwrap().since;
        standing.down(None);
        standing.settings(true);
        assert_eq!(standing.down.as_ref().unwrap().since, begin);
        standing.up();
        assert_eq!(standing.outage(TODAY, (0, 0)), None);
        standing.down(None);
        assert!(standing.outage(TODAY, (0, 0)).unwrap().was_up);
    }
}
