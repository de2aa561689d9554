//! Counting errors, and how long to wait before the next try (CR 2.5).

use marram_edge_ports::ComponentState as State;

/// A process that stayed this long has come up. The original looks at a deployment's components once a second (CR 4.9), so what dies
/// within its first second is seen dead and tried again before the deployment is called a success; one second is that one's patience.
pub const SETTLING_MS: i64 = 1000;

/// Errors after which the original gives a component up (CR 2.5).
const STRIKES: usize = 3;

/// When a component is given up, and how eagerly it is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// Errors from one state after which it is BROKEN.
    pub max_errors: u32,
    /// An error longer ago than this before the next one is forgotten, in milliseconds; `errorResetTime`.
    pub window_ms: i64,
    /// Pause before a retry.
    pub backoff: Backoff,
    /// A BROKEN component is tried again after this many milliseconds; none is never.
    pub broken_retry_ms: Option<i64>,
}

/// The first retry comes at once, the second after `initial_ms`, each further one `factor` times later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Before the second retry.
    pub initial_ms: i64,
    /// Longest pause.
    pub max_ms: i64,
    /// Growth.
    pub factor: f64,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            max_errors: 3,
            window_ms: 3_600_000,
            backoff: Backoff { initial_ms: 1000, max_ms: 60_000, factor: 2.0 },
            broken_retry_ms: None,
        }
    }
}

impl Backoff {
    /// When to retry after the `count`th error in a row; 0 is at once. Retries of the original come without a pause (CR 2.5): whoever waits
    /// for a component on trial does not wait long for its third error either.
    pub(super) fn retry_at(&self, now: i64, count: usize, on_trial: bool) -> i64 {
        let Some(later) = count.checked_sub(2) else { return 0 };
        let exponent = i32::try_from(later).unwrap_or(i32::MAX);
        let pause = (self.initial_ms as f64 * self.factor.max(1.0).powi(exponent)).min(self.max_ms as f64);
        let pause = if on_trial && count < STRIKES { (pause as i64).min(SETTLING_MS) } else { pause as i64 };
        now.saturating_add(pause)
    }
}

/// Errors in a row per source state.
#[derive(Debug, Clone, Default)]
pub(super) struct ErrorLog {
    new: Run,
    starting: Run,
    running: Run,
}

#[derive(Debug, Clone, Default)]
struct Run {
    count: usize,
    last: i64,
}

impl ErrorLog {
    /// Adds an error; answers how many count by now.
    pub(super) fn add(&mut self, from: State, now: i64, window_ms: i64) -> usize {
        let run = self.of(from);
        if now.saturating_sub(run.last) > window_ms {
            run.count = 0;
        }
        *run = Run { count: run.count.saturating_add(1), last: now };
        run.count
    }

    /// The state was left without an error.
    pub(super) fn clear(&mut self, from: State) {
        *self.of(from) = Run::default();
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    fn of(&mut self, from: State) -> &mut Run {
        match from {
            State::New => &mut self.new,
            State::Starting => &mut self.starting,
            _ => &mut self.running,
        }
    }
}
