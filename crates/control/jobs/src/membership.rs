//! Continuous jobs follow their groups: who joins gets the job, who leaves loses it, and who comes back gets it again
//! (CP 4.7).

use marram_identity::CallError;
use marram_job::ExecutionStatus;
use marram_registry::{MembershipChange, MembershipWatch, Realm};
use marram_store::{Tx, params};
use marram_types::Timestamp;

use crate::jobs::Jobs;
use crate::row::{JobRow, find_execution, find_job};
use crate::work::Work;

/// Continuous jobs that a change of one thing concerns at most (CP 10.4: 100 concurrent jobs; more are not looked for).
const MAX_JOBS: i64 = 1000;

/// The continuous jobs that target a group, an ancestor of it, or the thing itself.
const JOBS_OF_GROUP: &str = "WITH RECURSIVE chain (name) AS (
        SELECT name FROM iot_thing_group WHERE account = $1 AND region = $2 AND name = $3
        UNION
        SELECT g.parent FROM iot_thing_group g JOIN chain c ON g.name = c.name
        WHERE g.account = $1 AND g.region = $2 AND g.parent IS NOT NULL)
    SELECT DISTINCT t.job FROM iot_job_target t JOIN chain c ON t.target = 'thinggroup/' || c.name
    WHERE t.account = $1 AND t.region = $2 ORDER BY t.job LIMIT $4";

/// Whether a thing is still a target of a continuous job: by name, or through a group it is in or below.
const STILL_TARGET: &str = "WITH RECURSIVE chain (name) AS (
        SELECT group_name FROM iot_group_member WHERE account = $1 AND region = $2 AND thing = $3
        UNION
        SELECT g.parent FROM iot_thing_group g JOIN chain c ON g.name = c.name
        WHERE g.account = $1 AND g.region = $2 AND g.parent IS NOT NULL)
    SELECT 1 FROM iot_job_target t WHERE t.account = $1 AND t.region = $2 AND t.job = $4
      AND (t.target = 'thing/' || $3 OR t.target IN (SELECT 'thinggroup/' || name FROM chain)) LIMIT 1";

impl MembershipWatch for Jobs {
    fn on_membership_changed(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        change: &MembershipChange<'_>,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let jobs =
            tx.query_all(JOBS_OF_GROUP, params![realm.account, realm.region, change.group, MAX_JOBS], |row| {
                Ok::<_, CallError>(row.get::<String>(0)?)
            })?;
        if jobs.is_empty() {
            return Ok(());
        }
        let mut work = Work::begin(self, tx, realm, now);
        for id in jobs {
            let Some(job) = find_job(work.tx, realm, &id)? else { continue };
            if change.joined {
                let mut added = false;
                for thing in change.things {
                    added |= work.enqueue(&id, thing)?;
                }
                if added {
                    work.advance(&job)?;
                }
                continue;
            }
            for thing in change.things {
                if !is_target(work.tx, realm, &id, thing)? {
                    work.remove_target(&job, thing)?;
                }
            }
        }
        work.finish()?;
        self.wake_after(tx);
        Ok(())
    }
}

impl Jobs {
    /// Gives a thing the execution of a continuous job once more, as if it had left the job's targets and come back: it lost what it had
    /// done. Nothing happens when there is no such job, or the thing is no target of it.
    ///
    /// # Errors
    /// The store's.
    pub fn give_again(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        id: &str,
        thing: &str,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let Some(job) = find_job(tx, realm, id)? else { return Ok(()) };
        if !is_target(tx, realm, id, thing)? {
            return Ok(());
        }
        let mut work = Work::begin(self, tx, realm, now);
        work.remove_target(&job, thing)?;
        if work.enqueue(id, thing)? {
            work.advance(&job)?;
        }
        work.finish()?;
        self.wake_after(tx);
        Ok(())
    }
}

fn is_target(tx: &mut Tx<'_>, realm: &Realm, job: &str, thing: &str) -> Result<bool, CallError> {
    let found = tx.query_opt(STILL_TARGET, params![realm.account, realm.region, thing, job], |row| {
        Ok::<_, CallError>(row.get::<i64>(0)?)
    })?;
    Ok(found.is_some())
}

impl Work<'_, '_> {
    /// A thing is no target any more: it waits no longer, an execution that has not ended is removed, and one that has ended
    /// stands, but not in the way of another one when the thing comes back.
    fn remove_target(&mut self, job: &JobRow, thing: &str) -> Result<(), CallError> {
        let id = job.id.as_str();
        let gone = self.tx.execute(
            "DELETE FROM iot_job_waiting WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4",
            params![self.realm.account, self.realm.region, id, thing],
        )?;
        if gone > 0 {
            self.count_waiting(id, -1)?;
        }
        match find_execution(self.tx, self.realm, id, thing, None)? {
            Some(execution) if !execution.status.is_terminal() => self.end(&execution, ExecutionStatus::Removed),
            Some(_) => self.leave(job, thing),
            None => Ok(()),
        }
    }
}
