//! Targets of a job and the course of its roll-out.

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_job::{EndBehavior, JobConfig, JobStatus, Rollout, Window};
use marram_registry::Realm;
use marram_store::params;
use marram_types::Timestamp;

use crate::jobs::{BATCH, target_resource};
use crate::row::{JobRow, counts};
use crate::work::Work;

/// A throttled roll-out looks again after a second at the latest.
const ROUND_SECS: i64 = 1;

/// The things of a group and of its descendants (CP 4.7).
const MEMBERS: &str = "WITH RECURSIVE tree (name) AS (
        SELECT name FROM iot_thing_group WHERE account = $1 AND region = $2 AND name = $4
        UNION
        SELECT g.name FROM iot_thing_group g JOIN tree t ON g.parent = t.name
        WHERE g.account = $1 AND g.region = $2)
    INSERT INTO iot_job_waiting (account, region, job, thing)
    SELECT DISTINCT $1, $2, $3, m.thing FROM iot_group_member m JOIN tree t ON m.group_name = t.name
    WHERE m.account = $1 AND m.region = $2
      AND NOT EXISTS (SELECT 1 FROM iot_job_execution e WHERE e.account = $1 AND e.region = $2 AND e.job = $3
          AND e.thing = m.thing AND e.status <> 'REMOVED' AND e.latest = 1 AND e.away = 0)
    ON CONFLICT (account, region, job, thing) DO NOTHING";

impl Work<'_, '_> {
    /// Makes the things of these targets wait for the roll-out; continuous jobs remember their groups.
    pub(crate) fn add_targets(&mut self, job: &JobRow, targets: &[String]) -> Result<(), CallError> {
        let Realm { account, region, .. } = self.realm;
        for target in targets {
            let resource = target_resource(self.realm, target)?;
            let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
            let table = if kind == "thing" { "iot_thing" } else { "iot_thing_group" };
            let sql = format!("SELECT 1 FROM {table} WHERE account = $1 AND region = $2 AND name = $3");
            let known = self
                .tx
                .query_opt(&sql, params![account, region, name], |row| Ok::<_, CallError>(row.get::<i64>(0)?))?;
            if known.is_none() {
                return Err(ApiError::not_found(format!("Target {target} cannot be found.")).into());
            }
            if kind == "thing" {
                self.enqueue(&job.id, name)?;
            } else {
                let added = self.tx.execute(MEMBERS, params![account, region, job.id, name])?;
                self.count_waiting(&job.id, i64::try_from(added).unwrap_or(i64::MAX))?;
            }
            if job.continuous {
                self.tx.execute(
                    "INSERT INTO iot_job_target (account, region, target, job) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (account, region, target, job) DO NOTHING",
                    params![account, region, resource, job.id],
                )?;
            }
        }
        Ok(())
    }

    /// Goes on with a job: starts, ends, hands out what its rate allows, and notes when to look again.
    pub(crate) fn advance(&mut self, job: &JobRow) -> Result<(), CallError> {
        let now = self.now;
        let mut job = job.clone();
        let config = JobConfig::read(&job.config).map_err(ApiError::invalid_request)?;
        let closed = !config.windows.is_empty() && !config.windows.iter().any(|window| window.is_open(now));
        // Closed windows: the roll-out looks again at the next opening, or at its end if that comes first.
        let end_at = job.end_at;
        let opening = || [Window::next_opening(&config.windows, now), end_at].into_iter().flatten().min();
        if job.status == JobStatus::Scheduled {
            if let Some(start) = job.start_at.filter(|start| *start > now) {
                return self.wake_at(&job, Some(start), job.rolled_at);
            }
            if closed && job.end_at.is_none_or(|end| end > now) {
                return self.wake_at(&job, opening(), job.rolled_at);
            }
            self.set_status(&job, JobStatus::InProgress)?;
            job.status = JobStatus::InProgress;
            job.rolled_at = now;
        }
        if job.status != JobStatus::InProgress {
            return self.wake_at(&job, None, job.rolled_at);
        }
        if job.end_at.is_some_and(|end| end <= now) {
            return self.end_of_schedule(&job);
        }
        if closed {
            return self.wake_at(&job, opening(), now);
        }
        let counts = counts(self.tx, self.realm, &job.id)?;
        let (allowed, rolled_at) =
            allowance(&config.rollout, config.rollout.rate(&counts), &job, now, counts.notified());
        let handed_out = self.roll_out(&job, allowed)?;
        let left = counts.waiting - handed_out;
        let again = (left > 0).then(|| match config.rollout {
            Rollout::Unlimited => now,
            _ => Timestamp::from_secs(now.as_secs() + ROUND_SECS),
        });
        let again = match (again, job.end_at) {
            (Some(again), Some(end)) => Some(again.min(end)),
            (again, end) => again.or(end),
        };
        // With nobody waiting the rate is not saved up.
        self.wake_at(&job, again, if left > 0 { rolled_at } else { now })?;
        if counts.waiting == 0 || left == 0 {
            self.conclude(&job.id)?;
        }
        Ok(())
    }

    fn end_of_schedule(&mut self, job: &JobRow) -> Result<(), CallError> {
        let behavior = match job.config["schedulingConfig"]["endBehavior"].as_str() {
            Some("CANCEL") => EndBehavior::Cancel,
            Some("FORCE_CANCEL") => EndBehavior::ForceCancel,
            _ => EndBehavior::StopRollout,
        };
        match behavior {
            EndBehavior::StopRollout => {
                self.forget_waiting(&job.id)?;
                self.wake_at(job, None, job.rolled_at)?;
                self.conclude(&job.id)
            }
            EndBehavior::Cancel | EndBehavior::ForceCancel => self.cancel(job, behavior == EndBehavior::ForceCancel),
        }
    }

    fn wake_at(&mut self, job: &JobRow, at: Option<Timestamp>, rolled_at: Timestamp) -> Result<(), CallError> {
        let Realm { account, region, .. } = self.realm;
        self.tx.execute(
            "UPDATE iot_job SET wake_at = $4, rolled_at = $5
             WHERE account = $1 AND region = $2 AND id = $3 AND status IN ('SCHEDULED', 'IN_PROGRESS')",
            params![account, region, job.id, at, rolled_at],
        )?;
        Ok(())
    }
}

/// How many executions may be handed out now, and up to when that spends the rate. The first one of a job is free.
fn allowance(rollout: &Rollout, rate: Option<i64>, job: &JobRow, now: Timestamp, notified: i64) -> (i64, Timestamp) {
    let (Some(rate), false) = (rate, *rollout == Rollout::Unlimited) else { return (BATCH, now) };
    const MINUTE_MICROS: i64 = 60_000_000;
    if notified == 0 {
        return (1, now);
    }
    let elapsed = (now.as_micros() - job.rolled_at.as_micros()).clamp(0, MINUTE_MICROS);
    let due = elapsed * rate / MINUTE_MICROS;
    let spent = Timestamp::from_micros(now.as_micros() - elapsed + due * MINUTE_MICROS / rate.max(1));
    (due.min(BATCH), spent)
}
