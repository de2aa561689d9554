//! What strangers may cost: handshake rates and the number of connections without a name.
//!
//! One generic cell rate (GCRA) cell per source and one for all: a cell is a single time, so a
//! source costs 40 bytes. A source is an IPv4 address or an IPv6 /64.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::AcceptError;

/// Sources remembered at once; beyond that only those with debts are kept.
const MAX_SOURCES: usize = 65_536;

/// Limits before authentication (SEC 12.2).
#[derive(Debug, Clone)]
pub struct HandshakeLimits {
    /// Handshakes per second and source.
    pub per_source_per_second: u32,
    /// Handshakes a quiet source may start at once.
    pub per_source_burst: u32,
    /// Handshakes per second in total.
    pub global_per_second: u32,
    /// Connections that have not authenticated yet.
    pub max_unauthenticated: usize,
    /// Time to finish TLS.
    pub handshake_timeout: Duration,
    /// How long a connection over its rate may wait before it is dropped instead.
    pub max_delay: Duration,
    /// Whether loopback peers are free of the two rates (the count and the timeout still hold):
    /// one machine's own processes share one address.
    pub exempt_loopback: bool,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            per_source_per_second: 20,
            per_source_burst: 40,
            global_per_second: 2_000,
            max_unauthenticated: 5_000,
            handshake_timeout: Duration::from_secs(10),
            max_delay: Duration::from_secs(1),
            exempt_loopback: true,
        }
    }
}

/// Holds one of the places for unauthenticated connections. Drop it once the peer has
/// authenticated (CONNECT accepted, first request verified) or left.
#[derive(Debug)]
pub struct UnauthenticatedPermit {
    _permit: OwnedSemaphorePermit,
}

/// Admits connections to the handshake. Share one between the listeners of a process.
#[derive(Debug)]
pub struct HandshakeGate {
    limits: HandshakeLimits,
    places: Arc<Semaphore>,
    cells: Mutex<Cells>,
}

#[derive(Debug)]
struct Cells {
    global: Instant,
    sources: HashMap<IpAddr, Instant>,
}

impl HandshakeGate {
    /// A gate with these limits.
    pub fn new(limits: HandshakeLimits) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(limits.max_unauthenticated));
        let cells = Mutex::new(Cells { global: Instant::now(), sources: HashMap::new() });
        Arc::new(Self { limits, places, cells })
    }

    /// The limits.
    pub fn limits(&self) -> &HandshakeLimits {
        &self.limits
    }

    /// Connections inside that have not authenticated.
    pub fn unauthenticated(&self) -> usize {
        self.limits.max_unauthenticated - self.places.available_permits()
    }

    /// Waits for the source's turn, at most [`HandshakeLimits::max_delay`].
    ///
    /// # Errors
    /// [`AcceptError::Throttled`], [`AcceptError::TooManyPending`].
    pub async fn admit(&self, source: IpAddr) -> Result<UnauthenticatedPermit, AcceptError> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| AcceptError::TooManyPending)?;
        if !(self.limits.exempt_loopback && source.to_canonical().is_loopback()) {
            let delay = self.reserve(source, Instant::now()).ok_or(AcceptError::Throttled)?;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
        }
        Ok(UnauthenticatedPermit { _permit: permit })
    }

    /// Takes one turn of the source and of the whole; the time to wait for it, or `None` when it
    /// is too far away (nothing is taken then).
    fn reserve(&self, source: IpAddr, now: Instant) -> Option<Duration> {
        let per_source = Duration::from_secs(1) / self.limits.per_source_per_second.max(1);
        let per_all = Duration::from_secs(1) / self.limits.global_per_second.max(1);
        let burst = per_source * self.limits.per_source_burst.saturating_sub(1);
        let key = source_key(source);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);

        let source_at = cells.sources.get(&key).copied().unwrap_or(now).max(now);
        // A tenth of a second of slack for all, so that arrivals need not be evenly spaced.
        let global_at = cells.global.max(now);
        let delay = source_at
            .saturating_duration_since(now + burst)
            .max(global_at.saturating_duration_since(now + Duration::from_millis(100)));
        if delay > self.limits.max_delay {
            return None;
        }
        cells.global = global_at + per_all;
        if cells.sources.len() >= MAX_SOURCES {
            cells.sources.retain(|_, at| *at > now);
        }
        if cells.sources.len() < MAX_SOURCES || cells.sources.contains_key(&key) {
            cells.sources.insert(key, source_at + per_source);
        }
        Some(delay)
    }
}

/// One customer line usually holds a whole IPv6 /64.
fn source_key(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC 12.2: burst 40 at once, then 20 per second, then a delay, then drops; others unharmed.
    #[test]
    fn a_source_gets_its_burst_then_its_rate_then_nothing() {
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let now = Instant::now();
        let greedy: IpAddr = "192.0.2.7".parse().unwrap();
        for turn in 0..40 {
            assert_eq!(gate.reserve(greedy, now), Some(Duration::ZERO), "turn {turn}");
        }
        let delays: Vec<_> = (0..20).map(|_| gate.reserve(greedy, now)).collect();
        assert_eq!(delays.first(), Some(&Some(Duration::from_millis(50))));
        assert_eq!(delays.last(), Some(&Some(Duration::from_secs(1))));
        assert_eq!(gate.reserve(greedy, now), None);
        assert_eq!(gate.reserve("192.0.2.8".parse().unwrap(), now), Some(Duration::ZERO));
        let later = now + Duration::from_secs(4);
        assert_eq!(gate.reserve(greedy, later), Some(Duration::ZERO));
    }

    /// SEC 12.2: addresses of one IPv6 /64 are one source; v4-mapped addresses are v4.
    #[test]
    fn one_ipv6_subnet_is_one_source() {
        let key = |text: &str| source_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
    }
}
