//! The metering quotas of the original, where an operator wants them: publishes and bytes per second and connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::options::Quotas;

/// Two token buckets of one second's worth each. A connection that emptied one is not read until it fills again.
#[derive(Debug)]
pub(crate) struct Pace {
    quotas: Quotas,
    publishes: f64,
    bytes: f64,
    refilled: Instant,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(crate) fn new(quotas: Quotas) -> Self {
        let (publishes, bytes) = (f64::from(quotas.publishes_per_sec), f64::from(quotas.bytes_per_sec));
        Self { quotas, publishes, bytes, refilled: Instant::now(), wait: None }
    }

    /// A publish arrived. Whether the connection has to pause after it.
    pub(crate) fn spend(&mut self, payload_len: usize) -> bool {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        let (rate, byte_rate) = (f64::from(self.quotas.publishes_per_sec), f64::from(self.quotas.bytes_per_sec));
        self.publishes = (self.publishes + elapsed * rate).min(rate) - 1.0;
        self.bytes = (self.bytes + elapsed * byte_rate).min(byte_rate) - payload_len as f64;
        let debt = (-self.publishes / rate).max(-self.bytes / byte_rate);
        if debt > 0.0 {
            self.wait = Some(Box::pin(tokio::time::sleep(Duration::from_secs_f64(debt))));
        }
        debt > 0.0
    }

    /// Whether a pause is on.
    pub(crate) fn is_paused(&self) -> bool {
        self.wait.is_some()
    }

    /// Ready when there is no pause.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 5.2: 100 publishes per second and 512 KiB per second; a burst of one second's worth is free.
    #[tokio::test]
    async fn a_connection_pauses_when_its_second_is_spent() {
        let mut pace = Pace::new(Quotas::default());
        assert_eq!((0..300).position(|_| pace.spend(10)), Some(100));
        assert!(pace.is_paused());
        let mut pace = Pace::new(Quotas::default());
        assert_eq!((0..300).position(|_| pace.spend(131_072)), Some(4));
    }
}
