//! The history of executions in the store: written once per message, searched newest first (TG 6.10, 9.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use marram_flow::Time;
use marram_store::{Migration, Snapshot, Store, StoreError, Tx, params};
use smol_str::SmolStr;
use tokio::sync::broadcast;

use crate::port::{ExecutionRecord, HistoryBatch, HistorySink, Pending};

/// The tables. Run them with the other migrations of the store.
pub const MIGRATIONS: &[Migration] = &[Migration {
    component: "flow_history",
    number: 1,
    sql: "CREATE TABLE flow_execution (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        execution TEXT NOT NULL,
        number BIGINT NOT NULL,
        deployment TEXT NOT NULL,
        deployment_id TEXT NOT NULL,
        flow TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (account, region, execution)
    );
    CREATE INDEX flow_execution_newest ON flow_execution (account, region, deployment, created_at, execution);
    CREATE INDEX flow_execution_age ON flow_execution (created_at);
    CREATE UNIQUE INDEX flow_execution_number ON flow_execution (number);
    CREATE TABLE flow_message (
        number BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        event_type TEXT NOT NULL,
        at BIGINT NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (number, seq)
    );",
}];

/// How long executions are kept, milliseconds: 30 days (TG 6.10).
pub const RETENTION_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Executions kept per deployment (TG 6.10).
pub const RETENTION_EXECUTIONS: u32 = 100_000;
/// Time between two looks for what is too old, milliseconds.
const PURGE_INTERVAL_MS: i64 = 60_000;
/// Executions removed in one transaction.
const PURGE_BATCH: u32 = 2_000;
/// Batches a watcher may be behind before it misses some.
const WATCH_BATCHES: usize = 256;

/// Why history could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("flow history: {0}")]
pub struct HistoryError(#[from] pub StoreError);

/// A row of `SearchFlowExecutions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionSummary {
    /// `flowExecutionId`.
    pub execution: SmolStr,
    /// `systemInstanceId`.
    pub deployment: SmolStr,
    /// `flowTemplateId`.
    pub flow: SmolStr,
    /// `status`: `RUNNING`, `ABORTED`, `SUCCEEDED`, `FAILED`.
    pub status: SmolStr,
    /// `createdAt`.
    pub created: Time,
    /// `updatedAt`.
    pub updated: Time,
}

/// A row of `ListFlowExecutionMessages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryMessage {
    /// Its decimal text is `messageId`; also the cursor of the next page.
    pub seq: u64,
    /// `eventType`.
    pub event_type: SmolStr,
    /// `timestamp`.
    pub at: Time,
    /// `payload`: compact JSON.
    pub payload: String,
}

/// What to search.
#[derive(Debug, Clone, Default)]
pub struct Search<'a> {
    /// URN of the deployment, any case.
    pub deployment: &'a str,
    /// Exactly this execution.
    pub execution: Option<&'a str>,
    /// Created at this time or later.
    pub start: Option<Time>,
    /// Created at this time or earlier.
    pub end: Option<Time>,
    /// Created time and id of the last row of the page before.
    pub after: Option<(Time, &'a str)>,
    /// Rows at most.
    pub limit: u32,
}

/// The history in a store. Clones share their watchers.
#[derive(Debug, Clone)]
pub struct History {
    store: Store,
    purged: Arc<AtomicI64>,
    written: broadcast::Sender<Arc<HistoryBatch>>,
}

impl History {
    /// History in `store`, whose migrations include [`MIGRATIONS`].
    pub fn new(store: Store) -> Self {
        let (written, _) = broadcast::channel(WATCH_BATCHES);
        Self { store, purged: Arc::default(), written }
    }

    /// Every batch written from now on by this history and its clones, of all accounts. Writing never waits for a watcher;
    /// one that is slow misses batches and is told how many.
    pub fn watch(&self) -> broadcast::Receiver<Arc<HistoryBatch>> {
        self.written.subscribe()
    }

    /// Executions of a deployment, newest first.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn search(
        &self,
        account: &str,
        region: &str,
        search: &Search<'_>,
    ) -> Result<Vec<ExecutionSummary>, HistoryError> {
        let deployment = search.deployment.to_ascii_lowercase();
        let (start, end) = (search.start.map_or(i64::MIN, |time| time.0), search.end.map_or(i64::MAX, |time| time.0));
        let (after, after_id) = search.after.map_or((i64::MAX, "\u{10FFFF}"), |(time, id)| (time.0, id));
        let row = |row: &marram_store::Row<'_>| {
            Ok::<_, StoreError>(ExecutionSummary {
                execution: row.text(0)?.into(),
                deployment: row.text(1)?.into(),
                flow: row.text(2)?.into(),
                status: row.text(3)?.into(),
                created: Time(row.get(4)?),
                updated: Time(row.get(5)?),
            })
        };
        Ok(self.store.read(|snapshot| match search.execution {
            Some(execution) => snapshot.query_all(
                "SELECT execution, deployment_id, flow, status, created_at, updated_at FROM flow_execution
                 WHERE account = $1 AND region = $2 AND execution = $3 AND deployment = $4
                   AND created_at >= $5 AND created_at <= $6 AND (created_at, execution) < ($7, $8) LIMIT $9",
                params![account, region, execution, deployment, start, end, after, after_id, search.limit],
                row,
            ),
            None => snapshot.query_all(
                "SELECT execution, deployment_id, flow, status, created_at, updated_at FROM flow_execution
                 WHERE account = $1 AND region = $2 AND deployment = $3 AND created_at >= $4 AND created_at <= $5
                   AND (created_at, execution) < ($6, $7)
                 ORDER BY created_at DESC, execution DESC LIMIT $8",
                params![account, region, deployment, start, end, after, after_id, search.limit],
                row,
            ),
        })?)
    }

    /// Messages of an execution, oldest first, after `seq`; `None`: there is no such execution.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn messages(
        &self,
        account: &str,
        region: &str,
        execution: &str,
        after: u64,
        limit: u32,
    ) -> Result<Option<Vec<HistoryMessage>>, HistoryError> {
        Ok(self.store.read(|snapshot| {
            let Some(number) = number_of(snapshot, account, region, execution)? else { return Ok(None) };
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            snapshot
                .query_all(
                    "SELECT seq, event_type, at, payload FROM flow_message WHERE number = $1 AND seq > $2
                     ORDER BY seq LIMIT $3",
                    params![number, after, limit],
                    |row| {
                        Ok::<_, StoreError>(HistoryMessage {
                            seq: row.get::<i64>(0)?.unsigned_abs(),
                            event_type: row.text(1)?.into(),
                            at: Time(row.get(2)?),
                            payload: row.get(3)?,
                        })
                    },
                )
                .map(Some)
        })?)
    }

    /// Deployment (URN as written) of an execution; `None`: there is no such execution.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn deployment_of(&self, account: &str, region: &str, execution: &str) -> Result<Option<SmolStr>, HistoryError> {
        Ok(self.store.read(|snapshot| {
            snapshot.query_opt(
                "SELECT deployment_id FROM flow_execution WHERE account = $1 AND region = $2 AND execution = $3",
                params![account, region, execution],
                |row| row.text(0).map(SmolStr::from),
            )
        })?)
    }

    /// Removes what retention no longer keeps: 30 days, 100 000 executions per deployment. Running ones stay.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn purge(&self, now: Time) -> Result<(), HistoryError> {
        Ok(self.store.write(move |tx| purge(tx, now)).await?)
    }
}

fn number_of(snapshot: &Snapshot<'_>, account: &str, region: &str, execution: &str) -> Result<Option<i64>, StoreError> {
    snapshot.query_opt(
        "SELECT number FROM flow_execution WHERE account = $1 AND region = $2 AND execution = $3",
        params![account, region, execution],
        |row| row.get(0),
    )
}

fn purge(tx: &mut Tx<'_>, now: Time) -> Result<(), StoreError> {
    let oldest = now.0.saturating_sub_unsigned(RETENTION_MS);
    let aged = tx.query_all(
        "SELECT number FROM flow_execution WHERE created_at < $1 AND status <> 'RUNNING' ORDER BY created_at LIMIT $2",
        params![oldest, PURGE_BATCH],
        |row| row.get::<i64>(0),
    )?;
    remove(tx, &aged)?;
    let full = tx.query_all(
        "SELECT account, region, deployment FROM flow_execution GROUP BY account, region, deployment HAVING COUNT(*) > $1",
        params![RETENTION_EXECUTIONS],
        |row| Ok::<_, StoreError>((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?)),
    )?;
    for (account, region, deployment) in full {
        let surplus = tx.query_all(
            "SELECT number FROM flow_execution WHERE account = $1 AND region = $2 AND deployment = $3
               AND status <> 'RUNNING' ORDER BY created_at DESC, execution DESC LIMIT $4 OFFSET $5",
            params![account, region, deployment, PURGE_BATCH, RETENTION_EXECUTIONS],
            |row| row.get::<i64>(0),
        )?;
        remove(tx, &surplus)?;
    }
    Ok(())
}

fn remove(tx: &mut Tx<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    for number in numbers {
        tx.execute("DELETE FROM flow_message WHERE number = $1", params![*number])?;
        tx.execute("DELETE FROM flow_execution WHERE number = $1", params![*number])?;
    }
    Ok(())
}

/// Adds a batch. What is there already stays: `(execution, seq)` is written once.
fn write(tx: &mut Tx<'_>, batch: &HistoryBatch) -> Result<(), StoreError> {
    let mut next =
        tx.query_one("SELECT COALESCE(MAX(number), 0) FROM flow_execution", params![], |row| row.get::<i64>(0))?;
    let mut numbers = Vec::with_capacity(batch.executions.len());
    for entry in &batch.executions {
        numbers.push(upsert(tx, entry, &mut next)?);
    }
    for message in &batch.messages {
        let Some(Some(number)) = numbers.get(message.execution) else { continue };
        tx.execute(
            "INSERT INTO flow_message (number, seq, event_type, at, payload) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (number, seq) DO NOTHING",
            params![
                *number,
                i64::try_from(message.seq).unwrap_or(i64::MAX),
                message.event_type.as_str(),
                message.at.0,
                message.payload
            ],
        )?;
    }
    Ok(())
}

/// The number of the execution; `None` when another deployment has that id already: what a core reports must not touch
/// what it does not own.
fn upsert(tx: &mut Tx<'_>, entry: &ExecutionRecord, next: &mut i64) -> Result<Option<i64>, StoreError> {
    let known = tx.query_opt(
        "SELECT number, deployment FROM flow_execution WHERE account = $1 AND region = $2 AND execution = $3",
        params![entry.account.as_str(), entry.region.as_str(), entry.execution.as_str()],
        |row| Ok::<_, StoreError>((row.get::<i64>(0)?, row.text(1)?.eq_ignore_ascii_case(&entry.deployment))),
    )?;
    if let Some((number, is_own)) = known {
        if !is_own {
            return Ok(None);
        }
        // A terminal status is final: an index that replays from an earlier point must not bring a run back to life.
        tx.execute(
            "UPDATE flow_execution SET status = $1, updated_at = $2 WHERE number = $3 AND status = 'RUNNING'",
            params![entry.status.as_str(), entry.updated.0, number],
        )?;
        return Ok(Some(number));
    }
    *next += 1;
    tx.execute(
        "INSERT INTO flow_execution
           (account, region, execution, number, deployment, deployment_id, flow, status, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            entry.account.as_str(),
            entry.region.as_str(),
            entry.execution.as_str(),
            *next,
            entry.deployment.to_ascii_lowercase(),
            entry.deployment.as_str(),
            entry.flow.as_str(),
            entry.status.as_str(),
            entry.created.0,
            entry.updated.0
        ],
    )?;
    Ok(Some(*next))
}

impl HistorySink for History {
    fn write(&self, batch: HistoryBatch) -> Pending<'_, Result<(), String>> {
        Box::pin(async move {
            let now = crate::clock::wall();
            let purged = self.purged.load(Ordering::Relaxed);
            let due = now.0 - purged > PURGE_INTERVAL_MS
                && self.purged.compare_exchange(purged, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            let batch = Arc::new(batch);
            let kept = Arc::clone(&batch);
            let written = self.store.write(move |tx| {
                write(tx, &kept)?;
                if due { purge(tx, now) } else { Ok(()) }
            });
            written.await.map_err(|error: StoreError| error.to_string())?;
            // An error means that nobody watches.
            let _ = self.written.send(batch);
            Ok(())
        })
    }
}
