//! What a job says about its own course: roll-out rate, abort criteria, timeouts, retries, schedule (CP 4.7).

use serde_json::Value;

use crate::status::ExecutionStatus;
use crate::window::Window;

/// Rate of an exponential roll-out, and of a schedule's minutes: the largest a job may ask for, per minute.
const MAX_RATE: i64 = 1000;

/// Executions of a job by status; one per thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Things that wait for the roll-out.
    pub waiting: i64,
    /// By status, in the order of [`ExecutionStatus::ALL`].
    by_status: [i64; 8],
}

impl Counts {
    /// How many are in this status.
    pub fn of(&self, status: ExecutionStatus) -> i64 {
        self.by_status[status as usize]
    }

    /// Sets a count.
    pub fn set(&mut self, status: ExecutionStatus, count: i64) {
        self.by_status[status as usize] = count;
    }

    /// Executions that have not ended, things that wait included.
    pub fn open(&self) -> i64 {
        self.waiting + self.of(ExecutionStatus::Queued) + self.of(ExecutionStatus::InProgress)
    }

    /// Executions that have ended.
    pub fn ended(&self) -> i64 {
        ExecutionStatus::ALL.iter().filter(|status| status.is_terminal()).map(|status| self.of(*status)).sum()
    }

    /// Executions that were handed out.
    pub fn notified(&self) -> i64 {
        self.by_status.iter().sum()
    }
}

/// How fast executions are handed out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rollout {
    /// All at once.
    Unlimited,
    /// So many a minute.
    Constant(i64),
    /// Faster with success.
    Exponential {
        /// At the start, per minute.
        base: i64,
        /// What each step multiplies the rate with.
        factor: f64,
        /// Things notified or succeeded per step.
        step: i64,
        /// Count successes rather than notifications.
        succeeded: bool,
        /// Never faster, per minute.
        maximum: i64,
    },
}

/// When a job calls itself off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AbortRule {
    /// The failures that count; `None`: all three kinds.
    pub failure: Option<ExecutionStatus>,
    /// Percent of the ended executions.
    pub threshold: f64,
    /// Ended executions below which nothing is decided.
    pub minimum: i64,
}

/// What happens to unfinished executions when a scheduled job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndBehavior {
    /// No new executions.
    StopRollout,
    /// Queued ones are canceled.
    Cancel,
    /// Those in progress too.
    ForceCancel,
}

/// The course of a job, read from the members of `CreateJob`.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// How fast.
    pub rollout: Rollout,
    /// Until when it goes well.
    pub abort: Vec<AbortRule>,
    /// Minutes an execution may be in progress.
    pub timeout_minutes: Option<i64>,
    /// Further attempts after `FAILED`, after `TIMED_OUT`.
    pub retries: [i64; 2],
    /// When executions are handed out; at any time when there are none.
    pub windows: Vec<Window>,
}

impl JobConfig {
    /// Reads the configuration members; the model's ranges have been checked.
    ///
    /// # Errors
    /// What is contradictory, in words for the caller.
    pub fn read(input: &Value) -> Result<Self, String> {
        Ok(Self {
            rollout: rollout(&input["jobExecutionsRolloutConfig"])?,
            abort: abort(&input["abortConfig"])?,
            timeout_minutes: match &input["timeoutConfig"]["inProgressTimeoutInMinutes"] {
                Value::Null => None,
                minutes => Some(
                    minutes
                        .as_i64()
                        .filter(|minutes| (1..=10_080).contains(minutes))
                        .ok_or("inProgressTimeoutInMinutes must be from 1 to 10080")?,
                ),
            },
            retries: retries(&input["jobExecutionsRetryConfig"]["criteriaList"])?,
            windows: Window::read(&input["schedulingConfig"]["maintenanceWindows"])?,
        })
    }

    /// Whether the counts call the job off.
    pub fn should_abort(&self, counts: &Counts) -> bool {
        let ended = counts.ended();
        self.abort.iter().any(|rule| {
            let failed: i64 = match rule.failure {
                Some(status) => counts.of(status),
                None => [ExecutionStatus::Failed, ExecutionStatus::Rejected, ExecutionStatus::TimedOut]
                    .iter()
                    .map(|status| counts.of(*status))
                    .sum(),
            };
            ended >= rule.minimum && ended > 0 && failed as f64 * 100.0 >= rule.threshold * ended as f64 && failed > 0
        })
    }

    /// Further attempts that a failed or timed-out execution has at most.
    pub fn retries_after(&self, status: ExecutionStatus) -> i64 {
        match status {
            ExecutionStatus::Failed => self.retries[0],
            ExecutionStatus::TimedOut => self.retries[1],
            _ => 0,
        }
    }
}

impl Rollout {
    /// Executions per minute at these counts; `None`: no limit.
    pub fn rate(&self, counts: &Counts) -> Option<i64> {
        match *self {
            Self::Unlimited => None,
            Self::Constant(rate) => Some(rate),
            Self::Exponential { base, factor, step, succeeded, maximum } => {
                let reached = if succeeded { counts.of(ExecutionStatus::Succeeded) } else { counts.notified() };
                let steps = i32::try_from(reached / step.max(1)).unwrap_or(i32::MAX);
                let rate = base as f64 * factor.powi(steps);
                // Saturates: a rate that outgrew the type is the maximum.
                Some((rate as i64).clamp(1, maximum))
            }
        }
    }
}

fn rollout(config: &Value) -> Result<Rollout, String> {
    let maximum = config["maximumPerMinute"].as_i64();
    let exponential = &config["exponentialRate"];
    if exponential.is_null() {
        return Ok(maximum.map_or(Rollout::Unlimited, |rate| Rollout::Constant(rate.max(1))));
    }
    let criteria = &exponential["rateIncreaseCriteria"];
    let (notified, succeeded) =
        (criteria["numberOfNotifiedThings"].as_i64(), criteria["numberOfSucceededThings"].as_i64());
    let step = match (notified, succeeded) {
        (Some(step), None) | (None, Some(step)) => step.max(1),
        _ => {
            return Err("rateIncreaseCriteria takes one of numberOfNotifiedThings, numberOfSucceededThings".to_owned());
        }
    };
    Ok(Rollout::Exponential {
        base: exponential["baseRatePerMinute"].as_i64().unwrap_or(1).clamp(1, MAX_RATE),
        factor: exponential["incrementFactor"].as_f64().unwrap_or(1.1).clamp(1.0, 5.0),
        step,
        succeeded: succeeded.is_some(),
        maximum: maximum.unwrap_or(MAX_RATE).max(1),
    })
}

fn abort(config: &Value) -> Result<Vec<AbortRule>, String> {
    let rules = config["criteriaList"].as_array().map_or(&[][..], Vec::as_slice);
    rules
        .iter()
        .map(|rule| {
            let failure = match rule["failureType"].as_str() {
                Some("FAILED") => Some(ExecutionStatus::Failed),
                Some("REJECTED") => Some(ExecutionStatus::Rejected),
                Some("TIMED_OUT") => Some(ExecutionStatus::TimedOut),
                Some("ALL") => None,
                _ => return Err("failureType must be FAILED, REJECTED, TIMED_OUT or ALL".to_owned()),
            };
            let threshold = rule["thresholdPercentage"].as_f64().filter(|percent| (0.0..=100.0).contains(percent));
            Ok(AbortRule {
                failure,
                threshold: threshold.ok_or("thresholdPercentage must be from 0 to 100")?,
                minimum: rule["minNumberOfExecutedThings"].as_i64().unwrap_or(1).max(1),
            })
        })
        .collect()
}

fn retries(criteria: &Value) -> Result<[i64; 2], String> {
    let mut retries = [0, 0];
    for one in criteria.as_array().map_or(&[][..], Vec::as_slice) {
        let number = one["numberOfRetries"].as_i64().filter(|number| (0..=10).contains(number));
        let number = number.ok_or("numberOfRetries must be from 0 to 10")?;
        match one["failureType"].as_str() {
            Some("FAILED") => retries[0] = number,
            Some("TIMED_OUT") => retries[1] = number,
            Some("ALL") => retries = [number, number],
            _ => return Err("failureType must be FAILED, TIMED_OUT or ALL".to_owned()),
        }
    }
    Ok(retries)
}
