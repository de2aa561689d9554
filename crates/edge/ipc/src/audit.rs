//! Denials on the audit stream (tracing target `audit`), at most a burst per principal and interval (CR 6.9).

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use smol_str::SmolStr;

/// Denials of one principal written in one interval; more are counted and told with the next one written.
const BURST: u32 = 20;
/// See [`BURST`].
const INTERVAL: Duration = Duration::from_secs(10);
/// Principals remembered. Names come from authenticated callers, so this is a bound, not a working limit.
const MAX_PRINCIPALS: usize = 4096;

struct Window {
    since: Instant,
    written: u32,
    suppressed: u64,
}

/// Remembers who was denied how often lately.
#[derive(Default)]
pub(crate) struct Denials(Mutex<HashMap<SmolStr, Window>>);

impl Denials {
    /// Writes one denial, or counts it.
    pub(crate) fn record(&self, principal: &SmolStr, service: &str, operation: &str, resource: &str) {
        if let Some(suppressed) = self.admit(principal, Instant::now()) {
            tracing::warn!(target: "audit", event = "IpcDenied", %principal, service, operation, resource, suppressed);
        }
    }

    /// How many of its lines were left out before this one; none when this one is to be left out too.
    pub(crate) fn may_tell(&self, principal: &SmolStr) -> Option<u64> {
        self.admit(principal, Instant::now())
    }

    /// How many were suppressed before this one; none when this one is suppressed too.
    fn admit(&self, principal: &SmolStr, now: Instant) -> Option<u64> {
        let mut windows = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if windows.len() >= MAX_PRINCIPALS && !windows.contains_key(principal) {
            windows.retain(|_, window| now.duration_since(window.since) < INTERVAL);
        }
        let window = windows.entry(principal.clone()).or_insert(Window { since: now, written: 0, suppressed: 0 });
        if now.duration_since(window.since) >= INTERVAL {
            window.since = now;
            window.written = 0;
        }
        if window.written == BURST {
            window.suppressed += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 6.9: a burst is written, the flood is counted, and one principal's flood hides nobody else's denial.
    #[test]
    fn floods_are_counted() {
        let (denials, start) = (Denials::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(denials.admit(&"a".into(), start), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(denials.admit(&"a".into(), start), None);
        }
        assert_eq!(denials.admit(&"b".into(), start), Some(0));
        assert_eq!(denials.admit(&"a".into(), start + INTERVAL), Some(7));
    }
}
