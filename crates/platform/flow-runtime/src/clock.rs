//! Time as the runtime sees it: the wall clock at start, carried on by the monotonic clock (TG 3.14).
//!
//! A step of the wall clock moves neither timeouts nor clock triggers below a day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marram_flow::Time;
use marram_types::SharedClock;
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct Clock {
    wall: SharedClock,
    wall_ms: i64,
    origin: Instant,
}

impl Clock {
    pub fn start(wall: SharedClock) -> Self {
        let wall_ms = wall.now().as_millis();
        Self { wall, wall_ms, origin: Instant::now() }
    }

    /// The wall clock: what calendar triggers follow.
    pub fn wall(&self) -> Time {
        Time(self.wall.now().as_millis())
    }

    pub fn now(&self) -> Time {
        Time(self.wall_ms).plus(self.origin.elapsed().as_millis() as u64)
    }

    /// When this clock will show `time`; now, if it already does.
    pub fn instant(&self, time: Time) -> Instant {
        self.origin + Duration::from_millis(time.since(Time(self.wall_ms)))
    }
}

/// The machine's wall clock.
pub(crate) fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
