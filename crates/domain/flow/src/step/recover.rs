//! What a failed step does: retry, catch, or take the execution down (TG 6.5).

use serde_json::json;

use super::Machine;
use crate::execution::{Phase, Sink, StepStatus};
use crate::fault::{self, Fault};
use crate::message::EventType;
use crate::program::{Retry, Selector};
use crate::scope;

/// Longest wait before a retry, milliseconds (TG 6.5).
pub const MAX_BACKOFF_MS: u64 = 60 * 60 * 1_000;

/// Where a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Its condition could not be evaluated: a retry evaluates it again.
    Condition,
    /// Its activity failed: a retry starts from argument evaluation.
    Activity,
    /// An OnSuccess check failed: never retried (TG 6.6).
    Check,
}

impl<S: Sink> Machine<'_, S> {
    /// Applies OnError of `step` to `fault`: the first Retry clause that matches and has attempts left, else the first
    /// Catch clause that matches, else the execution fails.
    pub(super) fn step_failed(&mut self, step: u16, fault: Fault, at: At) {
        let retry_in = if at == At::Check { None } else { self.take_retry(step, &fault) };
        let definition = self.flow_step(step);
        if at == At::Activity {
            let attempt = self.exec.steps[usize::from(step)].run.as_ref().map_or(0, |run| run.attempts);
            self.say(EventType::ActivityFailed, |_| {
                let mut payload = json!({"stepName": definition.name, "attempt": attempt, "error": fault.name,
                                         "errorMessage": fault.message});
                if let Some(wait) = retry_in {
                    payload["retryInMs"] = wait.into();
                }
                payload
            });
        }
        if let Some(wait) = retry_in {
            let until = self.exec.now.plus(wait);
            if let Some(run) = &mut self.exec.steps[usize::from(step)].run {
                run.phase = Phase::Backoff { until, at_condition: at == At::Condition };
            }
            return;
        }
        self.catch(step, fault);
    }

    fn catch(&mut self, step: u16, fault: Fault) {
        let definition = self.flow_step(step);
        let mut caught = None;
        for (clause, index) in definition.catches.iter().zip(1..) {
            if self.selects(step, &clause.selector, &fault) {
                let name = clause.name.clone().unwrap_or_else(|| smol_str::format_smolstr!("Catch {index}"));
                caught = Some((name, &clause.acts));
                break;
            }
        }
        let mut events = Vec::new();
        let (fault, caught_by) = match caught {
            None => (fault, None),
            Some((name, acts)) => match self.act(step, acts, Some(&fault), &mut events) {
                Ok(()) => (fault, Some(name)),
                // A clause that fails itself handles nothing; its own failure is what the author must see.
                Err(own) => (own, None),
            },
        };
        if caught_by.is_none() {
            events.clear();
        }
        self.say(EventType::StepFailed, |machine| {
            json!({"stepName": definition.name, "error": fault.name, "errorMessage": fault.message,
                   "caughtBy": caught_by, "outEvents": machine.event_names(&events)})
        });
        if caught_by.is_none() {
            let since = self.exec.steps[usize::from(step)].run.take().map_or(self.exec.now, |run| run.since);
            self.exec.steps[usize::from(step)].status = StepStatus::Failed;
            let duration_ms = self.exec.now.since(since);
            self.sink.effect(crate::Effect::StepEnded { step, status: StepStatus::Failed, duration_ms });
            return self.fail_execution(fault, Some(step));
        }
        self.end_step(step, StepStatus::Failed, &events);
    }

    /// The wait of the clause that grants a retry, its attempt taken.
    fn take_retry(&mut self, step: u16, fault: &Fault) -> Option<u64> {
        let clauses = &self.flow_step(step).retries;
        let run = self.exec.steps[usize::from(step)].run.as_ref()?;
        let used = |index: usize| run.retries.get(index).copied().unwrap_or(0);
        let index = (0..clauses.len()).find(|&index| {
            used(index) < clauses[index].max_attempts && self.selects(step, &clauses[index].selector, fault)
        })?;
        let attempt = used(index) + 1;
        let retries = &mut self.exec.steps[usize::from(step)].run.as_mut()?.retries;
        retries.resize(clauses.len(), 0);
        retries[index] = attempt;
        Some(backoff_ms(&clauses[index], attempt))
    }

    fn selects(&self, step: u16, selector: &Selector, fault: &Fault) -> bool {
        match selector {
            Selector::Errors(patterns) => patterns.iter().any(|pattern| fault::matches(pattern, &fault.name)),
            // A condition that cannot be evaluated selects nothing: it must not hide the failure it looks at.
            Selector::Condition(condition) => {
                scope::test(condition, &self.scope(step, "", Some(fault))).unwrap_or(false)
            }
        }
    }
}

/// `interval * backoffRate^(n-1)` for the clause's `n`-th retry, at most an hour.
fn backoff_ms(clause: &Retry, n: u32) -> u64 {
    let rate = clause.backoff_rate.max(1.0);
    let exponent = i32::try_from(n - 1).unwrap_or(i32::MAX);
    let wait = (clause.interval_ms as f64) * rate.powi(exponent);
    // INVARIANT: the comparison is false for NaN, which then falls to the cap.
    if wait < MAX_BACKOFF_MS as f64 { wait as u64 } else { MAX_BACKOFF_MS }
}
