//! Maintenance windows: when a job hands executions out (CP 4.7).

use marram_types::Timestamp;
use serde_json::Value;

use crate::cron::Cron;

/// Windows of one job.
const MAX_WINDOWS: usize = 10;
/// Longest window, in minutes: the model's.
const MAX_MINUTES: i64 = 1430;

/// A window that opens again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    opens: Cron,
    /// 1 to 1430.
    minutes: i64,
}

impl Window {
    /// Reads `maintenanceWindows`; nothing is no window.
    ///
    /// # Errors
    /// What cannot be read, in words for the caller.
    pub fn read(list: &Value) -> Result<Vec<Self>, String> {
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        if list.len() > MAX_WINDOWS {
            return Err(format!("a job has at most {MAX_WINDOWS} maintenance windows"));
        }
        let window = |window: &Value| {
            let minutes = window["durationInMinutes"].as_i64().filter(|minutes| (1..=MAX_MINUTES).contains(minutes));
            Ok(Self {
                opens: Cron::parse(window["startTime"].as_str().unwrap_or_default())?,
                minutes: minutes.ok_or_else(|| format!("durationInMinutes must be from 1 to {MAX_MINUTES}"))?,
            })
        };
        list.iter().map(window).collect()
    }

    /// Whether it is open at `at`.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let opened = self.opens.last_within_a_day(at);
        opened.is_some_and(|opened| at.as_secs() < opened.as_secs() + self.minutes * 60)
    }

    /// The first opening of any of `windows` after `at`.
    pub fn next_opening(windows: &[Self], at: Timestamp) -> Option<Timestamp> {
        windows.iter().filter_map(|window| window.opens.next_after(at)).min()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CP 4.7: open from its start for its length, over midnight too, and at no other time.
    #[test]
    fn windows_open_and_close() {
        let windows = Window::read(&json!([{"startTime": "cron(0 23 ? * SAT *)", "durationInMinutes": 120}])).unwrap();
        for (at, open) in [
            ("2026-11-21T22:59:59Z", false),
            ("2026-11-21T23:00:00Z", true),
            ("2026-11-22T00:59:59Z", true),
            ("2026-11-22T01:00:00Z", false),
            ("2026-11-22T23:30:00Z", false),
        ] {
            let at = Timestamp::parse_rfc3339(at).unwrap();
            assert_eq!(windows[0].is_open(at), open, "{at:?}");
        }
        for wrong in [
            json!([{"startTime": "cron(0 23 ? * SAT *)"}]),
            json!([{"startTime": "cron(0 23 ? * SAT *)", "durationInMinutes": 1431}]),
            json!([{"startTime": "tomorrow", "durationInMinutes": 1}]),
            json!(vec![json!({"startTime": "cron(0 23 ? * SAT *)", "durationInMinutes": 1}); 11]),
        ] {
            assert!(Window::read(&wrong).is_err(), "{wrong}");
        }
    }
}
