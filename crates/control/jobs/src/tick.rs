//! The clockwork: roll-outs that are due, executions whose time is up.

use std::time::Duration;

use marram_identity::CallError;
use marram_job::ExecutionStatus;
use marram_registry::Realm;
use marram_store::{Snapshot, params};
use marram_types::{AccountId, Timestamp};

use crate::jobs::Jobs;
use crate::row::{find_execution, find_job};
use crate::work::Work;

/// Longest sleep: what is due is found that late at most when nobody wakes the clockwork.
const TICK: Duration = Duration::from_secs(1);
/// Jobs, and executions, looked at in one round.
const ROUND: i64 = 200;

/// Something that is due, and where.
#[derive(Debug)]
enum Due {
    Job { realm: Realm, id: String },
    Execution { realm: Realm, job: String, thing: String, number: i64 },
}

impl Jobs {
    /// Hands out executions at their rates and ends what timed out; runs until dropped. Spawn it once.
    pub async fn run(&self) {
        loop {
            match self.round().await {
                Ok(0) => {
                    // Woken early by whatever made something due.
                    let _ = tokio::time::timeout(TICK, self.wake().notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "the clockwork of jobs failed, it goes on in a second");
                    tokio::time::sleep(TICK).await;
                }
            }
        }
    }

    /// One round; answers how much was done.
    async fn round(&self) -> Result<usize, marram_aws_api::ApiError> {
        let now = self.identity().now();
        let partition = self.identity().partition().clone();
        // Any realm opens the same store; each piece of work then runs in its own.
        let account = self.identity().accounts().into_iter().next().unwrap_or_else(AccountId::first);
        let region = self.identity().regions()[0].clone();
        let any = self.system(&Realm { partition, account, region });
        let due = any.read(|snapshot| due(self, snapshot, now))?;
        let mut done = 0;
        for one in due {
            let jobs = self.clone();
            let realm = match &one {
                Due::Job { realm, .. } | Due::Execution { realm, .. } => realm.clone(),
            };
            let what = format!("{one:?}");
            let system = self.system(&realm);
            let advanced = system.commit_unrecorded(move |tx| {
                let mut work = Work::begin(&jobs, tx, &realm, now);
                match &one {
                    Due::Job { id, .. } => {
                        if let Some(job) = find_job(work.tx, &realm, id)? {
                            work.advance(&job)?;
                        }
                    }
                    Due::Execution { job, thing, number, .. } => work.time_out(job, thing, *number)?,
                }
                work.finish()
            });
            match advanced.await {
                Ok(()) => done += 1,
                // It stays due and is tried again; the others go on.
                Err(error) => tracing::error!(%error, what, "due work of a job failed"),
            }
        }
        Ok(done)
    }
}

impl Work<'_, '_> {
    /// Ends an execution whose time is up, if it still is.
    fn time_out(&mut self, job: &str, thing: &str, number: i64) -> Result<(), CallError> {
        let Some(execution) = find_execution(self.tx, self.realm, job, thing, Some(number))? else { return Ok(()) };
        if execution.status.is_terminal() || execution.deadline().is_none_or(|deadline| deadline > self.now) {
            return Ok(());
        }
        let mut after = execution.clone();
        after.status = ExecutionStatus::TimedOut;
        self.change(&execution, &mut after)?;
        match find_job(self.tx, self.realm, job)? {
            Some(job) => self.retry(&job, &after),
            None => Ok(()),
        }
    }
}

/// What is due in every account: the clockwork is the house's own and acts for each in its own realm.
fn due(jobs: &Jobs, snapshot: &Snapshot<'_>, now: Timestamp) -> Result<Vec<Due>, CallError> {
    let partition = jobs.identity().partition();
    let realm = |account, region| Realm { partition: partition.clone(), account, region };
    let mut due = snapshot.query_all(
        "SELECT account, region, id FROM iot_job WHERE wake_at <= $1 AND wake_at IS NOT NULL ORDER BY wake_at LIMIT $2",
        params![now, ROUND],
        |row| Ok::<_, CallError>(Due::Job { realm: realm(row.parse(0)?, row.parse(1)?), id: row.get(2)? }),
    )?;
    due.extend(snapshot.query_all(
        "SELECT account, region, job, thing, number FROM iot_job_execution
         WHERE deadline <= $1 AND deadline IS NOT NULL ORDER BY deadline LIMIT $2",
        params![now, ROUND],
        |row| {
            let realm = realm(row.parse(0)?, row.parse(1)?);
            Ok::<_, CallError>(Due::Execution { realm, job: row.get(2)?, thing: row.get(3)?, number: row.get(4)? })
        },
    )?);
    Ok(due)
}
