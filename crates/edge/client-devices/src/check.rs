//! The daily check: every remembered device is asked about again, whether or not it keeps a connection open (CC 2.5.5).
//!
//! There is no timetable beside the memory itself: a device is due a day after the control plane's last word about it, so
//! one that connects often is never asked about here, and a core without client devices asks nothing.

use std::time::Duration;

use marram_edge_ports::DataPlaneError;
use tokio::sync::watch;

use crate::devices::Devices;

/// How old the control plane's word may become before it is asked again (CC 2.5.5).
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Devices that would be due within this time are asked about along with one that is: they share its connection.
const ALONG: Duration = Duration::from_secs(4 * 3_600);
/// How long nothing is looked at, at most: the clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(3_600);
/// Cores of a site whose line comes back together spread their questions over this time.
const SPREAD: Duration = Duration::from_secs(60);
/// Pause between two questions: a core with many devices makes no burst of them.
const BETWEEN: Duration = Duration::from_millis(500);
/// Pause after questions without an answer, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(4 * 3_600));

/// Between nothing and the whole of `pause`.
fn scattered(pause: Duration) -> Duration {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    pause.mul_f64(f64::from(u16::from_le_bytes([bytes[0], bytes[1]])) / 65_536.0)
}

impl Devices {
    /// Asks about the devices that are due, as long as there is a line (`true`) and the devices of this core matter. Never
    /// ends while `line` can change.
    pub async fn check_daily(self, mut line: watch::Receiver<bool>, is_wanted: impl Fn() -> bool + Send) {
        let mut pause = RETRY.0;
        loop {
            if line.wait_for(|up| *up).await.is_err() {
                return;
            }
            let next = match self.known().until_older_than(DAY) {
                Some(Duration::ZERO) if is_wanted() => {
                    tokio::time::sleep(scattered(SPREAD)).await;
                    match self.check().await {
                        Ok(()) => {
                            pause = RETRY.0;
                            continue;
                        }
                        Err(error) => {
                            tracing::info!(%error, "client devices could not be checked: what is remembered counts");
                            let now = pause;
                            pause = (pause * 2).min(RETRY.1);
                            now
                        }
                    }
                }
                None | Some(Duration::ZERO) => LOOK,
                Some(left) => left.min(LOOK),
            };
            tokio::select! {
                down = line.wait_for(|up| !*up) => if down.is_err() {
                    return;
                } else {
                    pause = RETRY.0;
                },
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Asks about every device whose last word is about a day old, one after the other. Whoever is refused is forgotten,
    /// and with that its open connections end. A question without an answer changes nothing.
    ///
    /// # Errors
    /// The last question that had no answer; without a line the rest is not asked.
    pub async fn check(&self) -> Result<(), DataPlaneError> {
        let known = self.known();
        let mut failed = None;
        for (thing, certificate_id) in known.older_than(DAY - ALONG) {
            match known.ask_again(&thing, &certificate_id).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(%thing, "a client device is no longer one of this core's: its connections end")
                }
                Err(error @ DataPlaneError::Answered { .. }) => failed = Some(error),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            tokio::time::sleep(scattered(BETWEEN)).await;
        }
        known.keep();
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use marram_types::{ManualClock, Timestamp};

    use super::*;
    use crate::DevicesOptions;
    use crate::known::Verdict;
    use crate::word::Word;

    /// CC 2.5.5: a day after the control plane's last word it is asked again about each device that is remembered, once, and
    /// those that it no longer knows are forgotten; without a line, without an answer and without devices nothing happens.
    #[tokio::test(start_paused = true)]
    async fn devices_are_asked_about_once_a_day() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        let word = Arc::new(Word::default());
        let devices = Devices::open(DevicesOptions {
            dir: dir.path().join("auth"),
            clock: clock.clone(),
            cloud: Some(word.clone()),
            trusted_authorities_pem: String::new(),
        })
        .unwrap();
        let (line, up) = watch::channel(true);
        let checking = tokio::spawn(devices.clone().check_daily(up, || true));
        // Both clocks, in steps that a sleeper notices.
        let pass = async |time: Duration| {
            for _ in 0..time.as_secs() / 60 {
                clock.advance(Duration::from_secs(60));
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        };
        let is_known = |thing: &str| devices.known().remembered(thing, "c1", HOUR * 1_000) == Verdict::Known;

        pass(HOUR * 72).await;
        assert_eq!(word.asked(), 0, "nobody is remembered");

        for thing in ["lathe", "drill"] {
            assert_eq!(devices.known().verify(thing, "c1", "pem", HOUR).await, Verdict::Known);
            pass(HOUR * 2).await;
        }
        assert_eq!(word.asked(), 2);
        pass(HOUR * 19).await;
        assert_eq!(word.asked(), 2, "23 hours after the first");
        pass(HOUR * 2).await;
        assert_eq!(word.asked(), 4, "the second goes along");
        pass(HOUR * 22).await;
        assert_eq!(word.asked(), 4);

        word.dissociate("lathe");
        line.send_replace(false);
        pass(HOUR * 48).await;
        assert_eq!(word.asked(), 4, "no line");
        word.set_gone(true);
        line.send_replace(true);
        pass(HOUR * 24).await;
        assert!(is_known("lathe") && is_known("drill"), "an answer that cannot be had changes nothing");
        let asked = word.asked();
        assert!((5..30).contains(&asked), "{asked} questions in a day without an answer");

        word.set_gone(false);
        let version = devices.version();
        pass(HOUR * 5).await;
        assert!(!is_known("lathe") && is_known("drill"));
        assert!(devices.version() > version, "open connections are decided anew");
        let asked = word.asked();
        pass(HOUR * 18).await;
        assert_eq!(word.asked(), asked);
        checking.abort();
    }
}
