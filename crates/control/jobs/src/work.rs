//! One transaction's work on jobs: every change of an execution goes through here, so that counters, timers, completion,
//! abort criteria, retries, notifications and watchers agree.

use std::collections::BTreeSet;

use marram_broker::Message;
use marram_identity::CallError;
use marram_job::{Counts, ExecutionStatus, JobConfig, JobStatus, Namespace, StatusDetails};
use marram_registry::Realm;
use marram_store::{Tx, params};
use marram_types::Timestamp;

use crate::event::{self, Asked};
use crate::jobs::Jobs;
use crate::notice::Touched;
use crate::row::{ExecutionRow, JobRow, counts, find_job, open_executions};
use crate::watch::{ExecutionChange, JobChange, TargetLeft};

/// Executions ended at once when a job is canceled; the rest follow in further rounds of the same transaction.
const ROUND: i64 = 500;
/// Count of things that wait for the roll-out.
const WAITING: &str = "WAITING";

/// Work under way in a transaction. [`Work::finish`] must be called; without it nobody is told.
pub(crate) struct Work<'w, 'c> {
    pub(crate) tx: &'w mut Tx<'c>,
    pub(crate) realm: &'w Realm,
    pub(crate) now: Timestamp,
    jobs: &'w Jobs,
    touched: Vec<Touched>,
    /// Jobs whose executions ended: looked at once, at the end.
    ended: BTreeSet<String>,
    /// Which events the account asked for, once something happened.
    asked: Option<Asked>,
    events: Vec<Message>,
}

impl<'w, 'c> Work<'w, 'c> {
    pub(crate) fn begin(jobs: &'w Jobs, tx: &'w mut Tx<'c>, realm: &'w Realm, now: Timestamp) -> Self {
        Self { tx, realm, now, jobs, touched: Vec::new(), ended: BTreeSet::new(), asked: None, events: Vec::new() }
    }

    /// Remembers how a queue looked before its first change.
    fn touch(&mut self, thing: &str, namespace: &Namespace, moved: bool) -> Result<(), CallError> {
        let known = self.touched.iter_mut().find(|one| one.thing == thing && one.namespace == *namespace);
        match known {
            Some(known) => known.moved |= moved,
            None => {
                let mut touched = Touched::look(self.tx, self.realm, thing, namespace)?;
                touched.moved = moved;
                self.touched.push(touched);
            }
        }
        Ok(())
    }

    /// Hands an execution out.
    pub(crate) fn hand_out(&mut self, job: &JobRow, thing: &str, number: i64) -> Result<(), CallError> {
        self.touch(thing, &job.namespace, true)?;
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "INSERT INTO iot_job_execution (account, region, job, thing, number, namespace, status, details,
                 force_canceled, latest, queued_at, updated_at, version)
             VALUES ($1, $2, $3, $4, $5, $6, 'QUEUED', '{}', 0, 1, $7, $7, 1)",
            params![account, region, job.id, thing, number, job.namespace.as_str(), self.now],
        )?;
        self.count(&job.id, ExecutionStatus::Queued.as_str(), 1)?;
        self.tell(&ExecutionChange {
            job: &job.id,
            thing,
            number,
            namespace: &job.namespace,
            status: ExecutionStatus::Queued,
            details: &StatusDetails::new(),
            at: self.now,
        })
    }

    /// Makes a thing wait for the roll-out; whether it is new to the job, or back in it.
    pub(crate) fn enqueue(&mut self, job: &str, thing: &str) -> Result<bool, CallError> {
        let Realm { account, region, .. } = self.realm;
        let added = self.tx.execute(
            "INSERT INTO iot_job_waiting (account, region, job, thing) SELECT $1, $2, $3, $4
             WHERE NOT EXISTS (SELECT 1 FROM iot_job_execution WHERE account = $1 AND region = $2 AND job = $3
                 AND thing = $4 AND status <> 'REMOVED' AND latest = 1 AND away = 0)
             ON CONFLICT (account, region, job, thing) DO NOTHING",
            params![account, region, job, thing],
        )?;
        if added > 0 {
            self.count(job, WAITING, 1)?;
        }
        Ok(added > 0)
    }

    /// Adds to the number of things that wait.
    pub(crate) fn count_waiting(&mut self, job: &str, change: i64) -> Result<(), CallError> {
        self.count(job, WAITING, change)
    }

    /// Hands out up to `limit` executions of things that wait; answers how many.
    pub(crate) fn roll_out(&mut self, job: &JobRow, limit: i64) -> Result<i64, CallError> {
        let Realm { account, region, .. } = self.realm;
        // Attempts of a thing that left and came back go on counting.
        let waiting = self.tx.query_all(
            "SELECT w.thing, (SELECT MAX(e.number) FROM iot_job_execution e WHERE e.account = w.account
                 AND e.region = w.region AND e.job = w.job AND e.thing = w.thing),
                 (SELECT MAX(e.status) FROM iot_job_execution e WHERE e.account = w.account
                 AND e.region = w.region AND e.job = w.job AND e.thing = w.thing AND e.latest = 1)
             FROM iot_job_waiting w WHERE w.account = $1 AND w.region = $2 AND w.job = $3 ORDER BY w.thing LIMIT $4",
            params![account, region, job.id, limit],
            |row| {
                Ok::<_, CallError>((row.get::<String>(0)?, row.get::<Option<i64>>(1)?, row.get::<Option<String>>(2)?))
            },
        )?;
        for (thing, last, ended) in &waiting {
            if let Some(ended) = ended {
                self.tx.execute(
                    "UPDATE iot_job_execution SET latest = 0
                     WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 AND latest = 1",
                    params![account, region, job.id, thing],
                )?;
                self.count(&job.id, ended, -1)?;
            }
            self.hand_out(job, thing, last.unwrap_or(0) + 1)?;
            self.tx.execute(
                "DELETE FROM iot_job_waiting WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4",
                params![account, region, job.id, thing],
            )?;
        }
        let handed_out = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        if handed_out > 0 {
            self.count(&job.id, WAITING, -handed_out)?;
        }
        Ok(handed_out)
    }

    /// Stores a changed execution: one version more, counters, timers, watchers.
    pub(crate) fn change(&mut self, before: &ExecutionRow, after: &mut ExecutionRow) -> Result<(), CallError> {
        let ends = after.status.is_terminal();
        self.touch(&after.thing, &after.namespace, ends && !before.status.is_terminal())?;
        after.version = before.version + 1;
        after.updated_at = self.now;
        if ends {
            after.job_deadline = None;
            after.step_deadline = None;
        }
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "UPDATE iot_job_execution SET status = $6, details = $7, force_canceled = $8, started_at = $9,
                 updated_at = $10, version = $11, job_deadline = $12, step_deadline = $13, deadline = $14
             WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 AND number = $5",
            params![
                account,
                region,
                after.job,
                after.thing,
                after.number,
                after.status.as_str(),
                serde_json::to_string(&after.details).unwrap_or_else(|_| "{}".to_owned()),
                after.force_canceled,
                after.started_at,
                after.updated_at,
                after.version,
                after.job_deadline,
                after.step_deadline,
                after.deadline()
            ],
        )?;
        if before.status != after.status && after.latest {
            self.count(&after.job, before.status.as_str(), -1)?;
            self.count(&after.job, after.status.as_str(), 1)?;
        }
        if ends {
            self.ended.insert(after.job.clone());
        }
        self.tell(&ExecutionChange {
            job: &after.job,
            thing: &after.thing,
            number: after.number,
            namespace: &after.namespace,
            status: after.status,
            details: &after.details,
            at: self.now,
        })
    }

    /// Ends an execution in the name of the service.
    pub(crate) fn end(&mut self, execution: &ExecutionRow, status: ExecutionStatus) -> Result<(), CallError> {
        let mut after = execution.clone();
        after.status = status;
        after.force_canceled = status == ExecutionStatus::Canceled && execution.status == ExecutionStatus::InProgress;
        self.change(execution, &mut after)
    }

    /// After a failure: another attempt, if the job has one left.
    pub(crate) fn retry(&mut self, job: &JobRow, failed: &ExecutionRow) -> Result<(), CallError> {
        let Ok(config) = JobConfig::read(&job.config) else { return Ok(()) };
        if job.status != JobStatus::InProgress || failed.number > config.retries_after(failed.status) {
            return Ok(());
        }
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "UPDATE iot_job_execution SET latest = 0
             WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 AND number = $5",
            params![account, region, job.id, failed.thing, failed.number],
        )?;
        self.count(&job.id, failed.status.as_str(), -1)?;
        self.hand_out(job, &failed.thing, failed.number + 1)
    }

    /// Calls a job off: things that wait are forgotten, queued executions end, with `force` those in progress too.
    pub(crate) fn cancel(&mut self, job: &JobRow, force: bool) -> Result<(), CallError> {
        self.forget_waiting(&job.id)?;
        self.announce(job, "cancellation_in_progress")?;
        self.end_open(&job.id, force)?;
        self.set_status(job, JobStatus::Canceled)
    }

    /// Ends executions of a job that have not ended: queued ones, with `force` all.
    pub(crate) fn end_open(&mut self, job: &str, force: bool) -> Result<(), CallError> {
        loop {
            let mut open = open_executions(self.tx, self.realm, job, if force { ROUND } else { i64::MAX })?;
            open.retain(|execution| force || execution.status == ExecutionStatus::Queued);
            if open.is_empty() {
                return Ok(());
            }
            for execution in &open {
                self.end(execution, ExecutionStatus::Canceled)?;
            }
        }
    }

    /// Things that wait are no longer handed out.
    pub(crate) fn forget_waiting(&mut self, job: &str) -> Result<(), CallError> {
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "DELETE FROM iot_job_waiting WHERE account = $1 AND region = $2 AND job = $3",
            params![account, region, job],
        )?;
        self.tx.execute(
            "DELETE FROM iot_job_count WHERE account = $1 AND region = $2 AND job = $3 AND status = $4",
            params![account, region, job, WAITING],
        )?;
        Ok(())
    }

    /// A job's new status.
    pub(crate) fn set_status(&mut self, job: &JobRow, status: JobStatus) -> Result<(), CallError> {
        let over = matches!(status, JobStatus::Canceled | JobStatus::Completed);
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "UPDATE iot_job SET status = $4, updated_at = $5, completed_at = CASE WHEN $6 = 1 THEN $5 ELSE completed_at END,
                 wake_at = CASE WHEN $6 = 1 THEN NULL ELSE wake_at END
             WHERE account = $1 AND region = $2 AND id = $3",
            params![account, region, job.id, status.as_str(), self.now, over],
        )?;
        if over {
            self.forget_targets(&job.id)?;
        }
        match status {
            JobStatus::Completed => self.announce(job, "completed")?,
            JobStatus::Canceled => self.announce(job, "canceled")?,
            JobStatus::DeletionInProgress => self.announce(job, "deletion_in_progress")?,
            JobStatus::Scheduled | JobStatus::InProgress => {}
        }
        let change = JobChange { job: &job.id, namespace: &job.namespace, status, at: self.now };
        let watches = self.jobs.watches();
        watches.iter().try_for_each(|watch| watch.on_job_changed(self.tx, self.realm, &change))
    }

    /// Changes of groups no longer concern the job.
    pub(crate) fn forget_targets(&mut self, job: &str) -> Result<(), CallError> {
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "DELETE FROM iot_job_target WHERE account = $1 AND region = $2 AND job = $3",
            params![account, region, job],
        )?;
        Ok(())
    }

    /// Draws the conclusions and queues the notifications behind the commit.
    pub(crate) fn finish(mut self) -> Result<(), CallError> {
        while let Some(id) = self.ended.pop_first() {
            self.conclude(&id)?;
        }
        let mut messages = std::mem::take(&mut self.events);
        for touched in &self.touched {
            messages.extend(touched.messages(self.jobs, self.tx, self.realm, self.now)?);
        }
        self.jobs.outbox().publish_after(self.tx, self.realm, messages);
        Ok(())
    }

    /// Abort criteria and completion of a job whose executions ended.
    pub(crate) fn conclude(&mut self, id: &str) -> Result<(), CallError> {
        let Some(job) = find_job(self.tx, self.realm, id)?.filter(|job| job.status == JobStatus::InProgress) else {
            return Ok(());
        };
        let counts: Counts = counts(self.tx, self.realm, id)?;
        if JobConfig::read(&job.config).is_ok_and(|config| config.should_abort(&counts)) {
            tracing::info!(job = id, "the abort criteria are met");
            return self.cancel(&job, false);
        }
        if !job.continuous && counts.open() == 0 {
            self.set_status(&job, JobStatus::Completed)?;
        }
        Ok(())
    }

    /// An event of a job, if the account asked for them.
    pub(crate) fn announce(&mut self, job: &JobRow, operation: &str) -> Result<(), CallError> {
        if self.asked()?.jobs {
            self.events.extend(event::of_job(self.tx, self.realm, job, operation, self.now)?);
        }
        Ok(())
    }

    /// The event of an execution that is deleted.
    pub(crate) fn announce_deleted(&mut self, execution: &ExecutionRow) -> Result<(), CallError> {
        if self.asked()?.executions {
            let change = ExecutionChange {
                job: &execution.job,
                thing: &execution.thing,
                number: execution.number,
                namespace: &execution.namespace,
                status: execution.status,
                details: &execution.details,
                at: self.now,
            };
            self.events.extend(event::of_deleted_execution(self.realm, &change));
        }
        Ok(())
    }

    fn asked(&mut self) -> Result<Asked, CallError> {
        if let Some(asked) = self.asked {
            return Ok(asked);
        }
        let found = event::configuration(self.tx, self.realm)?;
        let asked = found.map_or_else(Asked::default, |found| found.asked);
        self.asked = Some(asked);
        Ok(asked)
    }

    fn tell(&mut self, change: &ExecutionChange<'_>) -> Result<(), CallError> {
        if change.status.is_terminal() && self.asked()?.executions {
            self.events.extend(event::of_execution(self.realm, change));
        }
        let watches = self.jobs.watches();
        watches.iter().try_for_each(|watch| watch.on_execution_changed(self.tx, self.realm, change))
    }

    /// A thing whose execution has ended is no target any more.
    pub(crate) fn leave(&mut self, job: &JobRow, thing: &str) -> Result<(), CallError> {
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "UPDATE iot_job_execution SET away = 1
             WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 AND latest = 1",
            params![account, region, job.id, thing],
        )?;
        let change = TargetLeft { job: &job.id, thing, namespace: &job.namespace };
        let watches = self.jobs.watches();
        watches.iter().try_for_each(|watch| watch.on_target_left(self.tx, self.realm, &change))
    }

    fn count(&mut self, job: &str, status: &str, change: i64) -> Result<(), CallError> {
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "INSERT INTO iot_job_count (account, region, job, status, count) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, job, status) DO UPDATE SET count = iot_job_count.count + excluded.count",
            params![account, region, job, status, change],
        )?;
        Ok(())
    }
}
