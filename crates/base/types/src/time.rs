//! Moments and clocks. A `Timestamp` is microseconds since the Unix epoch, UTC; the store keeps that integer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: microseconds since 1970-01-01T00:00:00Z, between years -9999 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A text or number that is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp")]
pub struct TimestampError;

const MICROS_PER_SEC: i64 = 1_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// A moment from microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// A moment from whole seconds since the epoch; saturates.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(MICROS_PER_SEC))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SEC)
    }

    /// A moment from milliseconds since the epoch; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Seconds since the epoch with a fraction of three digits: the JSON protocols' timestamp format.
    pub fn epoch_seconds(self) -> f64 {
        self.as_millis() as f64 / 1000.0
    }

    /// A moment from fractional seconds since the epoch, rounded to the microsecond.
    ///
    /// # Errors
    /// NaN, infinities and moments outside the years -9999 to 9999.
    pub fn from_epoch_seconds(secs: f64) -> Result<Self, TimestampError> {
        let micros = (secs * MICROS_PER_SEC as f64).round();
        // Years beyond 9999 cannot be printed.
        if !micros.is_finite() || micros.abs() > 3.0e17 {
            return Err(TimestampError);
        }
        let moment = Self(micros as i64);
        jiff::Timestamp::from_microsecond(moment.0).map(|_| moment).map_err(|_| TimestampError)
    }

    /// `2026-03-02T08:14:02Z`.
    pub fn rfc3339(self) -> String {
        let d = self.civil();
        format!("{}T{:02}:{:02}:{:02}Z", d.date(), d.hour(), d.minute(), d.second())
    }

    /// `2026-03-02T08:14:02.123Z`.
    pub fn rfc3339_millis(self) -> String {
        let d = self.civil();
        format!("{}T{:02}:{:02}:{:02}.{:03}Z", d.date(), d.hour(), d.minute(), d.second(), d.millisecond())
    }

    /// `20260302T081402Z`, the form of `X-Amz-Date`.
    pub fn amz_date(self) -> String {
        let d = self.civil();
        format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", d.year(), d.month(), d.day(), d.hour(), d.minute(), d.second())
    }

    /// Reads an RFC 3339 moment with any offset.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_microsecond())).map_err(|_| TimestampError)
    }

    /// This moment plus a duration; saturates.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment minus a duration; saturates.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The civil UTC date and time; moments outside the printable years saturate.
    fn civil(self) -> jiff::civil::DateTime {
        let moment = jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        jiff::tz::Offset::UTC.to_datetime(moment)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339_millis())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// Where "now" comes from. Services hold a [`SharedClock`]; pure crates take a [`Timestamp`].
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A clock shared by many.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The wall clock, ready to share.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond())
    }
}

/// A clock that moves only when told to: tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Puts the clock to a moment, backward too.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 1.2 / 10.2: the three printed forms of one moment, and back.
    #[test]
    fn moments_print_and_parse() {
        let t = Timestamp::parse_rfc3339("2026-03-02T09:14:02.123456+01:00").unwrap();
        assert_eq!(t.rfc3339(), "2026-03-02T08:14:02Z");
        assert_eq!(t.rfc3339_millis(), "2026-03-02T08:14:02.123Z");
        assert_eq!(t.amz_date(), "20260302T081402Z");
        assert_eq!(t.epoch_seconds(), 1_772_439_242.123);
        assert_eq!(Timestamp::from_epoch_seconds(1_772_439_242.123).unwrap().as_millis(), t.as_millis());
        assert_eq!(Timestamp::from_micros(-1).rfc3339(), "1969-12-31T23:59:59Z");
        for bad in ["", "2026-03-02", "2026-13-02T08:14:02Z", "now"] {
            assert!(Timestamp::parse_rfc3339(bad).is_err(), "{bad}");
        }
        for bad in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert!(Timestamp::from_epoch_seconds(bad).is_err(), "{bad}");
        }
        assert!(Timestamp::from_micros(i64::MAX).rfc3339().starts_with("9999"));
    }

    #[test]
    fn a_manual_clock_moves_when_told() {
        let clock = ManualClock::new(Timestamp::from_secs(5));
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now(), Timestamp::from_millis(6500));
        assert_eq!(clock.now().since(Timestamp::from_secs(6)), Duration::from_millis(500));
        assert_eq!(Timestamp::EPOCH.since(clock.now()), Duration::ZERO);
    }
}
